// SPDX-License-Identifier: Apache-2.0

// Command bench measures mailha against the agents that most clusters run
// today: "make bench".
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/mailha/mailha/internal/bench"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run measures; with the argument "costs" it is the part of the measurement
// that runs inside a node and prints its samples.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 1 && args[0] == costs {
		return inside(ctx, stdout)
	}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	moved := flags.Int("moves", 10, "planned moves of each set of agents, with and without a shared disk")
	kills := flags.Int("kills", 10, "node kills of each set of agents")
	runs := flags.Int("runs", 10, "runs of each act of the part failover by each of those compared")
	cut := flags.Int("cuts", 20, "power cuts of each of those compared in the part cuts")
	acts := flags.String("acts", "", "of the part failover these `acts` alone, with commas: "+strings.Join(bench.Acts(), ", "))
	who := flags.String("who", "", "of the parts failover and cuts this `side` alone: mailhad, pacemaker or keepalived; nothing is written into docs")
	shape := flags.String("shape", "", "of the parts failover and cuts those alone whose name has this `text`; nothing is written into docs")
	only := flags.String("only", "", "one `part` alone: "+strings.Join(parts(), ", ")+"; the others' figures stay as they are")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *only != "" && !slices.Contains(parts(), *only) {
		return fmt.Errorf("there is no part %q; there are %s", *only, strings.Join(parts(), ", "))
	}
	if _, err := os.Stat("go.mod"); err != nil {
		return errors.New("run it from the top of the source tree: make bench")
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	b := measurement{log: stderr, began: time.Now(), plan: bench.Plan{Moves: *moved, MovesWithDisk: *moved, Kills: *kills}, runs: *runs, cuts: *cut, who: *who, shape: *shape}
	if *acts != "" {
		b.acts = strings.Split(*acts, ",")
	}
	for _, part := range parts() {
		if *only != "" && *only != part {
			continue
		}
		if err := b.measure(ctx, part); err != nil {
			return fmt.Errorf("%s: %w", part, err)
		}
	}
	return nil
}
