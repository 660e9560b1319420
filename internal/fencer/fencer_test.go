// SPDX-License-Identifier: Apache-2.0

package fencer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mailha/mailha/fencing"
	"github.com/mailha/mailha/internal/clock"
	"github.com/mailha/mailha/internal/heartbeat"
	"github.com/mailha/mailha/internal/state"
	"github.com/mailha/mailha/resources"
)

// play is a cluster as n2 sees it, with devices and records that do as they are told.
type play struct {
	scene
	*Fencer
	mu    sync.Mutex
	began time.Time
	story []string // what happened, with the second
	// fence is what the devices do; aim and hit are what etcd says.
	fence    func(ctx context.Context) bool
	aim, hit error
	wishes   []state.Wish
	told     []state.ShotPhase
	rev      int64
}

func (p *play) note(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.story = append(p.story, fmt.Sprintf("%.0f ", time.Since(p.began).Seconds())+fmt.Sprintf(format, args...))
}

func (p *play) change(f func()) {
	p.mu.Lock()
	f()
	p.mu.Unlock()
	p.Ring()
}

func (p *play) shot(s state.Shot) state.Shot {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rev++
	s.Rev = p.rev
	shots := map[string]state.Shot{s.Node: s}
	p.state.Shots = shots
	return s
}

// The devices.

func (p *play) CanFence(node string) bool { return node == "n1" }

func (p *play) Fence(ctx context.Context, o fencing.Order) fencing.Result {
	p.note("fence %s", o.Node)
	r := fencing.Result{Node: o.Node, Confirmed: p.fence(ctx), By: []string{"pdu"}, Reason: "pdu says so"}
	if r.Confirmed {
		o.Confirmed(r)
	}
	return r
}

// The records.

func (p *play) Aim(_ context.Context, seen state.Shot, life state.SessionID, why string) (state.Shot, error) {
	if p.aim != nil {
		return state.Shot{}, p.aim
	}
	seen.Life, seen.Phase, seen.By, seen.Session, seen.Why = life, state.Shooting, "n2", 2, why
	return p.shot(seen), nil
}

func (p *play) Hit(_ context.Context, s state.Shot, device, why string, also ...state.Wish) (state.Shot, error) {
	if p.hit != nil {
		return s, p.hit
	}
	p.note("off by %s", device)
	p.wishes = append(p.wishes, also...)
	s.Phase, s.Tries = state.Off, 0
	s = p.shot(s)
	p.change(func() {
		p.state.Nodes = map[string]state.Node{"n2": p.state.Nodes["n2"], "n3": p.state.Nodes["n3"]}
		p.state.Wishes = append(slices.DeleteFunc(slices.Clone(p.state.Wishes), func(w state.Wish) bool { return w.Kind == state.Fence }),
			state.Wish{Kind: state.Fenced, Node: s.Node, Rev: 100})
	})
	return s, nil
}

func (p *play) Miss(_ context.Context, s state.Shot, phase state.ShotPhase, why string) (state.Shot, error) {
	p.note("%s", phase)
	s.Phase, s.Since = phase, time.Now()
	if phase == state.Missed {
		s.Tries++
	}
	return p.shot(s), nil
}

func onStage(t *testing.T, d time.Duration, set func(*play)) []string {
	t.Helper()
	var p *play
	synctest.Test(t, func(t *testing.T) {
		p = &play{scene: stage(), began: time.Now(), fence: func(context.Context) bool { return true }}
		locked := func(f func()) { p.mu.Lock(); defer p.mu.Unlock(); f() }
		p.Fencer = New(Config{
			Node: "n2", Devices: p, Records: func() Records { return p }, Log: slog.New(slog.DiscardHandler),
			Told:     func(outcome state.ShotPhase) { locked(func() { p.told = append(p.told, outcome) }) },
			Snapshot: func() (s state.Snapshot) { locked(func() { s = p.state }); return },
			Cluster:  func() *resources.Cluster { return p.cluster },
			Clock:    func() clock.Time { return p.boot },
			View: func() (v heartbeat.View) {
				locked(func() { v = p.view; v.Nodes = slices.Clone(v.Nodes) })
				return
			},
			End: func(_ context.Context, w state.Wish, _, why string) error {
				p.note("ended %s: %s", w, why)
				p.change(func() { p.state.Wishes = nil })
				return nil
			},
		})
		ctx, cancel := context.WithTimeout(t.Context(), d)
		defer cancel()
		p.now = time.Now()
		set(p)
		p.Run(ctx)
	})
	var heard []string // what was told is what happened
	for _, line := range p.story {
		for _, outcome := range []state.ShotPhase{state.Off, state.Missed, state.Spared} {
			if strings.Contains(line, " "+string(outcome)) && !strings.Contains(line, "ended") {
				heard = append(heard, string(outcome))
			}
		}
	}
	if p.hit == nil && fmt.Sprint(p.told) != fmt.Sprint(heard) {
		t.Errorf("told of %v, and it was %v", p.told, heard)
	}
	for _, w := range p.wishes {
		p.story = append(p.story, fmt.Sprintf("wish %s %s", w.Kind, w.Node))
	}
	return p.story
}

