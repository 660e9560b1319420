// SPDX-License-Identifier: Apache-2.0

package agents

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/mailha/mailha/vip"
)

// gate covers the service's ports on its own addresses, or on all addresses of
// the node if it has none of its own. It is nil if neither is known.
func (s *Service) gate(rec record, facts Facts) (*vip.Gate, error) {
	addrs := hosts(rec.Addresses)
	if len(addrs) == 0 && len(facts.Ports) == 0 {
		return nil, nil
	}
	return vip.NewGate(s.env.Instance, addrs, facts.Ports)
}

func (s *Service) setGate(ctx context.Context, rec record, mode vip.Mode) error {
	gate, err := s.gate(rec, rec.Facts)
	if err != nil || gate == nil {
		return err
	}
	return gate.Set(ctx, mode)
}

// gateIsOpen fails for a gate that an operation left closed when it was cut off.
func (s *Service) gateIsOpen(ctx context.Context, rec record, facts Facts) error {
	gate, err := s.gate(rec, facts)
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

func hosts(prefixes []netip.Prefix) []netip.Addr {
	addrs := make([]netip.Addr, 0, len(prefixes))
	for _, p := range prefixes {
		addrs = append(addrs, p.Addr())
	}
	return addrs
}
