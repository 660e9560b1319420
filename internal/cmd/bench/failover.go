// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/mailha/mailha/internal/bench"
	"github.com/mailha/mailha/internal/bench/rival"
)

// failover compares mailhad, Pacemaker and keepalived, each on three nodes of its own.
func (m measurement) failover(ctx context.Context) (err error) {
	m.tell("mailhad, Pacemaker and keepalived in turn")
	dir := filepath.Join(outDir, "failover")
	if err := buildTraffic(ctx, dir); err != nil {
		return err
	}
	c := bench.Contest{Runs: m.runs, Dir: dir, Tell: m.tell}
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
		rivals := side.of(ground)
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
	board, err := c.Play(ctx, m.acts)
	if err != nil {
		return err
	}
	if m.who != "" || len(m.acts) > 0 { // not the whole
		board.Write(os.Stdout, missedBecause())
		return nil
	}
	return writeBoard(failover, board, on)
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
