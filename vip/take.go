// SPDX-License-Identifier: Apache-2.0

package vip

import (
	"context"
	"errors"
	"fmt"
)

// Take brings all addresses up or none: it asks the segment whether another host has them, all addresses in
// parallel, adds them and starts the claims watch. Addresses that are held already stay, but are probed for and
// verified as well; one that was added by somebody else becomes ours. It does not announce: call Announce next.
// It takes as long as the probe (see ProbeConfig) and a millisecond or two. Errors: ErrConflict, ErrLinkDown,
// ErrNotEthernet, ErrNoInterface, ErrAmbiguous, ErrWrongInterface, ErrWrongPrefix, ErrUnusable.
func (s *Set) Take(ctx context.Context) error { return s.TakeWhen(ctx, nil) }

// TakeWhen is Take for a caller who has something to do while the probe waits for answers. When nobody has
// answered, it calls ready, and adds the addresses only if that returns nil; ready may be nil.
func (s *Set) TakeWhen(ctx context.Context, ready func() error) error {
	if err := s.take(ctx, ready); err != nil {
		return fmt.Errorf("take addresses of %q: %w", s.cfg.Owner, err)
	}
	return nil
}

func (s *Set) take(ctx context.Context, ready func() error) error {
	k, err := openKernel(ctx)
	if err != nil {
		return err
	}
	defer k.Close()
	ls, err := k.links()
	if err != nil {
		return err
	}
	places, err := s.places(k, ls)
	if err != nil {
		return err
	}
	missing, err := s.prepare(k, places, ls)
	if err != nil {
		return err
	}
	if !s.cfg.Probe.Off {
		if err := s.probe(ctx, places, ls); err != nil {
			return err
		}
	}
	if ready != nil {
		if err := ready(); err != nil {
			return err
		}
	}
	if err := s.waiting().install(); err != nil { // before anybody can be refused
		return err
	}
	if err := s.addAll(k, missing); err != nil {
		return errors.Join(err, s.waiting().remove())
	}
	s.install(places)
	return nil
}

// prepare returns the places that are still without their address, and adopts addresses that are there
// without our tag.
func (s *Set) prepare(k *kernel, places []place, ls links) ([]place, error) {
	addrs, err := k.addresses()
	if err != nil {
		return nil, err
	}
	var missing, untagged []place
	var errs []error
	for _, p := range places {
		st, a := holding(p.prefix, p.link.index, addrs)
		switch {
		case st == Missing:
			missing = append(missing, p)
		case st != Held:
			errs = append(errs, fault(p.prefix, st, a, ls))
		case !a.tagged:
			untagged = append(untagged, p)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	for _, p := range untagged {
		s.log.Warn("address was there already and is ours from now on", "addr", p.addr(), "interface", p.link.name)
		if err := k.add(&s.cfg, p.link, p.prefix); err != nil {
			return nil, err
		}
	}
	return missing, nil
}

// addAll adds all or, after an error, none.
func (s *Set) addAll(k *kernel, places []place) error {
	for i, p := range places {
		if err := k.add(&s.cfg, p.link, p.prefix); err != nil {
			return errors.Join(err, s.takeBack(k, places[:i]))
		}
		s.log.Info("address added", "addr", p.addr(), "interface", p.link.name)
	}
	return nil
}

func (s *Set) takeBack(k *kernel, places []place) error {
	if len(places) == 0 {
		return nil
	}
	addrs, err := k.addresses()
	if err != nil {
		return err
	}
	var errs []error
	for _, p := range places {
		if st, a := holding(p.prefix, p.link.index, addrs); st != Missing {
			errs = append(errs, k.remove(a))
		}
	}
	return errors.Join(errs...)
}
