// SPDX-License-Identifier: Apache-2.0

// Package torment is what a cluster of mailhad is put through: faults of its nodes, its
// network, its disks and its operators, each with an undo.
//
// Clocks are in a package of their own, torment/clocks: containers share the host's, and
// a node with another one has to be a virtual machine.
//
// It must never touch anything but a lab's nodes, and never leave one of them broken
// after its torment has ended.
package torment

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/mailha/mailha/internal/lab"
	"github.com/mailha/mailha/internal/scenario"
)

// beyond is longer than the lease of contrib/mailhad/mail.toml and all margins.
const beyond = 14 * time.Second

// Torment is one kind of fault.
type Torment struct {
	Name  string // as on the command line
	Title string // for people
	do    func(ctx context.Context, s *scenario.System, p scenario.Part) error
}

// Deed is the torment as a system plays it.
func (t Torment) Deed() scenario.Deed { return scenario.NewDeed(t.Name, t.Title, t.do) }

// All are the torments, those first that are most likely to find something.
func All() []Torment {
	return []Torment{
		{"node-freeze", "freeze a whole node beyond the lease", onVictim(freeze)},
		{"daemon-stop", "SIGSTOP of mailhad beyond the lease", onVictim(stopDaemon)},
		{"daemon-kill", "SIGKILL of mailhad", onVictim(killDaemon)},
		{"power-cut", "power cut, and back", onVictim(cutPower)},
		{"link-cut", "link cut beyond the lease", onVictim(cutLink)},
		{"peers-cut", "link cut to etcd's peers only", onVictim(cutPeers)},
		{"clients-cut", "link cut to clients only", onVictim(cutClients)},
		{"deaf", "link cut one way: nothing comes in", onVictim(deafen)},
		{"mute", "link cut one way: nothing goes out", onVictim(mute)},
		{"link-flap", "link down and up five times", onVictim(flap)},
		{"address-del", "ip addr del of the address", delAddress},
		{"dbus-restart", "D-Bus killed in the middle of a move", killBus},
		{"two-moves", "two moves of a group at once", moveTwice},
		{"reload-move", "a new configuration in the middle of a move", reloadInMove},
		{"disk-full", "no room left below etcd", onVictim(fillDisk)},
		{"disk-hang", "the store's disk hangs, and mailhad is killed", hangDisk},
		{"quorum-loss", "two of three nodes lost at once, and back", loseQuorum},
		{"restore", "all members' data lost, and a snapshot restored that is too old", restore},
	}
}

// Prepare lets the cluster move as often as it is tormented, and forget what failed: what
// protects from moves and failures without end would have it stand still after a few
// torments.
func Prepare(ctx context.Context, s *scenario.System) error {
	return s.Configure(ctx, func(config string) string {
		config = strings.ReplaceAll(config, "[[group]]\n", "[[group]]\nhold_down = \"2s\"\nfailure_window = \"10s\"\n")
		return strings.Replace(config, "[cluster]\n", "[cluster]\nmax_moves = 1000\n", 1)
	})
}

// onVictim finds the node that a service is on.
func onVictim(do func(ctx context.Context, s *scenario.System, n *lab.Node) error) func(context.Context, *scenario.System, scenario.Part) error {
	return func(ctx context.Context, s *scenario.System, p scenario.Part) error {
		n, err := s.Where(ctx, p)
		if err != nil {
			return err
		}
		return do(ctx, s, n)
	}
}

// during does something, waits, and undoes it even if ctx has ended.
func during(ctx context.Context, d time.Duration, do, undo func(ctx context.Context) error) error {
	err := do(ctx)
	if err == nil {
		select {
		case <-ctx.Done():
		case <-time.After(d):
		}
	}
	const patience = 4 * time.Minute // an orderly stop of mailhad drains
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	return errors.Join(err, undo(ctx))
}

// sh runs a script on a node.
func sh(n *lab.Node, script string) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := n.Output(ctx, "sh", "-euc", script)
		return err
	}
}

// others are the nodes beside one.
func others(s *scenario.System, not *lab.Node) []*lab.Node {
	var all []*lab.Node
	for _, n := range s.Lab.Nodes() {
		if n != not {
			all = append(all, n)
		}
	}
	return all
}
