// SPDX-License-Identifier: Apache-2.0

// Command lab makes test nodes and works on them; see package
// [github.com/mailha/mailha/internal/lab]. Under the name fence_lab it is the
// fence agent inside a node, and as a virtual machine's /init what boots it and runs
// commands in it.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/mailha/mailha/internal/lab"
	"github.com/mailha/mailha/internal/lab/fence"
	"github.com/mailha/mailha/internal/lab/machine"
)

func main() {
	if os.Getpid() == 1 && os.Args[0] == "/init" {
		fmt.Fprintln(os.Stderr, machine.Init())
		return // the kernel panics, and the machine ends
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if os.Args[0] == machine.ServerName {
		fmt.Fprintln(os.Stderr, machine.Serve(ctx))
		os.Exit(1)
	}
	if filepath.Base(os.Args[0]) == "fence_lab" {
		os.Exit(fence.Agent(ctx, filepath.Join(lab.SharePath, fence.SocketName), os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
