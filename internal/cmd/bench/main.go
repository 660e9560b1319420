// SPDX-License-Identifier: Apache-2.0

// Command bench measures mailha against the agents that most clusters run
// today: "make bench".
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

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
	if len(args) == 1 && args[0] == "costs" {
		return costs(ctx, stdout)
	}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	moves := flags.Int("moves", 10, "planned moves of each set of agents, with and without a shared disk")
	kills := flags.Int("kills", 10, "node kills of each set of agents")
	if err := flags.Parse(args); err != nil {
		return err
	}
	return measure(ctx, stderr, bench.Plan{Moves: *moves, MovesWithDisk: *moves, Kills: *kills})
}
