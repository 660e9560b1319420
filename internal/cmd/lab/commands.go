// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime/debug"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/mailha/mailha/internal/lab"
	"github.com/mailha/mailha/internal/lab/cluster"
	"github.com/mailha/mailha/internal/lab/image"
	"github.com/mailha/mailha/internal/lab/prereq"
)

func subcommands() []subcommand {
	onNode := func(name, help string, f func(*lab.Node, context.Context) error) subcommand {
		return subcommand{name, "node", help, func(e *env) func(context.Context, []string) error {
			return func(ctx context.Context, args []string) error { return e.onNode(ctx, args, f) }
		}}
	}
	return []subcommand{
		{"up", "[-nodes 3] [-machines 1] [-disk] [-cluster]", "make a lab", up},
		{"status", "", "show nodes and fencing", simple((*env).status)},
		{"exec", "node1|client [--] cmd", "run a command", execute},
		{"shell", "node1|client", "start a shell", shell},
		onNode("kill", "cut a node's power", (*lab.Node).Kill),
		onNode("off", "shut a node down cleanly", (*lab.Node).PowerOff),
		onNode("start", "switch a node on", (*lab.Node).Start),
		onNode("pause", "freeze a node", (*lab.Node).Pause),
		onNode("resume", "let a frozen node go on", (*lab.Node).Resume),
		onNode("cut", "pull a node's cable", (*lab.Node).CutLink),
		onNode("mend", "put a node's cable back in", (*lab.Node).MendLink),
		{"down", "", "remove the lab", simple((*env).down)},
		{"sweep", "", "remove what is left of labs whose owner died", simple((*env).sweep)},
		{"image", "", "build the base image only", simple((*env).image)},
		{"keep", "", "", simple((*env).keep)},
		{"serve", "", "", simple((*env).serve)},
		{"enter", "", "", enter},
	}
}

// simple is a subcommand without flags and arguments of its own.
func simple(f func(*env, context.Context) error) func(*env) func(context.Context, []string) error {
	return func(e *env) func(context.Context, []string) error {
		return func(ctx context.Context, args []string) error {
			if len(args) > 0 {
				return errUsage
			}
			return f(e, ctx)
		}
	}
}

func up(e *env) func(context.Context, []string) error {
	nodes := e.flags.Int("nodes", 3, "how many `nodes`")
	machines := e.flags.Int("machines", 0, "how many of them, the first ones, are virtual `machines`")
	disk := e.flags.Bool("disk", false, "with a shared disk, "+lab.DiskPath)
	form := e.flags.Bool("cluster", false, "form a Pacemaker cluster")
	return func(ctx context.Context, args []string) error {
		if len(args) > 0 {
			return errUsage
		}
		l, err := lab.Up(ctx, lab.Config{Name: *e.name, Nodes: *nodes, Machines: *machines, Disk: *disk, Log: e.stderr, Binary: ownBinary(), Detached: true})
		if err != nil {
			return err
		}
		if err := e.finish(ctx, l, *form); err != nil {
			return errors.Join(err, l.Down())
		}
		return nil
	}
}

func (e *env) finish(ctx context.Context, l *lab.Lab, form bool) error {
	if err := l.HandOver(); err != nil {
		return err
	}
	if !form {
		return nil
	}
	start := time.Now()
	if _, err := cluster.Form(ctx, l, cluster.Options{}); err != nil {
		return err
	}
	fmt.Fprintf(e.stderr, "lab %s: cluster formed in %.1f s\n", l.Name(), time.Since(start).Seconds())
	return nil
}

// ownBinary saves building if this program can run in nodes.
func ownBinary() string {
	info, ok := debug.ReadBuildInfo()
	self, err := os.Executable()
	if !ok || info.Path != lab.BinaryPackage || err != nil || lab.CheckStatic(self) != nil {
		return "" // a test of this package, for one
	}
	return self
}

