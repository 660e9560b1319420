// SPDX-License-Identifier: Apache-2.0

// Command demo plays the main job on a real cluster and shows what a client
// sees: "make demo".
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	engine := flags.String("engine", "mailhad", "who runs the services: mailhad or pacemaker")
	only := flags.String("only", "", "services and acts, with commas between them; empty: all")
	if err := flags.Parse(args); err != nil {
		return err
	}
	return play(ctx, *engine, *only, stdout)
}
