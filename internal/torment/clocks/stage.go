// SPDX-License-Identifier: Apache-2.0

package clocks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"github.com/mailha/mailha/internal/api"
	"github.com/mailha/mailha/internal/judge"
	"github.com/mailha/mailha/internal/lab"
	"github.com/mailha/mailha/internal/scenario"
)

const (
	lease  = 10 * time.Second
	margin = 500 * time.Millisecond

	// wanted is how long the group is wanted where it is put: longer than any jump, since
	// whoever has a wrong clock takes it for over by that one.
	wanted = "3h"

	group    = "clock"
	unit     = "mailha-clock.service"
	address4 = "10.77.0.60"
	address6 = "fd77::60"

	config = `[cluster]
name = "clocks"
lease = "10s"
margin = "500ms"
max_moves = 1000

[etcd] # one of its members is emulated
heartbeat = "200ms"
election = "2s"

[heartbeat] # at the default an emulated processor has time for little else
interval = "200ms"
suspect = "1s"

[[node]]
name = "node1"
address = "10.77.0.11"

[[node]]
name = "node2"
address = "10.77.0.12"

[[node]]
name = "node3"
address = "10.77.0.13"

[[group]]
name = "clock"
nodes = ["node1", ["node2", "node3"]]
hold_down = "1s"

[[resource]]
name = "p_clock"
kind = "service"
group = "clock"

[resource.params]
unit = "mailha-clock.service"
ip = ["10.77.0.60", "fd77::60"]
`
	unitText = `[Service]
ExecStart=/bin/sleep infinity
Restart=no
`
)

// Stage is a virtual machine and two containers that run a cluster with one group: a
// service and its addresses.
type Stage struct {
	lab   *lab.Lab
	judge *judge.Judge
	eye   *eye
}

// Up brings it up. Source is the directory of this module. Progress goes to log.
func Up(ctx context.Context, name, source string, log io.Writer) (*Stage, error) {
	l, err := lab.Up(ctx, lab.Config{Name: name, Nodes: 3, Machines: 1, Log: log})
	if err != nil {
		return nil, err
	}
	s := &Stage{lab: l}
	if err := s.furnish(ctx, source, log); err != nil {
		return nil, errors.Join(err, s.tell(), s.Down())
	}
	return s, nil
}

func (s *Stage) furnish(ctx context.Context, source string, log io.Writer) error {
	if err := scenario.Install(ctx, source, s.lab); err != nil {
		return err
	}
	err := s.lab.Each(func(n *lab.Node) error {
		if err := n.Push("/etc/systemd/system/"+unit, []byte(unitText), 0o644); err != nil {
			return err
		}
		_, err := n.Output(ctx, "systemctl", "daemon-reload")
		return err
	})
	if err != nil {
		return err
	}
	fmt.Fprintln(log, "forming a cluster of a virtual machine and two containers")
	if err := scenario.FormMailhad(ctx, s.lab, config); err != nil {
		return err
	}
	if err := s.settled(ctx, nil); err != nil {
		return err
	}
	return s.watch(ctx)
}

// watch begins to judge.
func (s *Stage) watch(ctx context.Context) error {
	own4, own6 := netip.MustParseAddr("10.77.0.102"), netip.MustParseAddr("fd77::102")
	host, err := s.lab.AddHost(ctx, "judge", own4, own6)
	if err != nil {
		return err
	}
	cfg := judge.Config{
		Host: host, Own4: own4, Own6: own6, Units: []string{unit},
		Addrs: []netip.Addr{netip.MustParseAddr(address4), netip.MustParseAddr(address6)},
	}
	for _, n := range s.containers() {
		cfg.Nodes = append(cfg.Nodes, judge.Node{Name: n.Name(), PID: n.LeaderPID})
	}
	if s.judge, err = judge.Start(cfg); err != nil {
		return err
	}
	s.judge.Know(s.machine().MAC(), s.machine().Name(), blink)
	s.eye, err = look(ctx, s.machine(), s.judge)
	return err
}

