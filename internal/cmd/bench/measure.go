// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/mailha/mailha/internal/bench"
	"github.com/mailha/mailha/internal/lab"
	"github.com/mailha/mailha/internal/scenario"
)

const (
	outDir   = "build"
	patience = 3 * time.Hour
)

// The parts of the benchmarks.
const (
	costs = "costs"
	moves = "moves"
	// faults has files of its own.
	faults   = "faults"
	failover = "failover"
	cuts     = "cuts"
)

func parts() []string { return []string{costs, moves, failover, cuts, faults} }

// measurement is one run of the program.
type measurement struct {
	log   io.Writer
	began time.Time
	plan  bench.Plan
	// Of failover and cuts alone: how often each act is played, and if only some are, which by
	// whom.
	runs int
	cuts int
	acts []string
	who  string
	// Those alone whose name has this.
	shape string
}

func (m measurement) tell(what string) {
	fmt.Fprintf(m.log, "%6.0f s  %s\n", time.Since(m.began).Seconds(), what)
}

// measure runs one part and writes down what it found.
func (m measurement) measure(ctx context.Context, part string) error {
	switch part {
	case moves:
		return m.moves(ctx)
	case faults:
		return m.faults(ctx)
	case failover:
		return m.failover(ctx)
	case cuts:
		return m.powerCuts(ctx)
	}
	return m.costs(ctx)
}

func (m measurement) moves(ctx context.Context) (err error) {
	m.tell("planned moves and node losses, both sets of agents in turn")
	stage, err := scenario.Up(ctx, "bench", ".", filepath.Join(outDir, "bench"), m.log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stage.Down()) }()
	on, err := versions(ctx, stage.Lab.Nodes()[0], "pacemaker", "corosync", "postfix")
	if err != nil {
		return err
	}
	samples, err := bench.Blackouts(ctx, stage, m.plan, m.tell)
	if err != nil {
		return err
	}
	return write(moves, bench.Results(moves, samples), on)
}

func (m measurement) costs(ctx context.Context) (err error) {
	m.tell("calls of single agents, in turn, in a node without a cluster")
	solo, err := scenario.SoloUp(ctx, "benchcosts", ".", m.log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, solo.Lab.Down()) }()
	on, err := versions(ctx, solo.Node, "postfix", "dovecot-core", "slapd")
	if err != nil {
		return err
	}
	samples, err := inNode(ctx, solo)
	if err != nil {
		return err
	}
	return write(costs, bench.Results(costs, samples), on)
}

func (m measurement) faults(ctx context.Context) (err error) {
	m.tell("faults on running services, and what each monitor notices of them")
	solo, err := scenario.SoloUp(ctx, "benchfaults", ".", m.log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, solo.Lab.Down()) }()
	on, err := versions(ctx, solo.Node, "postfix", "dovecot-core", "slapd")
	if err != nil {
		return err
	}
	rows, err := bench.Faults(ctx, solo, m.tell)
	if err != nil {
		return err
	}
	return writeFaults(rows, on)
}

// inNode runs this program inside the node.
func inNode(ctx context.Context, solo *scenario.Solo) ([]bench.Samples, error) {
	program := filepath.Join(solo.Lab.ShareDir(), "bench")
	build := exec.CommandContext(ctx, "go", "build", "-o", program, "./internal/cmd/bench")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", build, err, out)
	}
	out, err := solo.Node.Output(ctx, lab.SharePath+"/bench", costs)
	if err != nil {
		return nil, err
	}
	var samples []bench.Samples
	return samples, json.Unmarshal([]byte(out), &samples)
}

// inside is what runs there.
func inside(ctx context.Context, stdout io.Writer) error {
	samples, err := bench.Costs(ctx)
	if err != nil {
		return err
	}
	return json.NewEncoder(stdout).Encode(samples)
}

// versions says on what the figures were measured.
func versions(ctx context.Context, n *lab.Node, packages ...string) (string, error) {
	packages = append(packages, "resource-agents", "systemd")
	found, err := n.Output(ctx, append([]string{"dpkg-query", "-W", "-f", "${Package} ${Version}, "}, packages...)...)
	if err != nil {
		return "", err
	}
	kernel, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d processors, Linux %s, %s, %s", runtime.NumCPU(), strings.TrimSpace(string(kernel)),
		strings.TrimRight(found, ", "), runtime.Version()), nil
}
