// SPDX-License-Identifier: Apache-2.0

package vip

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// State says how an address is found on this host.
type State int

// The states of an address.
const (
	Missing        State = iota // on no interface
	Held                        // as it should be
	WrongInterface              // on another interface than Config.Interface, or on several
	WrongPrefix                 // with another prefix length
	LinkDown                    // held, but the interface is down or has no carrier
	Tentative                   // IPv6: duplicate address detection is under way
	DADFailed                   // IPv6: duplicate address detection found another host
)

func (s State) String() string {
	names := [...]string{"missing", "held", "on wrong interface", "with wrong prefix length", "link down", "tentative", "dad failed"}
	if s < 0 || int(s) >= len(names) {
		return fmt.Sprintf("State(%d)", int(s))
	}
	return names[s]
}

// Status is what Check found out about one address.
type Status struct {
	Addr      netip.Prefix // as configured
	State     State
	Found     netip.Prefix     // as installed; invalid when Missing
	Interface string           // where it is; empty when Missing
	MAC       net.HardwareAddr // of that interface; announce again when it changes
	Tagged    bool             // the address carries our Tag
	Rivals    []Rival          // other hosts that claimed it within Config.Remember
}

// Err is nil if the address is Held and nobody else claims it; else it wraps one or more of ErrNotHeld,
// ErrWrongInterface, ErrWrongPrefix, ErrLinkDown, ErrUnusable, ErrConflict.
func (s Status) Err() error {
	var errs []error
	if s.State != Held {
		at := address{prefix: s.Found, index: 1}
		errs = append(errs, fault(s.Addr, s.State, at, links{{index: 1, name: s.Interface}}))
	}
	for _, r := range s.Rivals {
		errs = append(errs, &ConflictError{Addr: s.Addr.Addr(), Interface: s.Interface, MAC: r.MAC})
	}
	return errors.Join(errs...)
}

// Rival is another host that claims an address of ours.
type Rival struct {
	MAC   net.HardwareAddr
	Heard time.Duration // how long ago it was last heard
}

// Report is the result of Check, an entry per address in the order of Config.Addrs.
type Report []Status

// Absent reports whether none of the addresses is on this host in any form.
func (r Report) Absent() bool {
	return !slices.ContainsFunc(r, func(s Status) bool { return s.State != Missing })
}

// Err joins the errors of all addresses, see Status.Err.
func (r Report) Err() error {
	var errs []error
	for _, s := range r {
		errs = append(errs, s.Err())
	}
	return errors.Join(errs...)
}

// Check looks at each address and asks the network whether somebody else has it, without waiting for answers:
// those that are quick are seen by this call, the others, and claims made in between, by the next (see
// Config.Remember). The error is about the looking itself; what was found is in the Report. With
// Config.Interface empty no interface is wrong, but two are.
func (s *Set) Check(ctx context.Context) (Report, error) {
	report, err := s.check(ctx)
	if err != nil {
		return nil, fmt.Errorf("check addresses of %q: %w", s.cfg.Owner, err)
	}
	return report, nil
}

func (s *Set) check(ctx context.Context) (Report, error) {
	k, err := openKernel(ctx)
	if err != nil {
		return nil, err
	}
	defer k.Close()
	addrs, err := k.addresses()
	if err != nil {
		return nil, err
	}
	report := make(Report, len(s.cfg.Addrs))
	for i, p := range s.cfg.Addrs {
		report[i] = Status{Addr: p}
	}
	if !s.covers(addrs) {
		return report, nil // what every probe on every other node finds
	}
	ls, err := k.links()
	if err != nil {
		return nil, err
	}
	var places []place
	for i := range report {
		if l, ok := report[i].fill(s.wantedIndex(ls), addrs, ls); ok {
			places = append(places, place{report[i].Addr, l})
		}
	}
	claims, err := s.claims(ctx, k, places, ls)
	if err != nil {
		return nil, err
	}
	for _, c := range claims {
		i := slices.IndexFunc(report, func(st Status) bool { return st.Addr.Addr() == c.addr })
		if i >= 0 && !ls.ours(c.MAC) {
			report[i].Rivals = append(report[i].Rivals, c.Rival)
		}
	}
	return report, nil
}

// fill completes st; ok says that others can be asked for the address on the link.
func (st *Status) fill(want int, addrs []address, ls links) (l link, ok bool) {
	var a address
	st.State, a = holding(st.Addr, want, addrs)
	if st.State == Missing {
		return l, false
	}
	l, _ = ls.byIndex(a.index)
	st.Found, st.Interface, st.MAC, st.Tagged = a.prefix, ls.nameOf(a.index), l.mac, a.tagged
	if st.State == Held && !l.up {
		st.State = LinkDown
	}
	return l, l.up && l.ether
}

// claims asks the segment for the places and returns what is known about other holders.
func (s *Set) claims(ctx context.Context, k *kernel, places []place, ls links) ([]claim, error) {
	if len(places) == 0 {
		return nil, nil
	}
	for _, p := range places {
		if err := k.ask(p); err != nil {
			s.log.Debug("neighbour table does not ask for other holders", "addr", p.addr(), "err", err)
		}
		defer k.forget(p)
		if p.addr().Is4() {
			s.pace.note(p.link.index, 1, time.Now())
		}
	}
	claims, err := s.watch.read(ctx, places)
	if errors.Is(err, unix.ENOENT) {
		s.log.Info("claims watch was gone, installing it again")
		s.install(places)
		return s.overhear(places, ls)
	}
	if unusable(err) || errors.Is(err, unix.EINVAL) { // nfnetlink knows no nf_tables
		s.unwatched(err)
		return s.overhear(places, ls)
	}
	return claims, err
}

// install starts the claims watch, without which the addresses work as well.
func (s *Set) install(places []place) {
	if err := s.watch.install(places); err != nil {
		s.unwatched(err)
	}
}

func (s *Set) unwatched(err error) {
	s.warned.Do(func() {
		s.log.Warn("no claims watch: other holders are noticed only while checking", "err", err)
	})
}

// overhear asks as Take does and waits a moment for answers, for want of a claims watch.
func (s *Set) overhear(places []place, ls links) ([]claim, error) {
	var ts taps
	defer ts.close()
	if err := ts.open(places); err != nil {
		return nil, err
	}
	if err := s.probeOnce(&ts, places); err != nil {
		return nil, err
	}
	var mu sync.Mutex
	var found []claim
	if err := ts.deadline(time.Now().Add(s.cfg.Listen)); err != nil {
		return nil, err
	}
	for _, t := range ts.list {
		ts.readers.Go(func() {
			t.listen(func(h heard) bool {
				if !h.probing && !ls.ours(h.mac) {
					mu.Lock()
					defer mu.Unlock()
					found = append(found, claim{h.addr, Rival{MAC: h.mac}})
				}
				return true
			})
		})
	}
	ts.readers.Wait()
	return found, nil
}
