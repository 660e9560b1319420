// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
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
	"github.com/mailha/mailha/internal/scenario"
)

const (
	outDir   = "build"
	patience = 50 * time.Minute
)

func costs(ctx context.Context, stdout io.Writer) error {
	samples, err := bench.Costs(ctx)
	if err != nil {
		return err
	}
	return json.NewEncoder(stdout).Encode(samples)
}

func measure(ctx context.Context, log io.Writer, plan bench.Plan) (err error) {
	if _, err := os.Stat("go.mod"); err != nil {
		return errors.New("run it from the top of the source tree: make bench")
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	began := time.Now()
	tell := func(what string) { fmt.Fprintf(log, "%6.0f s  %s\n", time.Since(began).Seconds(), what) }

	stage, err := scenario.Up(ctx, "bench", ".", filepath.Join(outDir, "bench"), log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stage.Down()) }()
	versions, err := versions(ctx, stage)
	if err != nil {
		return err
	}
	tell("planned moves and node losses, both sets of agents in turn")
	samples, err := bench.Blackouts(ctx, stage, plan, tell)
	if err != nil {
		return err
	}
	tell("calls of single agents, in turn, in a node without a cluster")
	more, err := inNode(ctx, stage)
	if err != nil {
		return err
	}
	var results []bench.Result
	for _, s := range append(more, samples...) {
		results = append(results, s.Result())
	}
	return write(results, versions)
}

// inNode runs the costs in a node whose cluster has stopped.
func inNode(ctx context.Context, stage *scenario.Stage) ([]bench.Samples, error) {
	program := filepath.Join(stage.Lab.ShareDir(), "bench")
	build := exec.CommandContext(ctx, "go", "build", "-o", program, "./internal/cmd/bench")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", build, err, out)
	}
	for _, n := range stage.Lab.Nodes() {
		if _, err := n.Output(ctx, "systemctl", "stop", "pacemaker", "corosync"); err != nil {
			return nil, err
		}
	}
	out, err := stage.Lab.Nodes()[0].Output(ctx, "/lab/bench", "costs")
	if err != nil {
		return nil, err
	}
	var samples []bench.Samples
	return samples, json.Unmarshal([]byte(out), &samples)
}

func versions(ctx context.Context, stage *scenario.Stage) (string, error) {
	packages, err := stage.Lab.Nodes()[0].Output(ctx, "dpkg-query", "-W", "-f", "${Package} ${Version}, ",
		"pacemaker", "corosync", "resource-agents", "postfix", "systemd")
	if err != nil {
		return "", err
	}
	kernel, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d processors, Linux %s, %s, %s", runtime.NumCPU(), strings.TrimSpace(string(kernel)),
		strings.TrimSuffix(packages, ", "), runtime.Version()), nil
}

const method = `# Benchmarks

Written by ` + "`make bench`" + `; do not edit.

%s.

Both sets of agents ran on the same nodes in the same run, in turn. Figures are
medians; machines that run this are noisy, so look at the ratios (mailha's figure
to the peer's), not at single times.

- Calls: an agent is executed as Pacemaker does it, inside a node whose cluster is
  stopped; CPU time includes all descendants; processes and threads are counted
  on the whole machine. The start-up of a call is what each pays before it does
  anything: mailha an action that there is not, a shell agent the functions that
  all of them read first.
- Blackouts: a client outside the cluster sends an echo request every 5 ms and
  opens a new SMTP connection every 20 ms; a blackout is the longest time between
  two answers. A planned move is ` + "`crm_resource --move`" + `; a node kill cuts a node's
  power, and includes Corosync's detection with its default token and fencing,
  which are the same for both sets.

`

func write(results []bench.Result, versions string) error {
	var data, page bytes.Buffer
	if err := bench.WriteJSON(&data, results); err != nil {
		return err
	}
	fmt.Fprintf(&page, method, versions)
	bench.WriteTable(&page, results)
	return errors.Join(
		os.WriteFile(filepath.Join(outDir, "bench.json"), data.Bytes(), 0o644),
		os.WriteFile(filepath.Join("docs", "benchmarks.md"), page.Bytes(), 0o644),
	)
}
