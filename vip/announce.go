// SPDX-License-Identifier: Apache-2.0

package vip

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Burst says how often Announce repeats itself.
type Burst struct {
	Count    int           // rounds, 0 for 1
	Interval time.Duration // between the starts of two rounds, 0 for 200 ms
	Wait     time.Duration // for the gateways' answers after the last round, 0 for 20 ms
}

// Announcement says what became of the announcement of one address.
type Announcement struct {
	Addr      netip.Addr
	Interface string
	MAC       net.HardwareAddr // announced as the address's place
	Gateway   netip.Addr       // asked for proof; invalid if there is none
	Proved    bool             // the gateway has answered to the address at its new place
}

// Announce tells the neighbours where the addresses are. Each round sends, for each address, a gratuitous ARP
// request and reply, or an unsolicited neighbour advertisement, and asks the gateway for its own address with
// ours as sender: that makes the gateway learn it (RFC 826, RFC 4861), and its answer proves that it has.
// After the last round it returns as soon as all gateways have answered. The first round goes out at once, unless
// this Set has just used up the interface's budget of 12 ARP packets a second (switches shut ports for more than
// 15), or of as many as Config.ARPRate says. Addresses that are not held, or not usable, are never announced; the error says so (ErrNotHeld,
// ErrWrongInterface, ErrWrongPrefix, ErrLinkDown, ErrUnusable), beside the Announcements of the others.
func (s *Set) Announce(ctx context.Context, b Burst) ([]Announcement, error) {
	a := announcer{set: s, proved: make(map[netip.Addr]bool)}
	err := a.run(ctx, max(b.Count, 1), orDefault(b.Interval, 200*time.Millisecond), orDefault(b.Wait, 20*time.Millisecond))
	if err != nil {
		err = fmt.Errorf("announce addresses of %q: %w", s.cfg.Owner, err)
	}
	return a.result(), err
}

// announcer is one call of Announce.
type announcer struct {
	set  *Set
	sent []Announcement // of the last round
	taps taps

	mu     sync.Mutex
	proved map[netip.Addr]bool
	asked  map[netip.Addr]netip.Addr // VIP to gateway
	done   chan struct{}             // closed when all that are asked have answered
}

func (a *announcer) run(ctx context.Context, rounds int, interval, wait time.Duration) error {
	defer a.taps.close()
	var notHeld error
	for i := range rounds {
		next := time.Now().Add(interval)
		var err error
		if notHeld, err = a.round(ctx); err != nil {
			return errors.Join(notHeld, err)
		}
		if i+1 < rounds {
			if err := sleep(ctx, time.Until(next)); err != nil {
				return errors.Join(notHeld, err)
			}
		}
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-a.done:
	case <-timer.C:
	case <-ctx.Done(): // what was sent was sent
	}
	return notHeld
}

func (a *announcer) result() []Announcement {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range a.sent {
		a.sent[i].Proved = a.proved[a.sent[i].Addr]
	}
	return a.sent
}

// round looks anew where the addresses are, and with which MAC, and announces them once. The first result is
// about those that are not announced.
func (a *announcer) round(ctx context.Context) (notHeld, err error) {
	k, err := openKernel(ctx)
	if err != nil {
		return nil, err
	}
	defer k.Close()
	places, notHeld, err := a.set.heldPlaces(k)
	if err != nil {
		return notHeld, err
	}
	gateways, err := a.set.gateways(k, places)
	if err != nil {
		return notHeld, err
	}
	if err := a.listen(places, gateways); err != nil {
		return notHeld, err
	}
	a.sent = a.sent[:0]
	for i, p := range places {
		if err := a.set.announceOne(ctx, k, a.taps.of(p), p, gateways[i]); err != nil {
			return notHeld, err
		}
		a.sent = append(a.sent, Announcement{Addr: p.addr(), Interface: p.link.name, MAC: p.link.mac, Gateway: gateways[i]})
	}
	return notHeld, nil
}

// heldPlaces returns the addresses that may be announced; the second result is about the others.
func (s *Set) heldPlaces(k *kernel) (held []place, notHeld, err error) {
	addrs, err := k.addresses()
	if err != nil {
		return nil, nil, err
	}
	ls, err := k.links()
	if err != nil {
		return nil, nil, err
	}
	var errs []error
	for _, p := range s.cfg.Addrs {
		st, a := holding(p, s.wantedIndex(ls), addrs)
		l, _ := ls.byIndex(a.index)
		if st == Held {
			if err := l.ready(); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", p.Addr(), err))
				continue
			}
			held = append(held, place{p, l})
			continue
		}
		errs = append(errs, fault(p, st, a, ls))
	}
	return held, errors.Join(errs...), nil
}

// wantedIndex is the index of the configured interface: 0 if any will do, -1 if it does not exist.
func (s *Set) wantedIndex(ls links) int {
	if s.cfg.Interface == "" {
		return 0
	}
	if l, ok := ls.byName(s.cfg.Interface); ok {
		return l.index
	}
	return -1
}

