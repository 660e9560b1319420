// SPDX-License-Identifier: Apache-2.0

// Command mailhactl is the operator's command line of mailhad. See mailhactl(8).
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/mailha/mailha/internal/console"
	"github.com/mailha/mailha/internal/suite"
)

// version is set by the linker.
var version = "0.0.0"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	code := console.Program{Types: suite.Types(), Version: version}.Run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