// Down removes everything.
func (s *Stage) Down() error {
	var errs []error
	if s.eye != nil {
		errs = append(errs, s.eye.close())
	}
	if s.judge != nil {
		errs = append(errs, s.judge.Stop())
	}
	return errors.Join(append(errs, s.lab.Down())...)
}

func (s *Stage) machine() *lab.Node { return s.lab.Nodes()[0] }

func (s *Stage) containers() []*lab.Node { return s.lab.Nodes()[1:] }

// status is what a node other than one that may be cut off knows.
func (s *Stage) status(ctx context.Context) (api.Status, error) {
	var st api.Status
	out, err := s.containers()[0].Output(ctx, "mailhactl", "status", "--output", "json")
	if err != nil {
		return st, err
	}
	return st, json.Unmarshal([]byte(out), &st)
}

// settled waits until all nodes take part and the group runs on the one that is wanted;
// nil: on any.
func (s *Stage) settled(ctx context.Context, on *lab.Node) error {
	const patience = 2 * time.Minute
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		missing := "it is not known"
		st, err := s.status(ctx)
		if err == nil {
			missing = unsettled(st, on)
		}
		if missing == "" {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the cluster does not settle: %s: %w", missing, errors.Join(ctx.Err(), err))
		case <-tick.C:
		}
	}
}

func unsettled(st api.Status, on *lab.Node) string {
	if st.Stale {
		return "the state is old"
	}
	for _, n := range st.Nodes {
		if n.State != api.Online {
			return fmt.Sprintf("node %s is %s", n.Name, n.State)
		}
	}
	for _, g := range st.Groups {
		if g.Phase != "running" || on != nil && g.Node != on.Name() {
			return fmt.Sprintf("group %s is %s on %q", g.Name, g.Phase, g.Node)
		}
	}
	return ""
}

// place has the group on a node, and waits until the judge has seen it there alone for a
// while: what the cluster knows may be about to change.
func (s *Stage) place(ctx context.Context, on *lab.Node) error {
	if err := s.settled(ctx, nil); err != nil {
		return err
	}
	st, err := s.status(ctx)
	if err != nil {
		return err
	}
	if len(st.Groups) != 1 || st.Groups[0].Node != on.Name() {
		if _, err := s.containers()[0].Output(ctx, "mailhactl", "group", "move", "--for", wanted, group, on.Name()); err != nil {
			return err
		}
	}
	if err := s.settled(ctx, on); err != nil {
		return err
	}
	return s.seen(ctx, on)
}

// seen waits until the judge has seen everything on one node alone for a while.
func (s *Stage) seen(ctx context.Context, on *lab.Node) error {
	const patience, while = 30 * time.Second, time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := wait(ctx, while)
		wrong := ""
		for _, thing := range s.things() {
			if held := s.judge.Holders(thing, time.Now().Add(-while/2)); len(held) != 1 || held[0] != on.Name() {
				wrong = fmt.Sprintf("%s is on %q, and the cluster says %s", thing.Name, held, on.Name())
			}
		}
		if wrong == "" {
			return err
		}
		if err != nil {
			return fmt.Errorf("%s: %w", wrong, err)
		}
	}
}

// run is which run of the group it is: another one after any restart or move.
func (s *Stage) run(ctx context.Context, on *lab.Node) (string, error) {
	return on.Output(ctx, "systemctl", "show", "--property=InvocationID,NRestarts", unit, "mailhad")
}

// tell is what the nodes say of themselves, as an error.
func (s *Stage) tell() error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var b strings.Builder
	for _, n := range s.lab.Nodes() {
		r, err := n.Exec(ctx, "sh", "-c", "mailhactl status; journalctl -u mailhad -n 30 --no-pager")
		fmt.Fprintf(&b, "%s: %v\n%s%s\n", n.Name(), err, r.Stdout, r.Stderr)
	}
	return errors.New(b.String())
}