// listen starts listening for the gateways' answers; later rounds only renew what is waited for.
func (a *announcer) listen(places []place, gateways []netip.Addr) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked = make(map[netip.Addr]netip.Addr)
	a.done = make(chan struct{})
	for i, p := range places {
		if gateways[i].IsValid() {
			a.asked[p.addr()] = gateways[i]
		}
	}
	a.checkDone()
	for _, p := range places {
		if a.taps.of(p) != nil {
			continue
		}
		t, err := openTap(p.link, p.addr().Is6())
		if err != nil {
			return err
		}
		a.taps.list = append(a.taps.list, t)
		a.taps.readers.Go(func() { t.listen(a.heard) })
	}
	return nil
}

// heard notes an answer of a gateway: from it, to one of our addresses.
func (a *announcer) heard(h heard) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if gw, ok := a.asked[h.to]; ok && gw == h.addr && !h.probing {
		a.proved[h.to] = true
		a.checkDone()
	}
	return true
}

func (a *announcer) checkDone() {
	for vip := range a.asked {
		if !a.proved[vip] {
			return
		}
	}
	select {
	case <-a.done:
	default:
		close(a.done)
	}
}

func (s *Set) announceOne(ctx context.Context, k *kernel, t *tap, p place, gateway netip.Addr) error {
	frames, err := announcement(p, gateway)
	if err != nil {
		return err
	}
	if p.addr().Is4() {
		if err := s.waitTurn(ctx, k, p, len(frames)); err != nil {
			return err
		}
	}
	for _, f := range frames {
		if err := t.send(f, nil); err != nil {
			return err
		}
		if p.addr().Is4() { // noted when it has gone out: noted before, it might go out later than noted
			s.pace.note(p.link.index, 1, time.Now())
		}
	}
	return nil
}

// waitTurn waits until n ARP packets for p may go out. Somebody else may have released p in the meantime.
func (s *Set) waitTurn(ctx context.Context, k *kernel, p place, n int) error {
	wait := s.pace.wait(p.link.index, n, time.Now())
	if wait == 0 {
		return nil
	}
	if err := sleep(ctx, wait); err != nil {
		return err
	}
	addrs, err := k.addresses()
	if err != nil {
		return err
	}
	if st, _ := holding(p.prefix, p.link.index, addrs); st != Held {
		return fmt.Errorf("%s: %w any more", p.addr(), ErrNotHeld)
	}
	return nil
}

// announcement is what one round sends for p.
func announcement(p place, gateway netip.Addr) ([][]byte, error) {
	var frames [][]byte
	if p.addr().Is4() {
		request, reply, err := arpAnnounce(p.link.mac, p.addr())
		if err != nil {
			return nil, err
		}
		frames = append(frames, request, reply)
	} else {
		f, err := ndAnnounce(p.link.mac, p.addr(), isRouter(p.link.name))
		if err != nil {
			return nil, err
		}
		frames = append(frames, f)
	}
	if !gateway.IsValid() {
		return frames, nil
	}
	ask := arpAsk
	if p.addr().Is6() {
		ask = ndAsk
	}
	f, err := ask(p.link.mac, p.addr(), gateway)
	return append(frames, f), err
}

// isRouter reports whether this host forwards IPv6 of the interface. Neighbours that take it for their router
// would drop their routes through it if an advertisement said otherwise (RFC 4861 section 7.2.5).
func isRouter(name string) bool {
	b, err := os.ReadFile(filepath.Join("/proc/sys/net/ipv6/conf", name, "forwarding"))
	return err == nil && !bytes.Equal(bytes.TrimSpace(b), []byte("0"))
}

// gateways returns the gateway for each place, or an invalid address.
func (s *Set) gateways(k *kernel, places []place) ([]netip.Addr, error) {
	found := make([]netip.Addr, len(places))
	var routes []route
	for i, p := range places {
		if found[i] = s.configuredGateway(p.addr()); found[i].IsValid() {
			continue
		}
		if routes == nil {
			var err error
			if routes, err = k.routes(); err != nil {
				return nil, err
			}
		}
		found[i] = defaultGateway(p, routes)
	}
	return found, nil
}

func (s *Set) configuredGateway(a netip.Addr) netip.Addr {
	for _, gw := range s.cfg.Gateways {
		if gw.Is4() == a.Is4() && gw != a {
			return gw
		}
	}
	return netip.Addr{}
}

// defaultGateway is the next hop of the default route over p's interface, that with the lowest metric.
func defaultGateway(p place, routes []route) netip.Addr {
	var best netip.Addr
	metric := uint32(0)
	for _, r := range routes {
		if r.dst.IsValid() && r.dst.Bits() > 0 {
			continue
		}
		for _, h := range append([]hop{r.hop}, r.hops...) {
			if h.gateway.IsValid() && h.index == p.link.index && h.gateway.Is4() == p.addr().Is4() && h.gateway != p.addr() &&
				(!best.IsValid() || r.metric < metric) {
				best, metric = h.gateway, r.metric
			}
		}
	}
	return best
}

// sleep waits for d or ctx.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
