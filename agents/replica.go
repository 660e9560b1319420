// SPDX-License-Identifier: Apache-2.0

package agents

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/mailha/mailha/agents/unit"
	"github.com/mailha/mailha/vip"
)

// Replica is the lifecycle of a service that runs on several nodes at once, each
// with data of its own that follow those of the others. The promoted one has the
// addresses, and is the only one that takes changes from clients. It is an
// [Agent] and a [Promoter] but for the parameters that a kind adds.
type Replica struct {
	*Service
	replica ReplicaSteps
}

// NewReplica returns the lifecycle with its defaults.
func NewReplica(env Env, steps ReplicaSteps) *Replica {
	return &Replica{Service: NewService(env, steps), replica: steps}
}

// Start brings the service up, unpromoted and without its addresses. One that is
// promoted already stays so.
func (r *Replica) Start(ctx context.Context) error {
	if err := r.Addresses.Check(); err != nil {
		return err
	}
	if rec, found, err := r.noted(); err == nil && found && rec.Promoted && r.runs(ctx, rec.Facts) {
		return r.untilAnswers(ctx, rec.Facts)
	}
	rec := record{Started: time.Now()}
	r.introduce(rec)
	r.show(rec, Status{Phase: Starting})
	if err := r.start(ctx, nil, &rec); err != nil {
		r.show(rec, Status{Phase: Failed, Detail: err.Error()})
		return err
	}
	r.show(rec, Status{Phase: Started, Detail: took(rec.Started)})
	r.rank(ctx, rec.Facts, RoleUnpromoted)
	return nil
}

func took(since time.Time) string {
	return "took " + time.Since(since).Round(time.Millisecond).String()
}

// Promote takes the addresses and then what clients change, once this instance
// has all that the others are known to have.
func (r *Replica) Promote(ctx context.Context) error {
	rec, facts, err := r.facts(ctx)
	if err != nil {
		return err
	}
	if err := r.mustRun(ctx, facts); err != nil {
		return err
	}
	prefixes, err := r.Addresses.Prefixes()
	if err != nil {
		return err
	}
	again := rec.Promoted
	rec.Addresses, rec.Shared, rec.Promoted, rec.Started = prefixes, r.Shared.Addrs(), true, time.Now()
	r.introduce(rec)
	if err := r.promote(ctx, rec, again); err != nil {
		r.show(rec, Status{Phase: Failed, Detail: err.Error()})
		return err
	}
	r.show(rec, Status{Phase: Leading, Detail: took(rec.Started)})
	return nil
}

// mustRun tells what does not run from what is on its way.
func (r *Replica) mustRun(ctx context.Context, facts Facts) error {
	state, err := r.env.Units.State(ctx, facts.Unit)
	switch {
	case err != nil:
		return err
	case state.Stopped() == unit.Yes:
		return r.notRunning(facts)
	case state.Running() != unit.Yes:
		return fmt.Errorf("unit %s is %s", facts.Unit, state)
	}
	return nil
}

func (r *Replica) promote(ctx context.Context, rec record, again bool) error {
	waiting, cancel := context.WithDeadline(ctx, catchUpUntil(ctx))
	defer cancel()
	if err := r.replica.CatchUp(waiting, rec.Facts); err != nil {
		r.score(ctx, Unfit)
		return err
	}
	set, err := r.set(rec)
	if err != nil {
		return err
	}
	touched := false
	err = takeWhen(ctx, set, func() error {
		touched = true
		if err := r.records().save(rec); err != nil || again {
			return err // what is promoted already must not shut out its clients
		}
		return r.setGate(ctx, rec, vip.Hold)
	})
	if err == nil {
		err = r.lead(ctx, set, rec)
	}
	if err != nil && touched {
		return errors.Join(err, r.standBack(ctx, rec))
	}
	return err
}

// catchUpUntil leaves a third of the time for the rest of a promote.
func catchUpUntil(ctx context.Context) time.Time {
	deadline := deadlineOf(ctx)
	return deadline.Add(-time.Until(deadline) / 3)
}

