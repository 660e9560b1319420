// SPDX-License-Identifier: Apache-2.0

// Command bench measures mailha against the agents that most clusters run
// today: "make bench".
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
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
	return measure(ctx, stderr)
}
