// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/mailha/mailha/internal/scenario"
	"github.com/mailha/mailha/internal/traffic/hold"
)

// plan says what is played.
type plan struct {
	moves, kills int
	crowd        bool
}

const (
	shape    = "pacemaker/address-per-service.crm"
	patience = time.Hour // for everything
)

// play needs the module's directory as its working directory.
func (p plan) play(ctx context.Context, out io.Writer) (err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	system, err := scenario.SystemUp(ctx, "endure", ".", filepath.Join("build", "endure"), shape, out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, system.Down()) }()
	if p.crowd {
		if err := crowd(ctx, system, out); err != nil {
			return err
		}
	}
	if p.moves+p.kills == 0 {
		return nil
	}
	const rate = 5 // per second, of each kind of clients
	if err := system.Clients.Start(ctx, "endure", rate); err != nil {
		return err
	}
	deeds := scenario.Deeds()
	for _, part := range []struct {
		deed   scenario.Deed
		rounds int
	}{{deeds[1], p.moves}, {deeds[2], p.kills}} {
		for i := range part.rounds {
			target := scenario.Parts()[i%len(scenario.Parts())]
			began := time.Now()
			if err := system.Do(ctx, part.deed, target); err != nil {
				return err
			}
			fmt.Fprintf(out, "%-9s %2d of %d  %-14s %5.1f s\n", part.deed.Name, i+1, part.rounds, target.Name, time.Since(began).Seconds())
		}
	}
	return account(ctx, system, out)
}

// account stops the clients and tells what became of all that was taken.
func account(ctx context.Context, system *scenario.System, out io.Writer) error {
	const patience = 3 * time.Minute
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := system.Clients.Stop(ctx); err != nil {
		return err
	}
	proofs, err := system.Clients.Prove(ctx)
	fmt.Fprintf(out, "\n%-10s %6s %6s %5s %8s %10s\n", "promise", "taken", "found", "lost", "damaged", "duplicated")
	for _, p := range proofs {
		fmt.Fprintf(out, "%-10s %6d %6d %5d %8d %10d\n", p.Kind, p.Accepted, p.Delivered, p.Lost, p.Corrupted, p.Duplicated)
		if p.Corrupted > 0 {
			err = errors.Join(err, fmt.Errorf("%s: %d damaged", p.Kind, p.Corrupted))
		}
	}
	return err
}

// crowd moves the front door while many are connected. Whoever would have ended
// in time must end in time.
func crowd(ctx context.Context, system *scenario.System, out io.Writer) error {
	held, err := system.Clients.Hold(ctx, "crowd", scenario.Crowd{
		Idle: 150, Active: 50, Data: 50, Writers: 20,
		Finish: []time.Duration{2 * time.Second, 4 * time.Second, 7 * time.Second, 10 * time.Second, 13 * time.Second},
	})
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "open: 200 IMAP sessions, 50 SMTP transactions in DATA, 20 LDAP writers")
	parts := scenario.Parts()
	if err := system.Do(ctx, scenario.Deeds()[1], parts[len(parts)-1]); err != nil {
		return err
	}
	c, err := held.Stop(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\n%-22s %8s %6s %4s\n", "sessions", "finished", "told", "cut")
	for _, row := range []struct {
		name string
		kind hold.Kind
	}{{"IMAP, waiting", c.Idle}, {"IMAP, at work", c.Active}, {"SMTP, in DATA", c.Data}, {"LDAP, writing", c.Writers}} {
		told := 0
		for _, n := range row.kind.Endings {
			told += n
		}
		fmt.Fprintf(out, "%-22s %8d %6d %4d\n", row.name, row.kind.Finished, told-row.kind.Cut(), row.kind.Cut())
	}
	fmt.Fprintln(out)
	if c.Data.Finished != 50 {
		return fmt.Errorf("%d of 50 messages could not be finished", 50-c.Data.Finished)
	}
	return nil
}
