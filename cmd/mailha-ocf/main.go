// SPDX-License-Identifier: Apache-2.0

// Command mailha-ocf is the multi-call binary behind every ocf:mailha:* agent.
// It is executed every few seconds on every node, so it must never link what it
// does not need for that: see the test of its dependencies.
package main

import (
	"context"
	"io"
	"os"

	"github.com/mailha/mailha/internal/journal"
	"github.com/mailha/mailha/internal/ocf"
	"github.com/mailha/mailha/internal/suite"
)

// version is set by the linker.
var version = "0.0.0"

func main() {
	os.Exit(run(context.Background(), os.Args, os.Environ(), os.Stdout, os.Stderr))
}

func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) int {
	p := ocf.Program{
		Types:    suite.Types(),
		Version:  version,
		StateDir: ocf.StateDir,
		Journal:  journal.Socket,
	}
	return int(p.Run(ctx, ocf.Call{Args: args, Environ: environ, Stdout: stdout, Stderr: stderr}))
}
