// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/mailha/mailha/internal/clock"
	"github.com/mailha/mailha/internal/heartbeat"
)

const nodes = 3

// event is a line that a node prints.
type event struct {
	At   clock.Time // of the machine, the same for all nodes here
	Node string     // that it is about
	What string     // suspect, alive, condemned, report
	// Since is when its heart knew: At is when a thread without priority did.
	Since clock.Time
	View  *heartbeat.View `json:",omitempty"`
	CPU   time.Duration   // of the process until now
}

func name(i int) string { return "n" + strconv.Itoa(i+1) }

func key(i int) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{byte(i + 1)}, ed25519.SeedSize))
}

// roster is all nodes in the lives given.
func roster(lives []uint64) []heartbeat.Node {
	var all []heartbeat.Node
	for i, life := range lives {
		all = append(all, heartbeat.Node{
			Name: name(i), Life: life, Key: key(i).Public().(ed25519.PublicKey),
			Addresses: []netip.Addr{netip.AddrFrom4([4]byte{127, 9, 0, byte(i + 1)})},
		})
	}
	return all
}

// beat is a node: it reads the lives of all, or "report", a line each, and prints events.
func beat(ctx context.Context, self int, life uint64, timing heartbeat.Timing, litter int, orders io.Reader, out io.Writer) error {
	h, err := heartbeat.New(heartbeat.Config{
		Cluster: "bench", Node: name(self), Key: key(self), Port: 2382, Timing: timing, Promise: time.Second,
		Agree: func(string) bool { return true }, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	lines := make(chan string)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(orders); s.Scan(); {
			lines <- s.Text()
		}
	}()
	go h.Run(ctx)
	for range litter {
		go garbage(ctx)
	}
	encoder := json.NewEncoder(out)
	before := map[string]string{}
	for {
		select {
		case <-ctx.Done():
			return nil
		case line, open := <-lines:
			if !open {
				return nil
			}
			if line == "report" {
				v := h.View()
				v.Closed = nil
				if err := encoder.Encode(event{At: v.At, What: "report", View: &v, CPU: cpu()}); err != nil {
					return err
				}
				continue
			}
			if err := follow(h, line); err != nil {
				return err
			}
		case <-h.Changed():
			now := clock.Boot{}.Now()
			for _, s := range h.View().Nodes {
				what := s.State.String()
				if s.Condemned {
					what = "condemned"
				}
				if what == before[s.Node] {
					continue
				}
				before[s.Node] = what
				if err := encoder.Encode(event{At: now, Node: s.Node, What: what, Since: s.Since}); err != nil {
					return err
				}
			}
		}
	}
}

// garbage keeps the collector busy, as a member of etcd does.
func garbage(ctx context.Context) {
	kept := make([][]byte, 2000)
	for i := 0; ctx.Err() == nil; i++ {
		kept[i%len(kept)] = make([]byte, 10000)
		if i%20 == 0 {
			time.Sleep(10 * time.Millisecond)
		}
	}
}

func follow(h *heartbeat.Heart, line string) error {
	var lives []uint64
	for _, f := range strings.Fields(line) {
		life, err := strconv.ParseUint(f, 10, 64)
		if err != nil {
			return fmt.Errorf("%q is no life: %w", f, err)
		}
		lives = append(lives, life)
	}
	return h.Follow(roster(lives))
}

// cpu is what this process has used.
func cpu() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
