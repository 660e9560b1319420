// SPDX-License-Identifier: Apache-2.0

// Command mailhad keeps a mail system's services running on the nodes of a cluster,
// without any other cluster manager.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/mailha/mailha/internal/daemon"
	"github.com/mailha/mailha/internal/ocf"
	"github.com/mailha/mailha/internal/suite"
)

// version is set by the linker.
var version = "0.0.0"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args, os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	const failed, usage = 1, 2
	flags := flag.NewFlagSet("mailhad", flag.ContinueOnError)
	flags.SetOutput(stderr)
	file := flags.String("config", "/etc/mailha/mailha.toml", "the configuration `file`")
	node := flags.String("node", "", "the `name` of this node in it (default: the host name)")
	clean := flags.Bool("clean", false, "stop everything of the cluster's on this node, and end")
	debug := flags.Bool("debug", false, "log more")
	show := flags.Bool("version", false, "print the version, and end")
	err := flags.Parse(args[1:])
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return usage
	case flags.NArg() > 0:
		fmt.Fprintf(stderr, "mailhad: it takes no %q; see mailhad -help\n", flags.Arg(0))
		return usage
	case *show:
		fmt.Fprintln(stdout, version)
		return 0
	}
	level := slog.LevelInfo
	if *debug {
		level = slog.LevelDebug
	}
	d := daemon.Daemon{File: *file, Node: *node, Version: version, StateDir: ocf.StateDir, Types: suite.Types(), Log: daemon.NewLog(stderr, level)}
	act := d.Run
	if *clean {
		act = d.Clean
	}
	if err := act(ctx); err != nil {
		fmt.Fprintf(stderr, "mailhad: %v\n", err)
		return failed
	}
	return 0
}