func TestFencer(t *testing.T) {
	for _, tt := range []struct {
		name string
		set  func(*play)
		want string
	}{
		{"nothing to do", func(*play) {}, ""},
		{"switched off", func(p *play) { p.condemn("n1") }, "0 fence n1; 0 off by pdu"},
		{"after those who come first", func(p *play) { p.condemn("n1"); p.own("n3", "web", state.Running) }, "1 fence n1; 1 off by pdu"},
		{"less and less often where it fails", func(p *play) {
			p.condemn("n1")
			p.fence = func(context.Context) bool { return false }
		}, "0 fence n1; 0 missed; 10 fence n1; 10 missed; 30 fence n1; 30 missed"},
		{"another node goes on where one failed", func(p *play) {
			p.condemn("n1")
			p.state.Shots["n1"] = state.Shot{Node: "n1", Phase: state.Missed, By: "n3", Life: 1, Tries: 2, Since: p.now.Add(-5 * time.Second)}
		}, "15 fence n1; 15 off by pdu"},
		{"at once, whatever failed in a former life", func(p *play) {
			p.condemn("n1")
			p.state.Shots["n1"] = state.Shot{Node: "n1", Phase: state.Missed, By: "n3", Life: 9, Tries: 5, Since: p.now}
		}, "0 fence n1; 0 off by pdu"},
		{"at once, whatever failed long ago", func(p *play) {
			p.own("n1", "store", state.Running)
			delete(p.state.Nodes, "n1")
			p.state.Shots["n1"] = state.Shot{Node: "n1", Phase: state.Missed, By: "n3", Life: 9, Tries: 5, Since: p.now.Add(-time.Hour)}
		}, "0 fence n1; 0 off by pdu"},
		{"at once, as somebody wants it", func(p *play) {
			p.state.Shots["n1"] = state.Shot{Node: "n1", Phase: state.Missed, By: "n3", Life: 1, Tries: 5, Since: p.now.Add(-time.Second)}
			p.wish(state.Wish{Kind: state.Fence, Node: "n1", Since: p.now})
		}, "0 fence n1; 0 off by pdu"},
		{"by a clock that is ahead", func(p *play) {
			p.condemn("n1")
			p.state.Shots["n1"] = state.Shot{Node: "n1", Phase: state.Missed, By: "n3", Life: 1, Tries: 1, Since: p.now.Add(time.Hour)}
		}, "0 fence n1; 0 off by pdu"},
		{"another node is quicker", func(p *play) { p.condemn("n1"); p.aim = state.ErrConflict }, ""},
		{"nobody can be told", func(p *play) { p.condemn("n1"); p.hit = errors.New("etcd is silent") }, "0 fence n1; 10 fence n1; 20 fence n1; 30 fence n1; 40 fence n1; 50 fence n1"},
		{"for the third time", func(p *play) {
			p.condemn("n1")
			p.state.Shots["n1"] = state.Shot{Node: "n1", Phase: state.Off, By: "n3", Past: []time.Time{p.now.Add(-2 * time.Hour), p.now.Add(-time.Minute), p.now.Add(-time.Second)}}
		}, "0 fence n1; 0 off by pdu; wish standby n1"},
		{"seldom enough", func(p *play) {
			p.condemn("n1")
			p.state.Shots["n1"] = state.Shot{Node: "n1", Phase: state.Off, By: "n3", Past: []time.Time{p.now.Add(-2 * time.Hour), p.now.Add(-time.Minute)}}
		}, "0 fence n1; 0 off by pdu"},
		{"an operator's wish", func(p *play) { p.wish(state.Wish{Kind: state.Fence, Node: "n1"}) }, "0 fence n1; 0 off by pdu"},
		{"an operator's wish, and nobody can be told", func(p *play) {
			p.wish(state.Wish{Kind: state.Fence, Node: "n1"})
			p.hit = errors.New("etcd is silent")
		}, "0 fence n1; 0 ended the fencing of n1: it is off: pdu says so"},
		{"an operator's wish that cannot be", func(p *play) {
			p.wish(state.Wish{Kind: state.Fence, Node: "n1"})
			p.fence = func(context.Context) bool { return false }
		}, "0 fence n1; 0 missed; 0 ended the fencing of n1: it could not be fenced: pdu says so"},
		{"no device", func(p *play) {
			p.own("n3", "mail", state.Running)
			p.condemn("n3")
		}, ""},
		{"what is old is not believed", func(p *play) { p.condemn("n1"); p.state.Stale = errors.New("old") }, ""},
		{"heard again while it was written down", func(p *play) {
			p.condemn("n1")
			views := 0
			before := p.View
			p.View = func() heartbeat.View {
				if views++; views == 2 {
					p.change(func() { p.view.Nodes[0].Condemned = false })
				}
				return before()
			}
		}, "0 spared"},
		{"heard again before its turn", func(p *play) {
			p.condemn("n1")
			p.own("n3", "web", state.Running)
			go func() {
				time.Sleep(500 * time.Millisecond)
				p.change(func() { p.view.Nodes[0].Condemned = false })
			}()
		}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := strings.Join(onStage(t, time.Minute-time.Second, tt.set), "; "); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}