func (e *env) onNode(ctx context.Context, args []string, f func(*lab.Node, context.Context) error) error {
	if len(args) != 1 {
		return errUsage
	}
	l, err := lab.Open(*e.name)
	if err != nil {
		return err
	}
	n := l.Node(args[0])
	if n == nil {
		return fmt.Errorf("lab %s has no node %q", l.Name(), args[0])
	}
	return f(n, ctx)
}

func (e *env) status(context.Context) error {
	l, err := lab.Open(*e.name)
	if err != nil {
		return err
	}
	t := tabwriter.NewWriter(e.stdout, 0, 8, 2, ' ', 0)
	for _, n := range l.Nodes() {
		state := "off"
		if pid, err := n.LeaderPID(); err == nil {
			state = fmt.Sprintf("on, PID %d", pid)
		} else if n.Running() {
			state = "on, a virtual machine"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", n.Name(), n.Addr4(), n.Addr6(), state)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	history, err := l.FenceHistory()
	for _, f := range history {
		fmt.Fprintf(e.stdout, "%s fence_lab %s %s, off in %v, done in %v %s\n",
			f.Time.Format(time.StampMilli), f.Action, f.Node, f.OffIn.Round(time.Millisecond), f.Took.Round(time.Millisecond), f.Err)
	}
	return err
}

func execute(e *env) func(context.Context, []string) error {
	return func(ctx context.Context, args []string) error {
		if len(args) > 1 && args[1] == "--" {
			args = slices.Delete(args, 1, 2)
		}
		if len(args) < 2 {
			return errUsage
		}
		return e.attach(ctx, args[0], args[1:]...)
	}
}

func shell(e *env) func(context.Context, []string) error {
	return func(ctx context.Context, args []string) error {
		if len(args) != 1 {
			return errUsage
		}
		return e.attach(ctx, args[0], "bash", "-l")
	}
}

// attach runs a command in a node or host on our own standard streams. It stays
// in our process group, for only that may read from the terminal.
func (e *env) attach(ctx context.Context, where string, argv ...string) error {
	l, err := lab.Open(*e.name)
	if err != nil {
		return err
	}
	var cmd *exec.Cmd
	if n := l.Node(where); n != nil {
		if cmd, err = n.Command(ctx, argv...); err != nil {
			return err
		}
	} else if h := l.Host(where); h != nil {
		cmd = h.Command(ctx, argv...)
	} else {
		return fmt.Errorf("lab %s has no %q", l.Name(), where)
	}
	cmd.SysProcAttr, cmd.Cancel = nil, nil
	cmd.Env = append(cmd.Environ(), "TERM="+os.Getenv("TERM"))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = e.stdin, e.stdout, e.stderr
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		return exitCode(exit.ExitCode())
	}
	return err
}

// enter is how a command gets into a virtual machine.
func enter(e *env) func(context.Context, []string) error {
	return func(ctx context.Context, args []string) error {
		if len(args) < 3 || args[1] != "--" {
			return errUsage
		}
		code, err := lab.Enter(ctx, *e.name, args[0], args[2:], lab.Streams{In: e.stdin, Out: e.stdout, Err: e.stderr})
		if err == nil && code != 0 {
			err = exitCode(code)
		}
		return err
	}
}

func (e *env) down(context.Context) error {
	l, err := lab.Open(*e.name)
	if err != nil {
		return err
	}
	return l.Down()
}

func (e *env) sweep(ctx context.Context) error { return lab.Sweep(ctx, e.stdout) }

func (e *env) image(ctx context.Context) error {
	if err := prereq.Ensure(ctx, e.stderr); err != nil {
		return err
	}
	dir, err := image.Ensure(ctx, e.stderr)
	if err == nil {
		fmt.Fprintln(e.stdout, dir)
	}
	return err
}

// keep is what a lab starts to be cleared when its owner dies.
func (e *env) keep(context.Context) error {
	// Not even our own signals end it: the owner's end does.
	return lab.Keep(context.Background(), *e.name, e.stdin)
}

// serve is what owns a lab made by "lab up".
func (e *env) serve(ctx context.Context) error { return lab.Serve(ctx, *e.name, e.stdout) }
