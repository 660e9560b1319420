// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
)

// env is what a subcommand works with.
type env struct {
	flags          *flag.FlagSet
	name           *string // of the lab
	stdin          io.Reader
	stdout, stderr io.Writer
}

// subcommand is one verb. Its setup adds flags and returns what to do once they
// are parsed.
type subcommand struct {
	name, args, help string
	setup            func(*env) func(ctx context.Context, args []string) error
}

// errUsage is answered with the subcommand's usage.
var errUsage = errors.New("wrong arguments")

// exitCode is an error that was reported already.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(args) == 0 || args[0] == "help" || args[0] == "-h" || args[0] == "--help" {
		usage(stdout)
		return 0
	}
	for _, c := range subcommands() {
		if c.name == args[0] {
			return c.run(ctx, args[1:], stdin, stdout, stderr)
		}
	}
	fmt.Fprintf(stderr, "lab: unknown subcommand %q; see lab help\n", args[0])
	return 2
}

func (c subcommand) run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	e := &env{flags: flag.NewFlagSet("lab "+c.name, flag.ContinueOnError), stdin: stdin, stdout: stdout, stderr: stderr}
	e.flags.SetOutput(stderr)
	e.flags.Usage = func() {
		fmt.Fprintf(stderr, "usage: lab %s [-name lab] %s\n%s\n", c.name, c.args, c.help)
		e.flags.PrintDefaults()
	}
	e.name = e.flags.String("name", defaultName(), "name of the lab")
	do := c.setup(e)
	if err := e.flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	err := do(ctx, e.flags.Args())
	var code exitCode
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	case errors.Is(err, errUsage):
		e.flags.Usage()
		return 2
	}
	text := err.Error()
	if !strings.HasPrefix(text, "lab ") { // "lab NAME: ..." speaks for itself
		text = "lab: " + text
	}
	fmt.Fprintln(stderr, text)
	return 1
}

func defaultName() string {
	if name := os.Getenv("MAILHA_LAB"); name != "" {
		return name
	}
	return "lab"
}

func usage(w io.Writer) {
	fmt.Fprint(w, "lab makes test nodes: real Debian systems on a network of their own.\n\n")
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, c := range subcommands() {
		if c.help != "" {
			fmt.Fprintf(t, "  lab %s %s\t%s\n", c.name, c.args, c.help)
		}
	}
	t.Flush()
	fmt.Fprint(w, "\nEach takes -name to choose the lab, MAILHA_LAB in the environment does the same; the default is \"lab\".\n")
}
