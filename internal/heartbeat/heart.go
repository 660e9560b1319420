// SPDX-License-Identifier: Apache-2.0

package heartbeat

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"sync"
	"time"

	"github.com/mailha/mailha/internal/clock"
)

// Config is what a heart needs for as long as it beats.
type Config struct {
	Cluster string
	Node    string // this one
	Key     ed25519.PrivateKey
	Port    uint16 // UDP, the same on all nodes
	Timing  Timing
	// Promise is for how long from its question on nothing of a node is taken that asks
	// for it, up to an hour. Not longer than the lease: a daemon that was restarted does
	// not know its promises, and waits only that long.
	Promise time.Duration
	// Agree says whether this node is ready to promise that now. It must not wait. While
	// it is asked, PromisedUntil has the promise already: who wants to take something of a
	// node first has Agree say no, then looks at PromisedUntil, and then takes.
	Agree func(node string) bool
	Log   *slog.Logger
}

// wire sends and listens, from one goroutine; sockets do, and a test's double.
type wire interface {
	// listen is where to listen from now on, and says where it cannot.
	listen(addresses []netip.Addr) map[netip.Addr]error
	// wait has hear called with all that has come and comes until the time is over, there
	// was something, or wake has been called, whenever that was.
	wait(d time.Duration, hear func(local, from netip.Addr, b []byte)) (woken bool)
	wake()
	send(e ends, b []byte) error
	close()
}

// Heart beats, and listens to others.
type Heart struct {
	cfg      Config
	cluster  [8]byte
	clock    interface{ Now() clock.Time }
	wire     wire
	changed  chan struct{}
	notes    chan func() // for the log, which may be slow
	promises promises
	hasten   func(on bool) error
	hurried  clock.Time // when the threads were looked for last

	mu      sync.Mutex
	mind    *mind
	moved   bool // own addresses may be others
	closed  map[netip.Addr]error
	opening clock.Time // when addresses that are closed are tried again
	beat    clock.Time // when the next packet is due
}

// New makes a heart that follows nobody yet.
func New(cfg Config) (*Heart, error) {
	t := cfg.Timing
	switch {
	case len(cfg.Key) != ed25519.PrivateKeySize:
		return nil, errors.New("heartbeats need a key of Ed25519")
	case cfg.Node == "" || cfg.Port == 0 || cfg.Agree == nil || cfg.Log == nil || cfg.Promise <= 0 || cfg.Promise > time.Hour:
		return nil, errors.New("heartbeats need a node, a port, a span to promise, whom to ask about it, and a log")
	}
	if err := t.check(); err != nil {
		return nil, err
	}
	s, err := newSockets(cfg.Port)
	if err != nil {
		return nil, err
	}
	return &Heart{
		cfg: cfg, cluster: clusterID(cfg.Cluster), clock: clock.Boot{}, wire: s, promises: promises{until: map[string]clock.Time{}},
		changed: make(chan struct{}, 1), notes: make(chan func(), 100), mind: newMind(cfg.Node, t), hasten: hasten,
	}, nil
}

func (t Timing) check() error {
	if t.Interval < 10*time.Millisecond || t.Interval > time.Second || t.Suspect < 3*t.Interval || t.SuspectMax < t.Suspect {
		return fmt.Errorf("heartbeats every %s with %s to %s of silence cannot be", t.Interval, t.Suspect, t.SuspectMax)
	}
	return nil
}

// Follow says who is in the cluster, configured or there, this node included, which
// is in the life in which it is itself: 0, and it says nothing. At most MaxNodes.
func (h *Heart) Follow(nodes []Node) error {
	if len(nodes) > MaxNodes {
		return fmt.Errorf("there are %d nodes, and heartbeats carry %d", len(nodes), MaxNodes)
	}
	h.mu.Lock()
	h.mind.follow(nodes, h.clock.Now())
	h.moved = true
	h.mu.Unlock()
	h.wire.wake()
	poke(h.changed)
	return nil
}

// Tune changes the timing.
func (h *Heart) Tune(t Timing) error {
	if err := t.check(); err != nil {
		return err
	}
	h.mu.Lock()
	changed := h.mind.timing != t
	h.mind.timing = t
	h.mu.Unlock()
	if changed {
		h.wire.wake() // the others wait by the interval of the last packet
	}
	return nil
}

// Ask begins, or ends, to ask all others to take nothing of this node's: HeldUntil.
func (h *Heart) Ask(on bool) {
	h.mu.Lock()
	changed := h.mind.asking != on
	h.mind.asking = on
	h.mu.Unlock()
	if changed {
		h.wire.wake()
	}
}

// HeldUntil is until when every other node that is configured has promised to take
// nothing of this one's, by this node's clock; 0: one of them never has, in its
// present life. It ends before the promise of any of them does. A node that agrees no
// longer keeps what it has promised.
func (h *Heart) HeldUntil() clock.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.mind.heldUntil()
}

// PromisedUntil is until when this node must take nothing of another one's; 0: it
// has never promised that.
func (h *Heart) PromisedUntil(node string) clock.Time { return h.promises.get(node) }

// Changed has a value when somebody looks dead or no longer, is condemned or no
// longer, or a path has fallen silent or is heard again. It is for one reader.
func (h *Heart) Changed() <-chan struct{} { return h.changed }

// View is what is known now.
func (h *Heart) View() View {
	h.mu.Lock()
	defer h.mu.Unlock()
	v := h.mind.view(h.clock.Now())
	v.Closed = h.closed // replaced, and never changed
	return v
}

