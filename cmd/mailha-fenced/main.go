// SPDX-License-Identifier: Apache-2.0

// Command mailha-fenced has a node be fenced through etcd: it takes the pills that
// fence_mailha sends, and its watchdog resets a node that cannot.
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
	"github.com/mailha/mailha/internal/fenced"
	"github.com/mailha/mailha/internal/kinds"
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
	flags := flag.NewFlagSet("mailha-fenced", flag.ContinueOnError)
	flags.SetOutput(stderr)
	file := flags.String("config", "/etc/mailha/mailha.toml", "the configuration `file`")
	node := flags.String("node", "", "the `name` of this node in it (default: the host name)")
	show := flags.Bool("version", false, "print the version, and end")
	err := flags.Parse(args[1:])
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return usage
	case flags.NArg() > 0:
		fmt.Fprintf(stderr, "mailha-fenced: it takes no %q; see mailha-fenced -help\n", flags.Arg(0))
		return usage
	case *show:
		fmt.Fprintln(stdout, version)
		return 0
	}
	d := fenced.Daemon{File: *file, Node: *node, Kinds: kinds.Of(suite.Types()), Log: daemon.NewLog(stderr, slog.LevelInfo)}
	if err := d.Run(ctx); err != nil {
		fmt.Fprintf(stderr, "mailha-fenced: %v\n", err)
		return failed
	}
	return 0
}
