// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/mailha/mailha/internal/judge"
	"github.com/mailha/mailha/internal/scenario"
	"github.com/mailha/mailha/internal/torment"
)

// plan says what is played.
type plan struct {
	name  string
	tries int
	only  string
	// strain is how long all processors are busy.
	strain time.Duration
}

const (
	shape    = "mailhad/mail.toml"
	rate     = 5             // per second, of each kind of clients
	patience = 3 * time.Hour // for everything
)

// result is what became of all tries of one torment.
type result struct {
	torment.Torment
	tries, unsettled     int
	addresses, mounts    worst
	services             worst
	silent               time.Duration // the longest without an answer for an address
	without, settled     time.Duration // the longest
	accepted, lost, late int           // late: looks that the judge missed
}

// worst is how often something was on two nodes, and for how long at most.
type worst struct {
	count   int
	longest time.Duration
}

func (w *worst) add(n int, longest time.Duration) {
	w.count += n
	w.longest = max(w.longest, longest)
}

// play needs the module's directory as its working directory.
func (p plan) play(ctx context.Context, out io.Writer) (err error) {
	torments, jumps, splits, faults, load := p.chosen(), p.jumps(), p.splits(), p.faults(), p.loads()
	if len(torments)+len(jumps)+len(splits)+len(faults) == 0 && !load {
		return fmt.Errorf("there is no torment %q; there are %s, clock-jump, split, device, %s", p.only, names(torment.All()), cpuLoad)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if len(torments) > 0 {
		err = p.playSystem(ctx, torments, out)
	}
	if len(jumps) > 0 {
		err = errors.Join(err, p.playClocks(ctx, jumps, out))
	}
	if len(splits)+len(faults) > 0 || load {
		err = errors.Join(err, p.playArmed(ctx, out))
	}
	return err
}

// playSystem has a whole mail system go through torments.
func (p plan) playSystem(ctx context.Context, torments []torment.Torment, out io.Writer) (err error) {
	system, err := scenario.SystemUp(ctx, p.name, ".", filepath.Join("build", p.name), shape, out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, system.Down()) }()
	if err := torment.Prepare(ctx, system); err != nil {
		return err
	}
	j, err := system.Judge(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.Stop()) }()
	var results []result
	var failed []error
	for _, t := range torments {
		r, err := p.suffer(ctx, system, j, t, out)
		results = append(results, r)
		if err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", t.Name, err))
			fmt.Fprintf(out, "%s: %v\n", t.Name, err)
		}
		if ctx.Err() != nil {
			break
		}
	}
	table(out, results)
	return errors.Join(append(failed, verdict(results))...)
}

// suffer has the system go through one torment several times.
func (p plan) suffer(ctx context.Context, system *scenario.System, j *judge.Judge, t torment.Torment, out io.Writer) (result, error) {
	r := result{Torment: t}
	row, err := system.Repeat(ctx, t.Deed(), p.tries, rate, func(try scenario.Try) {
		v := j.Since(try.Began)
		r.tries++
		r.addresses.add(v.Worst(judge.Address))
		r.mounts.add(v.Worst(judge.Mount))
		r.services.add(v.Worst(judge.Service))
		r.silent = max(r.silent, v.Silent)
		r.without, r.settled, r.late = max(r.without, try.Without), max(r.settled, try.Took), r.late+v.Missed
		said := ""
		if try.Err != nil {
			r.unsettled++
			said, _, _ = strings.Cut("  "+try.Err.Error(), "\n")
		}
		fmt.Fprintf(out, "%-12s %2d  %-14s %5.1f s, without an address %5.2f s, without service %5.1f s%s\n", t.Name, try.Number, try.Part.Name, try.Took.Seconds(), v.Silent.Seconds(), try.Without.Seconds(), said)
		for _, d := range v.Doubles {
			fmt.Fprintln(out, "    ", d)
		}
	})
	r.accepted, r.lost = row.Accepted, row.Lost
	return r, err
}

func (p plan) chosen() []torment.Torment {
	if p.only == "" {
		return torment.All()
	}
	only := strings.Split(p.only, ",")
	return slices.DeleteFunc(torment.All(), func(t torment.Torment) bool { return !slices.Contains(only, t.Name) })
}

func names(all []torment.Torment) string {
	var list []string
	for _, t := range all {
		list = append(list, t.Name)
	}
	return strings.Join(list, ", ")
}

// table fits 120 columns.
func table(w io.Writer, results []result) {
	fmt.Fprintf(w, "\n%-13s %5s  %-14s %-14s %-14s %8s %8s %8s %6s %5s %5s %6s\n", "torment", "tries", "address on two", "mounted twice", "running twice",
		"no addr.", "no serv.", "settled", "taken", "lost", "stuck", "unseen")
	for _, r := range results {
		fmt.Fprintf(w, "%-13s %5d  %-14s %-14s %-14s %6.2f s %6.1f s %6.1f s %6d %5d %5d %6d\n", r.Name, r.tries, r.addresses, r.mounts, r.services,
			r.silent.Seconds(), r.without.Seconds(), r.settled.Seconds(), r.accepted, r.lost, r.unsettled, r.late)
	}
	fmt.Fprintln(w)
}

func (w worst) String() string {
	if w.count == 0 {
		return "0"
	}
	return fmt.Sprintf("%d, %d ms", w.count, w.longest.Milliseconds())
}

// verdict is an error if anything was on two nodes, or lost.
func verdict(results []result) error {
	var errs []error
	for _, r := range results {
		if n := r.addresses.count + r.mounts.count; n > 0 {
			errs = append(errs, fmt.Errorf("%s: %d times something was on two nodes", r.Name, n))
		}
		if r.lost > 0 {
			errs = append(errs, fmt.Errorf("%s: %d of what was taken are lost", r.Name, r.lost))
		}
	}
	return errors.Join(errs...)
}
