// SPDX-License-Identifier: Apache-2.0

package vip

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Release removes the addresses from whatever interface they are on, with whatever prefix length, whoever added
// them, with their host routes, their claims watch and the TCP sockets bound to them, and proves it by looking
// again. Nothing held is success. The addresses go first, and they go even if ctx is done already.
// It sends nothing to the network. ErrNotReleased: an address is still there.
func (s *Set) Release(ctx context.Context) error {
	errs := []error{s.removeAll()}
	if err := s.watch.remove(); err != nil {
		s.log.Warn("claims watch not removed", "err", err) // harmless without the address
	}
	if errs[0] == nil {
		if err := s.waiting().remove(); err != nil {
			s.log.Warn("rules for absent services not removed", "err", err)
		}
		// Neither waits for anybody: a caller whose time has just run out gets the proof
		// all the same.
		brief, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		errs = append(errs, s.destroyAll(brief))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("release addresses of %q: %w", s.cfg.Owner, err)
	}
	return nil
}

// Unwatch ends the claims watch of addresses that are about to be released in good order. Release does it as
// well, but after the addresses are gone: this takes tens of milliseconds, which the next node need not wait for.
func (s *Set) Unwatch() error { return s.watch.remove() }

func (s *Set) removeAll() error {
	k, err := openKernel(context.Background()) // no request of it waits for anybody
	if err != nil {
		return err
	}
	defer k.Close()
	before, err := k.addresses()
	if err != nil {
		return err
	}
	var errs []error
	left := before
	for range 3 { // somebody may put an address back between removing and looking
		if !s.covers(left) {
			break
		}
		for _, a := range left {
			if s.wants(a.prefix.Addr()) {
				errs = append(errs, k.remove(a))
				level := slog.LevelInfo
				if !a.tagged {
					level = slog.LevelWarn // the resource owns it all the same
				}
				s.log.Log(context.Background(), level, "address removed", "addr", a.prefix, "interface", a.index, "tagged", a.tagged)
			}
		}
		if left, err = k.addresses(); err != nil {
			return errors.Join(append(errs, err)...)
		}
	}
	s.restore(k, before, left)
	for _, a := range left {
		if s.wants(a.prefix.Addr()) {
			errs = append(errs, fmt.Errorf("%s: %w on interface %d", a.prefix, ErrNotReleased, a.index))
		}
	}
	if s.covers(left) {
		return errors.Join(errs...)
	}
	return s.dropRoutes(k) // gone: errors on the way there don't count
}

func (s *Set) wants(a netip.Addr) bool {
	return slices.ContainsFunc(s.cfg.Addrs, func(p netip.Prefix) bool { return p.Addr() == a })
}

func (s *Set) covers(addrs []address) bool {
	return slices.ContainsFunc(addrs, func(a address) bool { return s.wants(a.prefix.Addr()) })
}

// restore puts back what went with an address: without promote_secondaries, the kernel removes all
// secondary addresses of a subnet together with the first one.
func (s *Set) restore(k *kernel, before, after []address) {
	for _, b := range before {
		same := func(a address) bool { return a.prefix == b.prefix && a.index == b.index }
		if b.flags&unix.IFA_F_SECONDARY == 0 || b.peer || s.wants(b.prefix.Addr()) ||
			!b.prefix.Addr().Is4() || slices.ContainsFunc(after, same) || !s.wasFirst(b, before) {
			continue
		}
		if err := k.putBack(b); err != nil {
			s.log.Error("address of the same subnet went as well and can't be put back", "addr", b.prefix, "err", err)
			continue
		}
		s.log.Warn("address of the same subnet went as well and was put back", "addr", b.prefix)
	}
}

// wasFirst says whether one of the Set's was the first address of the subnet. If none was, the other one did
// not go with it: somebody else has just released it.
func (s *Set) wasFirst(other address, before []address) bool {
	return slices.ContainsFunc(before, func(a address) bool {
		return s.wants(a.prefix.Addr()) && a.index == other.index && a.flags&unix.IFA_F_SECONDARY == 0 && a.prefix.Masked() == other.prefix.Masked()
	})
}

func (s *Set) dropRoutes(k *kernel) error {
	var errs []error
	for _, p := range s.cfg.Addrs {
		errs = append(errs, k.dropRoutes(p.Addr()))
	}
	return errors.Join(errs...)
}

// destroyAll ends what is left of the TCP connections of the addresses, so that nothing answers for them, and
// so that their processes learn it now.
func (s *Set) destroyAll(ctx context.Context) error {
	list, err := sockets(ctx, bound, s.addrs(), nil)
	if err != nil {
		return err
	}
	n, err := Destroy(ctx, list)
	if errors.Is(err, errors.ErrUnsupported) {
		s.log.Warn("this kernel can't end connections; they last until they time out", "left", len(list))
		return nil
	}
	if n > 0 {
		s.log.Info("connections of the released addresses ended", "count", n)
	}
	return err
}

func (s *Set) addrs() []netip.Addr {
	addrs := make([]netip.Addr, len(s.cfg.Addrs))
	for i, p := range s.cfg.Addrs {
		addrs[i] = p.Addr()
	}
	return addrs
}

func (s *Set) waiting() waiting {
	return waiting{owner: s.cfg.Owner, addrs: s.addrs(), ports: s.cfg.Wait}
}

// Holding is an address found on this host.
type Holding struct {
	Addr      netip.Prefix
	Interface string
}

// Owned lists the addresses in this network namespace that carry our Tag, whatever their resource. To remove
// some that nobody should hold, make a Set of them and Release it.
func Owned(ctx context.Context) ([]Holding, error) {
	k, err := openKernel(ctx)
	if err != nil {
		return nil, err
	}
	defer k.Close()
	ls, err := k.links()
	if err != nil {
		return nil, err
	}
	addrs, err := k.addresses()
	if err != nil {
		return nil, err
	}
	var owned []Holding
	for _, a := range addrs {
		if a.tagged {
			owned = append(owned, Holding{a.prefix, ls.nameOf(a.index)})
		}
	}
	return owned, nil
}
