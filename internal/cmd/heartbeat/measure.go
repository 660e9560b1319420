// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/mailha/mailha/internal/clock"
	"github.com/mailha/mailha/internal/heartbeat"
)

type measurement struct {
	timing        heartbeat.Timing
	during        time.Duration
	kills, stalls int
	spinners      int
	litter        int
	under         []string
	tell          func(format string, args ...any)
	stderr        io.Writer

	children [nodes]*child
	lives    []uint64
}

// child is a process that is a node.
type child struct {
	cmd    *exec.Cmd
	orders io.WriteCloser
	events chan event
}

func (m *measurement) run(ctx context.Context) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for range m.spinners {
		cmd, err := m.command(ctx, "spin")
		if err != nil {
			return err
		}
		if err := cmd.Start(); err != nil {
			return fmt.Errorf("start a load: %w", err)
		}
		defer func() { cancel(); cmd.Wait() }()
	}
	m.lives = []uint64{1, 2, 3}
	for i := range nodes {
		if err := m.start(ctx, i); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, m.children[i].end()) }()
	}
	m.follow()
	time.Sleep(8 * time.Second)
	m.tell("interval %s, suspect %s to %s, %d processes that compute", m.timing.Interval, m.timing.Suspect, m.timing.SuspectMax, m.spinners)
	for _, part := range []func(context.Context) error{m.falseAlarms, m.stall, m.kill} {
		if err := part(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (m *measurement) command(ctx context.Context, args ...string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	args = append([]string{self}, args...)
	if args[1] == "node" {
		args = append(slices.Clone(m.under), args...)
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stderr = m.stderr
	return cmd, nil
}

func (m *measurement) start(ctx context.Context, i int) error {
	cmd, err := m.command(ctx, "node", "-n", fmt.Sprint(i), "-life", fmt.Sprint(m.lives[i]), "-interval", m.timing.Interval.String(),
		"-suspect", m.timing.Suspect.String(), "-suspect-max", m.timing.SuspectMax.String(), "-garbage", fmt.Sprint(m.litter))
	if err != nil {
		return err
	}
	c := &child{cmd: cmd, events: make(chan event, 10000)}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if c.orders, err = cmd.StdinPipe(); err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start a node: %w", err)
	}
	go func() {
		defer close(c.events)
		for d := json.NewDecoder(bufio.NewReader(out)); ; {
			var e event
			if d.Decode(&e) != nil {
				return
			}
			c.events <- e
		}
	}()
	m.children[i] = c
	return nil
}

// end ends a node that may be dead.
func (c *child) end() error {
	c.orders.Close()
	for range c.events {
	}
	var exit *exec.ExitError
	if err := c.cmd.Wait(); err != nil && !errors.As(err, &exit) {
		return err
	}
	return nil
}

func (m *measurement) follow() {
	line := strings.Trim(fmt.Sprint(m.lives), "[]")
	for _, c := range m.children {
		fmt.Fprintln(c.orders, line)
	}
}

// await is the first event of the kind, or an error after ten seconds.
func (c *child) await(ctx context.Context, ok func(event) bool) (event, error) {
	late := time.After(10 * time.Second)
	for {
		select {
		case <-ctx.Done():
			return event{}, ctx.Err()
		case <-late:
			return event{}, errors.New("a node does not say what it should within ten seconds")
		case e, open := <-c.events:
			if !open {
				return event{}, errors.New("a node has ended")
			}
			if ok(e) {
				return e, nil
			}
		}
	}
}

// count is how often it has said something since it was last listened to.
func (c *child) count(what string) (n int) {
	for range len(c.events) {
		if e := <-c.events; e.What == what {
			n++
		}
	}
	return n
}

func (m *measurement) reports(ctx context.Context) (all [nodes]event, err error) {
	for i, c := range m.children {
		fmt.Fprintln(c.orders, "report")
		if all[i], err = c.await(ctx, func(e event) bool { return e.What == "report" }); err != nil {
			return all, err
		}
	}
	return all, nil
}

// alarms are the suspicions of a node between two reports.
func alarms(before, after event) (suspicions, withdrawn uint64) {
	for i, s := range after.View.Nodes {
		suspicions += s.Suspicions - before.View.Nodes[i].Suspicions
		withdrawn += s.Withdrawn - before.View.Nodes[i].Withdrawn
	}
	return suspicions, withdrawn
}

func (m *measurement) falseAlarms(ctx context.Context) error {
	before, err := m.reports(ctx)
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(m.during):
	}
	condemned := 0
	for _, c := range m.children {
		condemned += c.count("condemned")
	}
	after, err := m.reports(ctx)
	if err != nil {
		return err
	}
	m.tell("nobody dies for %s: condemned %d times", m.during, condemned)
	for i := range after {
		suspicions, withdrawn := alarms(before[i], after[i])
		var gap, limit time.Duration
		for _, s := range after[i].View.Nodes {
			gap, limit = max(gap, s.WorstGap), max(limit, s.Limit)
		}
		took := after[i].At.Sub(before[i].At)
		m.tell("  %s: %d suspicions, %d withdrawn; worst gap %s, limit %s; slept %s at most, %.1f %% in all; %.2f %% of a processor", name(i), suspicions, withdrawn,
			gap.Round(100*time.Microsecond), limit.Round(100*time.Microsecond), after[i].View.LongestSleep.Round(100*time.Microsecond),
			100*float64(after[i].View.Slept-before[i].View.Slept)/float64(took), 100*float64(after[i].CPU-before[i].CPU)/float64(took))
	}
	return nil
}

// stall stops a node for a while: it must not suspect others when it runs again.
func (m *measurement) stall(ctx context.Context) error {
	if m.stalls == 0 {
		return nil
	}
	before, err := m.reports(ctx)
	if err != nil {
		return err
	}
	for range m.stalls {
		m.children[0].cmd.Process.Signal(syscall.SIGSTOP)
		time.Sleep(300*time.Millisecond + rand.N(2*time.Second))
		m.children[0].cmd.Process.Signal(syscall.SIGCONT)
		time.Sleep(time.Second + rand.N(time.Second))
	}
	after, err := m.reports(ctx)
	if err != nil {
		return err
	}
	suspicions, _ := alarms(before[0], after[0])
	m.tell("stopped (SIGSTOP) %d times for 0.3 to 2.3 s: the stopped one suspects others %d times", m.stalls, suspicions)
	return nil
}

// kill kills the last node, again and again.
func (m *measurement) kill(ctx context.Context) error {
	const victim = nodes - 1
	var heart, suspect, condemned []time.Duration
	for range m.kills {
		if _, err := m.reports(ctx); err != nil { // what was said before is old
			return err
		}
		time.Sleep(rand.N(m.timing.Interval))
		died := clock.Boot{}.Now()
		if err := m.children[victim].cmd.Process.Kill(); err != nil {
			return fmt.Errorf("kill a node: %w", err)
		}
		for _, c := range m.children[:victim] {
			about := func(what ...string) func(event) bool {
				return func(e event) bool { return e.Node == name(victim) && slices.Contains(what, e.What) }
			}
			e, err := c.await(ctx, about("suspect", "condemned"))
			if err != nil {
				return err
			}
			heart = append(heart, e.Since.Sub(died))
			suspect = append(suspect, e.At.Sub(died))
			if e.What != "condemned" {
				if e, err = c.await(ctx, about("condemned")); err != nil {
					return err
				}
			}
			condemned = append(condemned, e.At.Sub(died))
		}
		if err := m.children[victim].end(); err != nil {
			return err
		}
		m.lives[victim] += nodes
		if err := m.start(ctx, victim); err != nil {
			return err
		}
		m.follow()
		time.Sleep(7 * time.Second) // until it is known to be steady
	}
	if m.kills > 0 {
		m.tell("killed (SIGKILL) %d times: looks dead to the heart after %s; to a daemon after %s; condemned after %s", m.kills, summary(heart), summary(suspect), summary(condemned))
	}
	return nil
}

func summary(all []time.Duration) string {
	slices.Sort(all)
	round := func(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
	return fmt.Sprintf("%s median, %s worst", round(all[len(all)/2]), round(all[len(all)-1]))
}
