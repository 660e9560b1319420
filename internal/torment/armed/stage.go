// SPDX-License-Identifier: Apache-2.0

// Package armed is what a cluster of mailhad is put through whose nodes can have one another
// switched off: processors that are busy for an hour, networks that fall apart, and devices
// that go wrong. It says whom that has cost what.
//
// It must never touch anything but a lab's nodes.
package armed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/mailha/mailha/internal/api"
	"github.com/mailha/mailha/internal/judge"
	"github.com/mailha/mailha/internal/lab"
	"github.com/mailha/mailha/internal/scenario"
)

// config is what is shipped but for what the lab is: something to take over on each node,
// which goes back at once so that the next try can begin.
const config = `[cluster]
name = "armed"
max_moves = 0
max_fencings = 0
`

// power is the device as it is shipped.
const power = `
[[fence]]
name = "power"
agent = "fence_lab"
nodes = ["node1", "node2", "node3"]
`

// Stage is a cluster that has fence devices.
type Stage struct {
	lab   *lab.Lab
	judge *judge.Judge
	addrs []netip.Addr
	text  string // of the configuration, but for the device
}

// Up brings it up. Source is the directory of this module. Progress goes to log.
func Up(ctx context.Context, name, source string, log io.Writer) (*Stage, error) {
	l, err := lab.Up(ctx, lab.Config{Name: name, Nodes: 3, Log: log})
	if err != nil {
		return nil, err
	}
	s := &Stage{lab: l}
	if err := s.furnish(ctx, source); err != nil {
		return nil, errors.Join(err, s.Down())
	}
	return s, nil
}

func (s *Stage) furnish(ctx context.Context, source string) error {
	if err := scenario.Install(ctx, source, s.lab); err != nil {
		return err
	}
	s.text = config
	for i, n := range s.lab.Nodes() {
		s.text += fmt.Sprintf(`
[[node]]
name = %[1]q
address = %[2]q

[[group]]
name = "group%[3]d"
nodes = [%[1]q, "node%[4]d"]
failback = "immediate"
stickiness = "0s"
hold_down = "1s"

[[resource]]
name = "p_ip%[3]d"
kind = "vip"
group = "group%[3]d"
[resource.params]
ip = ["10.77.0.%[5]d", "fd77::%[5]d"]
`, n.Name(), n.Addr4(), i+1, (i+1)%len(s.lab.Nodes())+1, 60+i)
		s.addrs = append(s.addrs, netip.AddrFrom4([4]byte{10, 77, 0, byte(60 + i)}), netip.MustParseAddr(fmt.Sprintf("fd77::%d", 60+i)))
	}
	if err := scenario.FormMailhad(ctx, s.lab, s.text+power); err != nil {
		return err
	}
	if err := s.settled(ctx); err != nil {
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
	cfg := judge.Config{Host: host, Own4: own4, Own6: own6, Addrs: s.addrs}
	for _, n := range s.lab.Nodes() {
		cfg.Nodes = append(cfg.Nodes, judge.Node{Name: n.Name(), PID: n.LeaderPID})
	}
	s.judge, err = judge.Start(cfg)
	return err
}

// Down removes everything.
func (s *Stage) Down() error {
	var err error
	if s.judge != nil {
		err = s.judge.Stop()
	}
	return errors.Join(err, s.lab.Down())
}

func (s *Stage) status(ctx context.Context, n *lab.Node) (api.Status, error) {
	var st api.Status
	out, err := n.Output(ctx, "mailhactl", "status", "--output", "json")
	if err != nil {
		return st, err
	}
	return st, json.Unmarshal([]byte(out), &st)
}

// whole says whether all of etcd's members follow one. A network that is mended is whole
// for them some seconds later, and the next fault before that would be a second one.
func (s *Stage) whole(ctx context.Context) bool {
	out, err := s.lab.Nodes()[0].Output(ctx, "mailhactl", "cluster", "members", "--output", "json")
	var members []struct{ State string }
	if err != nil || json.Unmarshal([]byte(out), &members) != nil || len(members) != len(s.lab.Nodes()) {
		return false
	}
	for _, m := range members {
		if m.State != "leader" && m.State != "follower" {
			return false
		}
	}
	return true
}

// settled waits until etcd is whole, and each node is there and runs its own group.
func (s *Stage) settled(ctx context.Context) error {
	const patience = 3 * time.Minute
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		st, err := s.status(ctx, s.lab.Nodes()[0])
		well := err == nil && !st.Stale
		for _, n := range st.Nodes {
			well = well && n.State == api.Online
		}
		for i, g := range st.Groups {
			well = well && g.Phase == "running" && g.Node == s.lab.Nodes()[i].Name()
		}
		if well && s.whole(ctx) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the cluster does not settle: %w", errors.Join(ctx.Err(), err))
		case <-time.After(500 * time.Millisecond):
		}
	}
}