func deadlineOf(ctx context.Context) time.Time {
	if deadline, ok := ctx.Deadline(); ok {
		return deadline
	}
	return time.Now().Add(defaultStopTime)
}

func (r *Replica) lead(ctx context.Context, set *vip.Set, rec record) error {
	r.announce(ctx, set, &rec)
	if err := r.replica.SetRole(ctx, rec.Facts, RolePromoted); err != nil {
		return err
	}
	if err := r.setGate(ctx, rec, vip.Open); err != nil {
		return err
	}
	return r.records().save(rec)
}

// standBack undoes a promote that failed.
func (r *Replica) standBack(ctx context.Context, rec record) error {
	// The promote's own time may be used up.
	const patience = 5 * time.Second
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	releaseErr := r.release(ctx, rec)
	roleErr := r.replica.SetRole(ctx, rec.Facts, RoleUnpromoted)
	if err := errors.Join(releaseErr, roleErr); err != nil {
		return err
	}
	return r.records().save(rec.unpromoted())
}

// unpromoted is what is left of the record after a demote.
func (r record) unpromoted() record {
	r.Addresses, r.Shared, r.Promoted = nil, nil, false
	return r
}

// Demote has the service refuse changes, waits until another instance has all
// that this one took, and gives the addresses up. It does not fail because others
// are too far behind: how much they lack is in the log.
func (r *Replica) Demote(ctx context.Context) error {
	rec, noted := r.remembered(ctx)
	if err := r.mustRun(ctx, rec.Facts); err != nil {
		return errors.Join(err, r.release(ctx, rec)) // what does not run needs no address
	}
	if !r.maybePromoted(ctx, rec, noted) {
		return nil
	}
	r.introduce(rec)
	begin := time.Now()
	rec, err := r.yield(ctx, rec, stopBudget(begin, deadlineOf(ctx), time.Duration(r.DrainTimeout)).Drain)
	if err != nil {
		r.show(rec, Status{Phase: Failed, Detail: err.Error()})
		return err
	}
	r.show(rec, Status{Phase: Started, Detail: "demoted, " + took(begin)})
	return nil
}

// yield ends the promoted role, and returns what there is to be remembered then.
// It gives the addresses up even if the service cannot be made to refuse changes.
func (r *Replica) yield(ctx context.Context, rec record, until time.Time) (record, error) {
	rec.Promoted = true
	if prefixes, err := r.Addresses.Prefixes(); err == nil && len(rec.Addresses) == 0 {
		rec.Addresses = prefixes
	}
	r.unwatch(rec)
	d := r.drain(ctx, rec, until)
	r.log.Info("handed over", "sessions", d.Sessions, "cut", d.Cut, "left", d.Left, "took", d.Took.Round(time.Millisecond))
	if d.Left > 0 {
		r.log.Warn("no other instance has all of the changes yet; they are lost if this node is lost before one has", "left", d.Left)
	}
	r.partAll(ctx, rec)
	err := errors.Join(r.release(ctx, rec), r.mustRefuse(ctx, rec.Facts))
	if err == nil {
		rec = rec.unpromoted()
		err = r.records().save(rec)
	}
	return rec, err
}

// mustRefuse proves that the service takes no changes any more.
func (r *Replica) mustRefuse(ctx context.Context, facts Facts) error {
	role, err := r.askRole(ctx, facts)
	if err != nil {
		return fmt.Errorf("whether changes are refused cannot be found out: %w", err)
	}
	if role != RoleUnpromoted {
		return errors.New("the service still takes changes from clients")
	}
	return nil
}

