// SPDX-License-Identifier: Apache-2.0

package agents

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mailha/mailha/agents/unit"
)

// Reload has nothing to do: each call reads the parameters anew.
func (r *Replica) Reload(ctx context.Context) error {
	err := r.Monitor(ctx, DepthShallow)
	if p := (Promoted{}); errors.As(err, &p) {
		return p.Err
	}
	return err
}

// Monitor looks at the unit, and at addresses and gate as the role wants them. If
// asked to look deeper it also asks the service, compares it with the others, and
// tells how fit it is to be promoted.
func (r *Replica) Monitor(ctx context.Context, depth Depth) error {
	rec, noted, err := r.noted()
	if err != nil {
		return err
	}
	if !noted {
		rec = r.supposed(ctx)
	}
	state := unit.State{Active: "inactive"} // without a unit nothing can have been started
	if rec.Facts.Unit != "" {
		if state, err = r.env.Units.State(ctx, rec.Facts.Unit); err != nil {
			return err
		}
	}
	if state.Running() != unit.Yes {
		return r.monitorStopped(ctx, rec, state)
	}
	role, err := r.roleNow(ctx, rec, noted)
	if err != nil {
		return err
	}
	err = lively(state)
	if err == nil && role == RolePromoted {
		if err := r.monitorAddresses(ctx, rec); err != nil {
			return Promoted{Err: err, Addresses: true}
		}
	}
	if err == nil {
		err = r.monitor(ctx, rec, role, depth)
	}
	if role == RolePromoted {
		return Promoted{Err: err}
	}
	return err
}

// monitorStopped tells what is proved to be stopped from what left an address.
func (r *Replica) monitorStopped(ctx context.Context, rec record, state unit.State) error {
	set, err := r.set(rec)
	if err != nil {
		return err
	}
	report, err := check(ctx, set)
	switch {
	case err != nil:
		return err
	case !report.Absent():
		return Promoted{Err: fmt.Errorf("unit %s is %s, but an address is here", rec.Facts.Unit, state)} // both have to act
	case state.Stopped() != unit.Yes:
		return fmt.Errorf("unit %s is %s", rec.Facts.Unit, state)
	}
	return r.notRunning(rec.Facts)
}

func (r *Replica) monitor(ctx context.Context, rec record, role Role, depth Depth) error {
	if err := r.gateIsOpen(ctx, rec); err != nil {
		return err
	}
	if depth < DepthProtocol {
		return nil
	}
	checkErr := r.look(ctx, rec.Facts, depth)
	if checkErr != nil && !errors.Is(checkErr, ErrDegraded) {
		return checkErr
	}
	found, err := r.replica.Role(ctx, rec.Facts)
	if err != nil {
		return err
	}
	if found != role {
		return wrongRole(role)
	}
	score, standErr := r.replica.Standing(ctx, rec.Facts, role)
	r.score(ctx, score)
	return errors.Join(checkErr, standErr)
}

func wrongRole(should Role) error {
	if should == RolePromoted {
		return errors.New("promoted, but the service refuses changes from clients")
	}
	return errors.New("not promoted, but the service takes changes from clients")
}

func (r *Replica) monitorAddresses(ctx context.Context, rec record) error {
	set, err := r.set(rec)
	if err != nil || set == nil {
		return err
	}
	report, err := check(ctx, set)
	if err != nil {
		return err
	}
	if err := report.Err(); err != nil {
		return err
	}
	r.refresh(ctx, set, rec)
	return nil
}

// rank tells how fit this instance is to be promoted, as far as that is known in
// a moment. The next monitor knows better.
func (r *Replica) rank(ctx context.Context, facts Facts, role Role) {
	const moment = 3 * time.Second
	short, cancel := context.WithTimeout(ctx, moment)
	defer cancel()
	score, err := r.replica.Standing(short, facts, role)
	if err != nil {
		r.log.Warn("not as the others are", "error", err)
	}
	r.score(ctx, score)
}

// score does not fail what it is told from.
func (r *Replica) score(ctx context.Context, score int) {
	if r.env.Scores == nil {
		return
	}
	if err := r.env.Scores.Set(ctx, score); err != nil {
		r.log.Warn("cannot tell the promotion score", "error", err)
	}
}

func (r *Replica) unrank(ctx context.Context) {
	if r.env.Scores == nil {
		return
	}
	if err := r.env.Scores.Clear(ctx); err != nil {
		r.log.Warn("cannot take back the promotion score", "error", err)
	}
}
