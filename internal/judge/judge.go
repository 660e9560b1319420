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

	mu    sync.Mutex
	names map[string]string // of MACs
	err   error

	missed atomic.Int64
}

// Start begins to watch.
func Start(cfg Config) (*Judge, error) {
	j := &Judge{cfg: cfg, record: newRecord(), stop: make(chan struct{}), names: map[string]string{}}
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
			j.record.see(Thing{Address, c.addr.String()}, j.nameOf(c.mac), c.at)
		}
	}
}

func (j *Judge) nameOf(mac net.HardwareAddr) string {
	j.mu.Lock()
	defer j.mu.Unlock()
	if name, is := j.names[mac.String()]; is {
		return name
	}
	return mac.String()
}

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
				j.mu.Lock()
				j.names[mac.String()] = n.Name
				j.mu.Unlock()
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
