// SPDX-License-Identifier: Apache-2.0

// Command lab makes test nodes and works on them; see package
// [github.com/mailha/mailha/internal/lab]. Under the name fence_lab it is the
// fence agent inside a node.
package main

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/mailha/mailha/internal/lab"
	"github.com/mailha/mailha/internal/lab/fence"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if filepath.Base(os.Args[0]) == "fence_lab" {
		os.Exit(fence.Agent(ctx, filepath.Join(lab.SharePath, fence.SocketName), os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
