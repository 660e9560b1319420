// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// interval is how often each thing is looked at.
const interval = 20 * time.Millisecond

// Host is a machine on the nodes' network that the judge sits on; a lab's Host is one.
type Host interface {
	// Do runs f on a thread inside the machine's network.
	Do(f func() error) error
}

// Config says what is watched.
type Config struct {
	Host       Host
	Own4, Own6 netip.Addr // of the host, in whose name the judge asks
	Addrs      []netip.Addr
	Nodes      []Node
	Disks      []string // as the nodes name them
	Units      []string // of services that one node at a time may run
}

// Judge watches until it is stopped.
type Judge struct {
	cfg    Config
	record *record
	wire   *wire
	stop   chan struct{}
	done   sync.WaitGroup

	mu   sync.Mutex
	macs map[string]known
	err  error

	missed atomic.Int64
}

// Start begins to watch.
func Start(cfg Config) (*Judge, error) {
	j := &Judge{cfg: cfg, record: newRecord(), stop: make(chan struct{}), macs: map[string]known{}}
	err := cfg.Host.Do(func() (err error) {
		j.wire, err = openWire("eth0", cfg.Own4, cfg.Own6)
		return err
	})
	if err != nil {
		return nil, err
	}
	j.done.Go(j.hear)
	j.done.Go(j.ask)
	for _, n := range cfg.Nodes {
		j.done.Go(func() { j.visit(n) })
	}
	return j, nil
}

// Stop ends the watch. It returns what kept the judge from seeing.
func (j *Judge) Stop() error {
	close(j.stop)
	j.done.Wait()
	j.wire.close()
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.err
}

func (j *Judge) fail(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.err = errors.Join(j.err, err)
}

func (j *Judge) over() bool {
	select {
	case <-j.stop:
		return true
	default:
		return false
	}
}

// hear notes who answers.
func (j *Judge) hear() {
	b := make([]byte, 2048)
	watched := map[netip.Addr]bool{}
	for _, a := range j.cfg.Addrs {
		watched[a] = true
	}
	for !j.over() {
		c, ok, err := j.wire.next(b)
		if err != nil {
			j.fail(err)
			return
		}
		if ok && watched[c.addr] {
			of := j.of(c.mac)
			j.record.see(Thing{Address, c.addr.String()}, of.name, look{c.at.Add(-of.late), c.at})
		}
	}
}

// known is whose a MAC is, and how old its answers may be when they come.
type known struct {
	name string
	late time.Duration
}

func (j *Judge) of(mac net.HardwareAddr) known {
	j.mu.Lock()
	defer j.mu.Unlock()
	if k, is := j.macs[mac.String()]; is {
		return k
	}
	return known{name: mac.String()}
}

// Know says whose a MAC is, of nodes that the judge cannot look into, and how old an
// answer may be when it comes: an emulated machine gives it and is put off.
func (j *Judge) Know(mac net.HardwareAddr, name string, late time.Duration) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.macs[mac.String()] = known{name, late}
}

// See notes what somebody else has seen a node with, at some moment from the one to the
// other.
func (j *Judge) See(t Thing, node string, from, to time.Time) { j.record.see(t, node, look{from, to}) }

// Miss counts a look that somebody else has missed.
func (j *Judge) Miss() { j.missed.Add(1) }

// ask asks for all addresses, spread over the interval.
func (j *Judge) ask() {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		for _, a := range j.cfg.Addrs {
			if err := j.wire.ask(a); err != nil {
				j.missed.Add(1)
			}
		}
		j.missed.Add(int64(j.wire.missed()))
		select {
		case <-j.stop:
			return
		case <-tick.C:
		}
	}
}

// visit looks at a node again and again.
func (j *Judge) visit(n Node) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	var v nodeView
	for known := 0; ; {
		if pid, err := n.PID(); err == nil && pid != known {
			if mac, err := hardware(pid); err == nil {
				j.Know(mac, n.Name, 0)
				known = pid
			}
		}
		began := time.Now()
		j.look(n, &v)
		if time.Since(began) > gap {
			j.missed.Add(1)
		}
		select {
		case <-j.stop:
			return
		case <-tick.C:
		}
	}
}

// Verdict is what was seen.
type Verdict struct {
	Doubles []Double
	Silent  time.Duration // the longest time in which nobody answered for one of the addresses
	Missed  int           // looks that came to nothing, or too late
}

// Since is the verdict on the time since then.
func (j *Judge) Since(then time.Time) Verdict {
	v := Verdict{Doubles: j.record.doubles(then), Missed: int(j.missed.Swap(0))}
	now := time.Now()
	for _, a := range j.cfg.Addrs {
		v.Silent = max(v.Silent, j.record.silence(Thing{Address, a.String()}, then, now))
	}
	return v
}

// Holders are those that were seen with a thing since then.
func (j *Judge) Holders(t Thing, then time.Time) []string { return j.record.holders(t, then) }

// Times are when a node was first and last seen with a thing since then; ok is false if
// it was not.
func (j *Judge) Times(t Thing, node string, then time.Time) (first, last time.Time, ok bool) {
	return j.record.times(t, node, then)
}

// Worst counts the doubles of a kind, and says how long the longest was.
func (v Verdict) Worst(k Kind) (n int, longest time.Duration) {
	for _, d := range v.Doubles {
		if d.Kind == k {
			n++
			longest = max(longest, d.For)
		}
	}
	return n, longest
}

func (d Double) String() string {
	return fmt.Sprintf("%s %s on %s and %s from %s for %d ms", d.Kind, d.Name, d.Holders[0], d.Holders[1], d.From.Format("15:04:05.000"), d.For.Milliseconds())
}