// Run beats until the context ends, and then tells the others that this was no death.
// It runs once. Meanwhile all threads of the program run with real-time priority, if it
// may do that (CAP_SYS_NICE).
func (h *Heart) Run(ctx context.Context) {
	// The thread is not used for anything else afterwards: it is not unlocked.
	runtime.LockOSThread()
	defer h.wire.close()
	defer context.AfterFunc(ctx, h.wire.wake)()
	writing, written := make(chan struct{}), make(chan struct{})
	go h.write(writing, written)
	defer func() { close(writing); <-written }()
	hurries := true
	if err := h.hasten(true); err != nil {
		hurries = false
		h.note(func() { h.cfg.Log.Warn("heartbeats wait like everybody else when this host is busy", "error", err) })
	}
	for woken := true; ctx.Err() == nil; {
		woken = h.wire.wait(h.turn(woken), h.hear)
		if now := h.clock.Now(); hurries && now.Sub(h.hurried) > time.Second {
			_ = h.hasten(true) // threads that are new
			h.hurried = now
		}
	}
	if hurries {
		_ = h.hasten(false)
	}
	// Twice: nothing tells whether it has arrived.
	h.send(true)
	h.send(true)
}

// write writes the log.
func (h *Heart) write(end <-chan struct{}, done chan<- struct{}) {
	defer close(done)
	for {
		select {
		case f := <-h.notes:
			f()
		case <-end:
			for range len(h.notes) {
				(<-h.notes)()
			}
			return
		}
	}
}

// note has something written. What is too much is lost.
func (h *Heart) note(f func()) {
	select {
	case h.notes <- f:
	default:
	}
}

// turn does what is due when all that has come is heard, and says how long there is
// nothing to do.
func (h *Heart) turn(urgent bool) time.Duration {
	h.open()
	h.mu.Lock()
	now := h.clock.Now()
	found := h.mind.judge(now)
	h.tell(found, now)
	due := urgent || len(found.suspected) > 0 || !now.Before(h.beat)
	h.beat = h.mind.timing.beat(h.beat, now)
	h.mu.Unlock()
	if found.changed {
		poke(h.changed)
	}
	if due {
		h.send(false)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	now = h.clock.Now()
	h.mind.arise(now)
	h.mind.wake = max(now, min(h.beat, h.mind.next(now)))
	return h.mind.wake.Sub(now)
}

// tell logs what only people want to know.
func (h *Heart) tell(n news, now clock.Time) {
	log := h.cfg.Log
	for _, p := range n.suspected {
		node, silent, limit := p.Name, now.Sub(p.heard), p.limit(h.mind.timing, now)
		h.note(func() { log.Warn("a node looks dead", "node", node, "silent", silent, "limit", limit) })
	}
	if n.back != nil {
		node := n.back.Name
		h.note(func() { log.Warn("a node that looked dead is heard again", "node", node) })
	}
	for _, w := range n.paths {
		if w.silent {
			h.note(func() {
				log.Warn("nothing comes over a link, while another one works", "local", w.local, "remote", w.remote)
			})
		} else {
			h.note(func() { log.Info("a link works again", "local", w.local, "remote", w.remote) })
		}
	}
}

// beat is when the packet after now is due if one was due then.
func (t Timing) beat(due, now clock.Time) clock.Time {
	if now.Before(due) {
		return min(due, now.Add(t.Interval)) // the interval may be another one now
	}
	if due = due.Add(t.Interval); now.Before(due) {
		return due
	}
	return now.Add(t.Interval)
}

// open listens at this node's addresses.
func (h *Heart) open() {
	h.mu.Lock()
	again := len(h.closed) > 0 && !h.clock.Now().Before(h.opening)
	moved := h.moved
	h.moved = false
	var own []netip.Addr
	for _, n := range h.mind.nodes {
		if n.Name == h.cfg.Node {
			own = n.Addresses
		}
	}
	h.mu.Unlock()
	if !moved && !again {
		return
	}
	closed := h.wire.listen(own)
	h.mu.Lock()
	defer h.mu.Unlock()
	for a, err := range closed {
		if h.closed[a] == nil {
			h.note(func() { h.cfg.Log.Warn("no heartbeats are heard at an address", "address", a, "error", err) })
		}
	}
	h.closed, h.opening = closed, h.clock.Now().Add(time.Second)
}

// hear takes what came.
func (h *Heart) hear(local, from netip.Addr, b []byte) {
	h.mu.Lock()
	now := h.clock.Now()
	got := h.mind.hear(local, from, b, h.cluster, now)
	h.tell(got, now)
	var node string
	var sent clock.Time
	if got.asks != nil {
		node, sent = got.asks.Name, got.asks.last.sent
	}
	h.mu.Unlock()
	if got.changed {
		poke(h.changed)
	}
	if got.asks == nil || !h.promises.answer(node, h.clock.Now(), h.cfg.Promise, h.cfg.Agree) {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	got.asks.answered, got.asks.promised = sent, h.cfg.Promise
}

// send tells everybody what this node knows.
func (h *Heart) send(leaving bool) {
	h.mu.Lock()
	if h.mind.life == 0 {
		h.mu.Unlock()
		return
	}
	k := h.mind.say(h.clock.Now(), leaving)
	var ways []ends
	for _, p := range h.mind.peers {
		for _, w := range p.paths {
			ways = append(ways, w.ends)
		}
	}
	h.mu.Unlock()
	b := k.encode(nil, h.cluster, h.cfg.Key)
	for _, e := range ways {
		// What could not be sent is lost, as on any wire: the other side notices.
		_ = h.wire.send(e, b)
	}
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
