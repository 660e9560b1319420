// SPDX-License-Identifier: Apache-2.0

// Command torment puts a cluster of mailhad through faults while clients use it, and
// has a judge outside of the nodes say whether anything was ever on two: "make torment".
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
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "torment:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var p plan
	fs := flag.NewFlagSet("torment", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.StringVar(&p.name, "name", "torment", "of the lab")
	fs.IntVar(&p.tries, "tries", 10, "of each torment")
	fs.StringVar(&p.only, "only", "", "torments, with commas between them; empty: all but split, device and "+cpuLoad)
	fs.DurationVar(&p.strain, "for", time.Hour, "how long "+cpuLoad+" lasts")
	if err := fs.Parse(args); err != nil {
		return err
	}
	return p.play(ctx, stdout)
}
