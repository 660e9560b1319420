// SPDX-License-Identifier: Apache-2.0

// Command heartbeat measures heartbeats between three processes, on this machine as
// it is and with all its processors busy: how often a node looks dead that is not,
// how long it takes until one that was killed is condemned, and what a heart costs.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/mailha/mailha/internal/heartbeat"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "heartbeat:", err)
		os.Exit(1)
	}
}

// run measures; as "spin" it keeps a processor busy, and as "node" it is one of the
// nodes.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 1 && args[0] == "spin" {
		for ctx.Err() == nil {
		}
		return nil
	}
	m := measurement{tell: func(format string, args ...any) { fmt.Fprintf(stdout, format+"\n", args...) }, stderr: stderr}
	node := len(args) > 0 && args[0] == "node"
	if node {
		args = args[1:]
	}
	flags := flag.NewFlagSet("heartbeat", flag.ContinueOnError)
	flags.SetOutput(stderr)
	timing := heartbeat.Defaults()
	flags.DurationVar(&timing.Interval, "interval", timing.Interval, "between two packets of a node")
	flags.DurationVar(&timing.Suspect, "suspect", timing.Suspect, "least silence after which a node looks dead")
	flags.DurationVar(&timing.SuspectMax, "suspect-max", timing.SuspectMax, "most silence after which a node looks dead")
	flags.IntVar(&m.litter, "garbage", 1, "goroutines in each node that make 20 MB of garbage a second")
	if node {
		which := flags.Int("n", 0, "which node, from 0")
		life := flags.Uint64("life", 0, "its life")
		if err := flags.Parse(args); err != nil {
			return err
		}
		return beat(ctx, *which, *life, timing, m.litter, os.Stdin, stdout)
	}
	flags.DurationVar(&m.during, "for", time.Minute, "how long to look for false alarms")
	flags.IntVar(&m.kills, "kills", 20, "how often a node is killed")
	flags.IntVar(&m.stalls, "stalls", 10, "how often a node is stopped for a while")
	flags.IntVar(&m.spinners, "load", 0, fmt.Sprintf("processes that do nothing but compute, at the same nice level; this machine has %d processors", runtime.NumCPU()))
	under := flags.String("under", "", "a `command` that runs the nodes, such as \"nice -n -10\" or \"chrt -r 1\"")
	if err := flags.Parse(args); err != nil {
		return err
	}
	m.under = strings.Fields(*under)
	m.timing = timing
	return m.run(ctx)
}
