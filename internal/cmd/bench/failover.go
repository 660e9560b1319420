// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mailha/mailha/internal/bench"
	"github.com/mailha/mailha/internal/bench/rival"
)

// failover compares what mailhad, Pacemaker and keepalived do when nothing is lost for
// good: moves, and services that die.
func (m measurement) failover(ctx context.Context) error {
	acts := m.acts
	if len(acts) == 0 {
		acts = slices.DeleteFunc(bench.Acts(), func(act string) bool { return act == cut })
	}
	return m.contest(ctx, failover, acts, m.runs, func(name string) bool {
		return !strings.Contains(name, "leader lost") && !strings.Contains(name, "0.05")
	})
}

// cut is the act of a node that loses its power.
const cut = "cut"

// powerCuts compares how they get on when the active node loses its power, all in one run.
func (m measurement) powerCuts(ctx context.Context) error {
	// With Postfix in a group that is started anew, Pacemaker takes as long for the address.
	return m.contest(ctx, cuts, []string{cut}, m.cuts, func(name string) bool { return name != "Pacemaker, group" })
}

// contest compares mailhad, Pacemaker and keepalived, each on three nodes of its own, in
// those of their shapes that fit.
func (m measurement) contest(ctx context.Context, part string, acts []string, runs int, fits func(name string) bool) (err error) {
	m.tell("mailhad, Pacemaker and keepalived in turn")
	dir := filepath.Join(outDir, part)
	if err := buildTraffic(ctx, dir); err != nil {
		return err
	}
	c := bench.Contest{Runs: runs, Dir: dir, Tell: m.tell}
	var versionsOf []string
	for _, side := range []struct {
		name string
		of   func(*rival.Ground) []rival.Rival
	}{{"benchmailhad", rival.Mailhads}, {"benchpacemaker", rival.Pacemakers}, {"benchkeepalived", rival.Keepaliveds}} {
		if m.who != "" && side.name != "bench"+m.who {
			continue
		}
		ground, err2 := rival.Up(ctx, side.name, ".", m.log)
		if err2 != nil {
			return err2
		}
		defer func() { err = errors.Join(err, ground.Down(dir)) }()
		rivals := slices.DeleteFunc(side.of(ground), func(r rival.Rival) bool { return !strings.Contains(r.Name(), m.shape) || !fits(r.Name()) })
		if len(rivals) == 0 {
			continue
		}
		c.Rivals = append(c.Rivals, rivals)
		versionsOf = append(versionsOf, rivals[0].Versions()...)
	}
	if len(c.Rivals) == 0 {
		return fmt.Errorf("there is no side %q: mailhad, pacemaker or keepalived", m.who)
	}
	on, err := versions(ctx, c.Rivals[0][0].Ground().Lab.Nodes()[0], append(versionsOf, "postfix")...)
	if err != nil {
		return err
	}
	board, err := c.Play(ctx, acts)
	if err != nil {
		return err
	}
	if m.who != "" || m.shape != "" { // not all that are compared
		board.Write(os.Stdout, missedBecause())
		return nil
	}
	return writeBoard(part, board, on)
}

// buildTraffic makes the client's program.
func buildTraffic(ctx context.Context, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(dir, "traffic"), "./internal/cmd/traffic")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", cmd, err, out)
	}
	return nil
}
