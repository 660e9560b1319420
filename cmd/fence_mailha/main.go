// SPDX-License-Identifier: Apache-2.0

// Command fence_mailha is a fence agent for Pacemaker, for mailhad and for people: it has
// a node end itself through etcd, or waits until the node's watchdog has done it.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/mailha/mailha/internal/fenceagent"
	"github.com/mailha/mailha/internal/kinds"
	"github.com/mailha/mailha/internal/suite"
)

// version is set by the linker.
var version = "0.0.0"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	agent := fenceagent.Agent{Version: version, Kinds: kinds.Of(suite.Types())}
	code := agent.Run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
