// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/mailha/mailha/internal/state"
	"github.com/mailha/mailha/resources"
)

// histories is a configuration in one of some variants.
func histories(variant int) []resources.Group {
	fs := kindOf("filesystem", thingOf("fs"))
	a, b := thingOf("a", "fs"), thingOf("b", "a", "fs")
	c, d := warm(kindOf("directory", thingOf("c"))), thingOf("d")
	e, f := warm(kindOf("mta", thingOf("e"))), onFailure(resources.OnFailureMove, thingOf("f", "e"))
	disk, mail := []string{"n1", "n2"}, all()
	switch variant {
	case 1:
		a.Params = map[string]string{"soft": "1"}
		f.Params = map[string]string{"hard": "1"}
	case 2:
		disk = []string{"n3", "n1", "n2"}
		e = kindOf("mta", thingOf("e"))
	case 3:
		return []resources.Group{groupOf("disk", disk, fs, a), groupOf("dir", mail, d, c), groupOf("mail", mail, e, f)}
	}
	return []resources.Group{groupOf("disk", disk, fs, a, b), groupOf("dir", mail, c, d), groupOf("mail", mail, e, f)}
}

// history is some seconds in which everything happens. World looks on: nothing may run
// on two nodes. In the end everything has to run that can.
func history(c *cluster) {
	seed := rand.Uint64()
	if s, err := strconv.ParseUint(os.Getenv("MAILHA_TEST_SEED"), 10, 64); err == nil {
		seed = s
	}
	c.t.Logf("MAILHA_TEST_SEED=%d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	names, groups := []string{"fs", "a", "b", "c", "d", "e", "f"}, []string{"disk", "dir", "mail"}
	pick := func(of []string) string { return of[r.IntN(len(of))] }
	held, off := map[string]time.Time{}, map[string]time.Time{}
	c.world.mu.Lock()
	c.mercy = true // a busy machine may lose a lease, and what cannot be stopped then is for a fence device
	c.world.mu.Unlock()
	for v := range 4 {
		c.mu.Lock()
		c.files[fmt.Sprint("v", v)] = c.file(histories(v)...)
		c.mu.Unlock()
	}
	const most = 12 * time.Second
	for end := time.Now().Add(most); time.Now().Before(end); time.Sleep(time.Duration(r.IntN(250)) * time.Millisecond) {
		for name, until := range held {
			if time.Now().After(until) {
				c.nodes[name].wire.Free()
				delete(held, name)
			}
		}
		for name, until := range off {
			if time.Now().After(until) {
				c.again(name)
				delete(off, name)
			}
		}
		node := pick(all())
		_, isHeld := held[node]
		_, isOff := off[node]
		c.befall(r, node, pick(names), pick(groups), isHeld || isOff, held, off)
	}
	c.heal()
	for name := range held {
		c.nodes[name].wire.Free()
	}
	for name := range off {
		c.again(name)
	}
	c.comeToRest()
}

// befall has one thing happen.
func (c *cluster) befall(r *rand.Rand, node, name, group string, away bool, held, off map[string]time.Time) {
	wish := func(w state.Wish) {
		w.By = "root"
		w.Until = time.Now().Add(time.Duration(200+r.IntN(3000)) * time.Millisecond)
		for _, old := range c.snapshot().Wishes {
			if old.Same(w) {
				w.Rev = old.Rev
			}
		}
		_, _ = c.store.PutWish(c.t.Context(), w) // somebody may have been quicker
	}
	switch n := r.IntN(24); {
	case n < 5:
		c.fail(node, name)
	case n < 8:
		wish(state.Wish{Kind: state.Move, Group: group, Node: node})
	case n == 8:
		wish(state.Wish{Kind: state.Standby, Node: node})
	case n == 9:
		wish(state.Wish{Kind: state.Ban, Group: group, Node: node})
	case n == 10:
		wish(state.Wish{Kind: state.StopGroup, Group: group})
	case n == 11:
		wish(state.Wish{Kind: state.Stop, Resource: name})
	case n == 12:
		wish(state.Wish{Kind: state.Restart, Resource: name})
	case n == 13:
		wish(state.Wish{Kind: state.Maintenance})
	case n == 14:
		c.set("*/"+name+"/start", fault{last: time.Duration(r.IntN(300)) * time.Millisecond})
	case n == 15:
		c.set(node+"/"+name+"/start", fault{err: errors.New("it does not start")})
	case n == 16 && len(held) == 0:
		c.set("*/"+name+"/stop", fault{err: errors.New("it does not stop")})
	case n == 17:
		c.set(node+"/"+name+"/monitor", fault{panic: true})
	case n < 20:
		c.heal()
	case n == 20 && !away:
		c.heal() // what cannot be stopped when the lease is over is for a fence device
		c.nodes[node].wire.Hold()
		held[node] = time.Now().Add(time.Duration(r.IntN(4000)) * time.Millisecond)
	case n == 21 && !away:
		c.nodes[node].kill()
		c.nodes[node].run()
	case n == 22 && !away && len(off) == 0:
		c.power(node)
		off[node] = time.Now().Add(time.Duration(r.IntN(4000)) * time.Millisecond)
	case n == 23:
		_, _ = c.store.PutConfig(c.t.Context(), state.Config{TOML: fmt.Sprint("v", r.IntN(4)), By: "root", Rev: c.snapshot().Config.Rev})
	}
}

// comeToRest forgives everything, and waits until all runs.
func (c *cluster) comeToRest() {
	c.until("the first file is loaded", func(s state.Snapshot) bool {
		_, _ = c.store.PutConfig(c.t.Context(), state.Config{TOML: "first", By: "root", Rev: s.Config.Rev})
		return s.Config.TOML == "first"
	})
	c.until("the wishes are over", func(s state.Snapshot) bool {
		for _, w := range s.Wishes {
			_ = c.store.EndWish(c.t.Context(), w, "root", "")
		}
		return len(s.Wishes) == 0
	})
	c.until("all is forgiven", func(s state.Snapshot) bool {
		forgiven := true
		for _, g := range s.Groups {
			if len(g.Failures) > 0 {
				forgiven = false
				_, _ = c.store.Forgive(c.t.Context(), g, "", "root")
			}
		}
		return forgiven
	})
	c.until("everything runs", func(s state.Snapshot) bool {
		for _, g := range c.files["first"].Groups {
			is := s.Groups[g.Name]
			if _, may := g.Rank(is.Owner); !may || is.Phase != state.Running {
				return false
			}
			if len(is.Failures) > 0 { // of what was still on its way
				_, _ = c.store.Forgive(c.t.Context(), is, "", "root")
			}
			for _, r := range g.Resources {
				where := c.where(r.Name)
				if r.Standby != resources.Warm && (len(where) != 1 || where[0] != is.Owner) || r.Standby == resources.Warm && !slices.Contains(where, is.Owner) {
					return false
				}
			}
		}
		return len(s.Nodes) == 3
	})
}
