// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/mailha/mailha/internal/torment/armed"
)

// cpuLoad is the torment that takes an hour, and is played only when it is asked for.
const cpuLoad = "cpu-load"

// playArmed has a cluster with fence devices go through what was chosen.
func (p plan) playArmed(ctx context.Context, out io.Writer) (err error) {
	stage, err := armed.Up(ctx, p.name, ".", out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stage.Down()) }()
	err = errors.Join(p.playSplits(ctx, stage, p.splits(), out), p.playFaults(ctx, stage, p.faults(), out))
	if p.loads() {
		err = errors.Join(err, p.playLoad(ctx, stage, out))
	}
	return err
}

// splits are those that were chosen; "split" is all of them.
func (p plan) splits() []armed.Split {
	only := strings.Split(p.only, ",")
	return slices.DeleteFunc(armed.Splits(), func(s armed.Split) bool { return !slices.Contains(only, s.Name) && !slices.Contains(only, "split") })
}

// playSplits has the cluster fall apart.
func (p plan) playSplits(ctx context.Context, stage *armed.Stage, splits []armed.Split, out io.Writer) error {
	var errs []error
	for _, s := range splits {
		fmt.Fprintf(out, "\n%s: %s\n", s.Name, s.Title)
		errs = append(errs, stage.Split(ctx, s, p.tries, func(o armed.Outcome) {
			said := ""
			if o.Err != nil {
				said, _, _ = strings.Cut("  "+o.Err.Error(), "\n")
			}
			fmt.Fprintf(out, "%-13s %2d  of %s: fenced %v, on two nodes %d times, without an address %5.2f s, all served %t%s\n",
				s.Name, o.Number, o.Victim, o.Fenced, len(o.Doubles), o.Silent.Seconds(), o.Served, said)
		}))
	}
	return errors.Join(errs...)
}

// faults are those that were chosen; "device" is all of them.
func (p plan) faults() []armed.Fault {
	only := strings.Split(p.only, ",")
	return slices.DeleteFunc(armed.Faults(), func(f armed.Fault) bool { return !slices.Contains(only, f.Name) && !slices.Contains(only, "device") })
}

// playFaults has its fence devices go wrong.
func (p plan) playFaults(ctx context.Context, stage *armed.Stage, faults []armed.Fault, out io.Writer) error {
	var errs []error
	for _, f := range faults {
		fmt.Fprintf(out, "\n%s: the device %s\n", f.Name, f.Title)
		errs = append(errs, stage.Fault(ctx, f, p.tries, func(t armed.Trial) {
			taken, said := "kept its group", ""
			if t.Taken > 0 {
				taken = fmt.Sprintf("taken over after %.1f s", t.Taken.Seconds())
			}
			if t.Err != nil {
				said, _, _ = strings.Cut("  "+t.Err.Error(), "\n")
			}
			fmt.Fprintf(out, "%-19s %2d  %s %s: people told after %.1f s, %s, on two nodes %d times%s\n",
				f.Name, t.Number, t.Victim, t.Fate, t.Told.Seconds(), taken, len(t.Doubles), said)
		}))
	}
	return errors.Join(errs...)
}

func (p plan) loads() bool { return slices.Contains(strings.Split(p.only, ","), cpuLoad) }

// playLoad has it be busy, and is an error if anybody is fenced
// or loses a lease for it.
func (p plan) playLoad(ctx context.Context, stage *armed.Stage, out io.Writer) error {
	fmt.Fprintf(out, "\n%8s %9s %11s %9s %12s %13s\n", "minutes", "programs", "suspicions", "fencings", "leases lost", "groups taken")
	c, err := stage.Strain(ctx, p.strain, func(c armed.Count) {
		fmt.Fprintf(out, "%8.1f %9d %11d %9d %12d %13d\n", c.For.Minutes(), c.Programs, c.Suspicions, c.Fencings, c.Lost, c.Taken)
	})
	if err != nil {
		return err
	}
	if c.Fencings+c.Lost+c.Taken > 0 {
		return fmt.Errorf("%s: though nothing was wrong, %d fencings, %d leases lost, %d groups taken", cpuLoad, c.Fencings, c.Lost, c.Taken)
	}
	return nil
}
