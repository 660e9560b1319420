// SPDX-License-Identifier: Apache-2.0

package vip

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// place is where an address of a set belongs.
type place struct {
	prefix netip.Prefix
	link   link
}

func (p place) addr() netip.Addr { return p.prefix.Addr() }

// places finds the interface of each address, in the order of Config.Addrs.
func (s *Set) places(k *kernel, ls links) ([]place, error) {
	var found []place
	var routes []route
	if s.cfg.Interface == "" {
		var err error
		if routes, err = k.routes(); err != nil {
			return nil, err
		}
	}
	var errs []error
	for _, p := range s.cfg.Addrs {
		l, err := s.interfaceOf(p.Addr(), ls, routes)
		if err == nil {
			err = l.ready()
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", p.Addr(), err))
		}
		found = append(found, place{p, l})
	}
	return found, errors.Join(errs...)
}

func (s *Set) interfaceOf(a netip.Addr, ls links, routes []route) (link, error) {
	if s.cfg.Interface == "" {
		return connected(a, ls, routes)
	}
	l, ok := ls.byName(s.cfg.Interface)
	if !ok {
		return l, fmt.Errorf("%w: %s does not exist, there are %s", ErrNoInterface, s.cfg.Interface, ethernetNames(ls))
	}
	return l, nil
}

// connected returns the interface with the most specific connected route to a. Default and host routes
// don't count: they say nothing about who is on the segment.
func connected(a netip.Addr, ls links, routes []route) (link, error) {
	best, at := 0, []int(nil)
	for _, r := range routes {
		if !r.dst.Contains(a) || r.dst.Bits() == 0 || r.dst.IsSingleIP() || !r.connected() {
			continue
		}
		if r.dst.Bits() > best {
			best, at = r.dst.Bits(), nil
		}
		if r.dst.Bits() == best && !slices.Contains(at, r.index) {
			at = append(at, r.index)
		}
	}
	switch len(at) {
	case 0:
		return link{}, fmt.Errorf("%w: none has a route to its subnet, configure one of %s", ErrNoInterface, ethernetNames(ls))
	case 1:
		l, ok := ls.byIndex(at[0])
		if !ok {
			return l, fmt.Errorf("%w: %s has gone", ErrNoInterface, ls.nameOf(at[0]))
		}
		return l, nil
	}
	names := make([]string, len(at))
	for i, index := range at {
		names[i] = ls.nameOf(index)
	}
	return link{}, fmt.Errorf("%w: configure one of %s", ErrAmbiguous, strings.Join(names, ", "))
}

// connected says that the route leads to a segment and not to a gateway.
func (r route) connected() bool {
	return r.kind == unix.RTN_UNICAST && !r.gateway.IsValid() && !r.via && len(r.hops) == 0 && r.index > 0
}

func ethernetNames(ls links) string {
	var names []string
	for _, l := range ls {
		if l.ether {
			names = append(names, l.name)
		}
	}
	if len(names) == 0 {
		return "no Ethernet interface at all"
	}
	return strings.Join(names, ", ")
}

// holding finds how p is held among addrs, at its place if that is on interface want (0 for any).
func holding(p netip.Prefix, want int, addrs []address) (State, address) {
	state, found := Missing, address{}
	for _, a := range addrs {
		if a.prefix.Addr() != p.Addr() {
			continue
		}
		switch {
		case want != 0 && a.index != want:
			return WrongInterface, a // even if there is a good copy, too
		case a.prefix.Bits() != p.Bits():
			state, found = WrongPrefix, a
		case state == Missing:
			state, found = usable(a), a
		case found.index != a.index:
			return WrongInterface, a
		}
	}
	return state, found
}

func usable(a address) State {
	switch {
	case a.flags&unix.IFA_F_DADFAILED != 0:
		return DADFailed
	case a.flags&unix.IFA_F_TENTATIVE != 0:
		return Tentative
	}
	return Held
}

// fault is the error of an address p that was found as a in state st, nil if that is Held.
func fault(p netip.Prefix, st State, a address, ls links) error {
	on := ls.nameOf(a.index)
	switch st {
	case Held:
		return nil
	case Missing:
		return fmt.Errorf("%s: %w", p.Addr(), ErrNotHeld)
	case WrongInterface:
		return fmt.Errorf("%s: %w: it is on %s; remove it there", p.Addr(), ErrWrongInterface, on)
	case WrongPrefix:
		return fmt.Errorf("%s: %w: it is on %s as %s, not %s; remove it there", p.Addr(), ErrWrongPrefix, on, a.prefix, p)
	case LinkDown:
		return fmt.Errorf("%s: interface %s: %w", p.Addr(), on, ErrLinkDown)
	case Tentative:
		return fmt.Errorf("%s on %s: %w: duplicate address detection has not ended", p.Addr(), on, ErrUnusable)
	case DADFailed:
		return fmt.Errorf("%s on %s: %w: duplicate address detection found another host", p.Addr(), on, ErrUnusable)
	}
	return fmt.Errorf("%s: unknown state %d", p.Addr(), st)
}
