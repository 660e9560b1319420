// SPDX-License-Identifier: Apache-2.0

package agents

import (
	"context"
	"fmt"

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
