// SPDX-License-Identifier: Apache-2.0

// Command endure moves and kills the services of a whole mail system again and
// again while clients use it, and looks at the end whether everything that was
// ever taken is there: "make endure". It must never touch anything but test nodes.
package main

import (
	"context"
	"errors"
	"flag"
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
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "endure:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var p plan
	fs := flag.NewFlagSet("endure", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.IntVar(&p.moves, "moves", 20, "planned moves, of each service in turn")
	fs.IntVar(&p.kills, "kills", 20, "nodes killed, the one of each service in turn")
	fs.BoolVar(&p.crowd, "crowd", true, "first move the front door with 200 IMAP, 50 SMTP and 20 LDAP sessions open")
	if err := fs.Parse(args); err != nil {
		return err
	}
	return p.play(ctx, stdout)
}
