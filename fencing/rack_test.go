// SPDX-License-Identifier: Apache-2.0

package fencing

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"
)

// manner is how a device of a rack does its work.
type manner struct {
	Off    string // does, fails, hangs, lies
	Status string // true, on, off, error, hangs
	On     string // does, fails, hangs
	Slow   time.Duration
	// Fails is how often it fails before it goes by the rest.
	Fails int
}

// rack is devices that switch the supplies of one node; each has a supply, and a node
// that has none left in some level is down.
type rack struct {
	mu      sync.Mutex
	manners map[string]manner
	level   map[string]int
	cut     map[string]bool // supplies that are off
	calls   []string        // "device action", in the order of their beginnings
	inside  map[string]int  // calls under way
	crowded bool            // a device was asked two things at once
}

func newRack(devices []Device, manners map[string]manner) *rack {
	r := &rack{manners: manners, level: map[string]int{}, cut: map[string]bool{}, inside: map[string]int{}}
	for _, d := range devices {
		r.level[d.Name] = max(d.Level, 1)
	}
	return r
}

func (r *rack) down() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.isDown()
}

func (r *rack) isDown() bool {
	for _, level := range r.level {
		all := true
		for d, l := range r.level {
			all = all && (l != level || r.cut[d])
		}
		if all {
			return true
		}
	}
	return false
}

func (r *rack) call(ctx context.Context, d Device, action, node string) (answer, error) {
	r.mu.Lock()
	m := r.manners[d.Name]
	r.calls = append(r.calls, d.Name+" "+action)
	r.inside[d.Name]++
	r.crowded = r.crowded || r.inside[d.Name] > 1
	if (action == askOff || action == askReboot) && m.Fails > 0 {
		m.Off = "fails"
		now := r.manners[d.Name]
		now.Fails--
		r.manners[d.Name] = now
	}
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.inside[d.Name]--
	}()
	if pause(ctx, m.Slow) != nil {
		return answer{}, reason(ctx)
	}
	how := map[string]string{askOff: m.Off, askReboot: m.Off, askOn: m.On, askStatus: m.Status}[action]
	if how == "hangs" {
		<-ctx.Done()
		return answer{}, reason(ctx)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case action == askMetadata:
		return answer{out: goodMetadata}, nil
	case action == askMonitor:
		return answer{}, nil
	case how == "broken":
		return answer{}, errors.New("cannot be run: exec format error")
	case how == "fails" || how == "error":
		return answer{code: 1, said: "Unable to connect"}, nil
	case action == askOff || action == askReboot:
		r.cut[d.Name] = r.cut[d.Name] || how != "lies"
	case action == askOn:
		r.cut[d.Name] = false
	case how == "off" || how != "on" && r.cut[d.Name]:
		return answer{code: codeOff}, nil
	}
	return answer{}, nil
}

func (r *rack) asked() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.calls)
}

// fencer is one whose devices are those of the rack.
func (r *rack) fencer(t testing.TB, cfg Config) *Fencer {
	t.Helper()
	f, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	f.call = r.call
	return f
}

// device is one for node n1.
func device(name string, level int) Device {
	return Device{Name: name, Agent: "fence_x", Ports: map[string]string{"n1": "1"}, Level: level, Timeout: 10 * time.Second}
}

// cycling is one whose agent reboots node n1.
func cycling(name string, level int) Device {
	d := device(name, level)
	d.Method = Cycle
	return d
}

const goodMetadata = `<?xml version="1.0" ?>
<resource-agent name="fence_x" shortdesc="x"><parameters>
<parameter name="action" required="1"><content type="string" default="reboot"/></parameter>
<parameter name="ip" required="1" obsoletes="ipaddr"><content type="string"/></parameter>
<parameter name="ipaddr" required="1" deprecated="1"><content type="string"/></parameter>
<parameter name="ipport"><content type="integer" default="623"/></parameter>
<parameter name="power_wait"><content type="second" default="0"/></parameter>
<parameter name="lanplus"><content type="boolean" default="0"/></parameter>
<parameter name="auth"><content type="select"><option value="md5"/><option value="none"/></content></parameter>
<parameter name="password" obsoletes="passwd"><content type="string"/></parameter>
<parameter name="passwd" deprecated="1"><content type="string"/></parameter>
<parameter name="plug" required="1" obsoletes="port"><content type="string"/></parameter>
<parameter name="port" required="1" deprecated="1"><content type="string"/></parameter>
</parameters><actions><action name="on" automatic="0"/><action name="off"/><action name="reboot"/><action name="status"/><action name="monitor"/><action name="metadata"/></actions></resource-agent>`
