// SPDX-License-Identifier: Apache-2.0

// Command traffic makes mail flow through a clustered MTA, measures what a client sees and proves what became of every
// message. It is a test tool: see package traffic.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/mailha/mailha/internal/traffic"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	os.Exit(traffic.Main(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
