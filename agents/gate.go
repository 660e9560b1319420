// SPDX-License-Identifier: Apache-2.0

package agents

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/mailha/mailha/vip"
)

// gate covers the service's ports where clients reach it, or on all addresses of
// the node if it is reached on no secondary one. It is nil if neither is known.
func (s *Service) gate(rec record) (*vip.Gate, error) {
	if rec.unreachable() {
		return nil, nil
	}
	return vip.NewGate(s.env.Instance, rec.reach(), rec.Facts.Ports)
}

func (s *Service) setGate(ctx context.Context, rec record, mode vip.Mode) error {
	gate, err := s.gate(rec)
	if err != nil || gate == nil {
		return err
	}
	return gate.Set(ctx, mode)
}

// closeGate is for a drain: work that comes in from this very host is refused, too,
// where the service has doors for it.
func (s *Service) closeGate(ctx context.Context, rec record) error {
	gate, err := s.gate(rec)
	if err != nil || gate == nil {
		return err
	}
	var places []netip.AddrPort
	for _, d := range rec.Facts.Doors {
		if !d.Inward || d.Port == 0 {
			continue
		}
		if len(d.Addrs) == 0 {
			places = append(places, netip.AddrPortFrom(netip.Addr{}, d.Port))
		}
		for _, a := range d.Addrs {
			places = append(places, netip.AddrPortFrom(a, d.Port))
		}
	}
	// The others ask for what they need on the node's own addresses: whoever comes to
	// the ones that clients use is a client, also from the node of another instance.
	if len(rec.addrs()) == 0 {
		gate = gate.Admit(rec.Facts.Peers...)
	}
	return gate.Inward(places...).Set(ctx, s.GateMode.mode())
}

// gateIsOpen fails for a gate that an operation left closed when it was cut off.
func (s *Service) gateIsOpen(ctx context.Context, rec record) error {
	gate, err := s.gate(rec)
	if err != nil || gate == nil {
		return err
	}
	mode, err := gate.Mode(ctx)
	if err != nil {
		return err
	}
	if mode != vip.Open {
		return fmt.Errorf("the gate is in mode %q: new connections are not let in", mode)
	}
	return nil
}
