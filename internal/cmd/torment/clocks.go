// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/mailha/mailha/internal/judge"
	"github.com/mailha/mailha/internal/torment/clocks"
)

// jumped is what became of all tries of one jump.
type jumped struct {
	clocks.Jump
	tries, failed, late int // late: looks that were missed
	addresses, services worst
	silent, gone        time.Duration // the longest
	soonest, latest     time.Duration // that another node took over
}

// jumps are the ones that were chosen: "clock-jump" is all of them.
func (p plan) jumps() []clocks.Jump {
	all := clocks.Jumps()
	only := strings.Split(p.only, ",")
	if p.only == "" || slices.Contains(only, "clock-jump") {
		return all
	}
	return slices.DeleteFunc(all, func(j clocks.Jump) bool {
		return !slices.ContainsFunc(only, func(name string) bool { return name != "" && strings.HasPrefix(j.Name, name+"-") })
	})
}

// playClocks has a cluster of its own go through the jumps.
func (p plan) playClocks(ctx context.Context, jumps []clocks.Jump, out io.Writer) (err error) {
	stage, err := clocks.Up(ctx, p.name, ".", out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stage.Down()) }()
	var results []jumped
	var failed []error
	for pair := range slices.Chunk(jumps, 2) {
		rows := map[string]*jumped{pair[0].Name: {Jump: pair[0]}, pair[1].Name: {Jump: pair[1]}}
		err := stage.Play(ctx, pair[0], pair[1], p.tries, func(t clocks.Try) {
			rows[t.Name].add(t)
			said := ""
			if t.Err != nil {
				said, _, _ = strings.Cut("  "+t.Err.Error(), "\n")
			}
			fmt.Fprintf(out, "%-17s %2d  without an address %4.2f s, let go %4.2f s, taken %5.2f s%s\n", t.Name, t.Number,
				t.Verdict.Silent.Seconds(), t.Gone.Seconds(), t.Taken.Seconds(), said)
		})
		results = append(results, *rows[pair[0].Name], *rows[pair[1].Name])
		if err != nil {
			failed = append(failed, err)
		}
	}
	clockTable(out, results)
	return errors.Join(failed...)
}

func (r *jumped) add(t clocks.Try) {
	r.tries++
	if t.Err != nil {
		r.failed++
	}
	r.late += t.Verdict.Missed
	r.addresses.add(t.Verdict.Worst(judge.Address))
	r.services.add(t.Verdict.Worst(judge.Service))
	r.silent, r.gone, r.latest = max(r.silent, t.Verdict.Silent), max(r.gone, t.Gone), max(r.latest, t.Taken)
	if t.Taken > 0 && (r.soonest == 0 || t.Taken < r.soonest) {
		r.soonest = t.Taken
	}
}

// clockTable fits 120 columns.
func clockTable(w io.Writer, results []jumped) {
	fmt.Fprintf(w, "\n%-18s %5s %6s  %-14s %-14s %9s %8s %14s %6s\n", "jump", "tries", "failed", "address on two", "running twice", "no addr.", "let go", "taken over", "unseen")
	for _, r := range results {
		gone, taken := "-", "-"
		if r.latest > 0 {
			gone, taken = fmt.Sprintf("%.2f s", r.gone.Seconds()), fmt.Sprintf("%.2f..%.2f s", r.soonest.Seconds(), r.latest.Seconds())
		}
		fmt.Fprintf(w, "%-18s %5d %6d  %-14s %-14s %7.2f s %8s %14s %6d\n", r.Name, r.tries, r.failed, r.addresses, r.services, r.silent.Seconds(), gone, taken, r.late)
	}
	fmt.Fprintln(w)
}