// partAll ends all sessions politely before their address goes, each as soon as it
// wants nothing, and leaves those to be cut that always want something.
func (r *Replica) partAll(ctx context.Context, rec record) {
	d, ok := r.steps.(Dismisser)
	if !ok || rec.unreachable() {
		return
	}
	const moment, most, pause = 300 * time.Millisecond, time.Second, 5 * time.Millisecond
	begin := time.Now()
	// Those that were ended are there until the server has seen that, which may take a
	// busy node longer than others are worth; but most of the time is for what follows.
	ctx, cancel := context.WithTimeout(ctx, max(moment, min(most, time.Until(deadlineOf(ctx))/8)))
	defer cancel()
	tick := time.NewTicker(pause)
	defer tick.Stop()
	dismissed, left := 0, 0
	seen := map[netip.AddrPort]bool{}
	for ctx.Err() == nil {
		sessions, err := vip.Sessions(ctx, rec.reach(), rec.Facts.Ports)
		for _, s := range sessions {
			seen[s.Remote] = true
		}
		if left = len(sessions); err == nil && left > 0 {
			var n int
			n, err = d.Dismiss(ctx, rec.Facts, sessions)
			dismissed += n
		}
		if err != nil && ctx.Err() == nil {
			r.log.Warn("cannot end idle sessions politely", "error", err)
			return
		}
		if gone := len(seen) - left; left == 0 || time.Since(begin) >= moment && dismissed <= gone {
			break
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	if dismissed+left > 0 {
		r.log.Info("ended idle sessions", "dismissed", dismissed, "cut", left)
	}
	r.cut(rec)
}

// cut ends the sessions that are left. As long as the address is there their clients are
// told so by a reset, and do not wait for answers that cannot reach them any more.
func (r *Replica) cut(rec record) {
	const moment = time.Second
	ctx, cancel := context.WithTimeout(context.Background(), moment)
	defer cancel()
	sessions, err := vip.Sessions(ctx, rec.reach(), rec.Facts.Ports)
	if err == nil {
		_, err = vip.Destroy(ctx, sessions)
	}
	if err != nil && !errors.Is(err, errors.ErrUnsupported) {
		r.log.Warn("cannot tell clients that their sessions are over", "error", err)
	}
}

// Stop does what a demote does if need be, and then stops the service.
func (r *Replica) Stop(ctx context.Context) error {
	begin, deadline := time.Now(), deadlineOf(ctx)
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	times := stopBudget(begin, deadline, time.Duration(r.DrainTimeout))
	rec, noted := r.remembered(ctx)
	r.introduce(rec)
	if r.runs(ctx, rec.Facts) && r.maybePromoted(ctx, rec, noted) {
		var err error
		if rec, err = r.yield(ctx, rec, times.Drain); err != nil {
			r.log.Warn("stopping in spite of it", "error", err)
		}
	}
	if err := r.stop(ctx, rec, noted, times); err != nil {
		r.show(rec, Status{Phase: Failed, Detail: err.Error()})
		return err
	}
	r.show(rec, Status{Phase: Stopped, Detail: took(begin)})
	r.unrank(ctx)
	return nil
}

// maybePromoted is false only if it is known that the service is not.
func (r *Replica) maybePromoted(ctx context.Context, rec record, noted bool) bool {
	role, err := r.roleNow(ctx, rec, noted)
	return err != nil || role == RolePromoted
}

// roleNow is the role that the service has here, whatever it should have.
func (r *Replica) roleNow(ctx context.Context, rec record, noted bool) (Role, error) {
	set, err := r.set(rec)
	if err != nil {
		return "", err
	}
	report, err := check(ctx, set)
	switch {
	case err != nil:
		return "", err
	case noted && rec.Promoted, set != nil && !report.Absent():
		return RolePromoted, nil
	case noted:
		return RoleUnpromoted, nil
	}
	role, err := r.askRole(ctx, rec.Facts)
	if err != nil {
		return "", fmt.Errorf("what the start noted is lost, and so is the role: %w", err)
	}
	return role, nil
}

func (r *Replica) askRole(ctx context.Context, facts Facts) (Role, error) {
	const answer = 2 * time.Second
	ctx, cancel := context.WithTimeout(ctx, answer)
	defer cancel()
	return r.replica.Role(ctx, facts)
}
