// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/mailha/mailha/internal/state"
)

// term is the time under one lease.
type term struct {
	session *state.Session
	// tenures live in ctx, and lease ends with the right to start anything.
	ctx, lease context.Context
	reporter   *reporter

	snapshot state.Snapshot
	fresh    bool // the snapshot was taken under this lease, and is confirmed
	leaving  bool
}

// reportAfter a change the others are told of it, and of what has changed meanwhile.
const reportAfter = 50 * time.Millisecond

// serve does this node's part under one lease. It returns when the lease is lost, or
// when ctx has ended and everything was given up; the error says what of it could not
// be proved to be stopped.
func (e *Engine) serve(ctx context.Context, session *state.Session, snapshots <-chan state.Snapshot, sweeps []*tenure) error {
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	lease, lost := context.WithCancel(running)
	t := &term{session: session, ctx: running, lease: lease, reporter: newReporter()}
	e.owned, e.standby, e.records = map[string]*owned{}, map[string]*standby{}, map[string]state.Group{}
	e.own(sweeps)
	guarded := make(chan struct{})
	go func() {
		defer close(guarded)
		var extended sync.WaitGroup
		extended.Go(func() { e.extend(running, session) })
		e.guard(running, session, lost)
		extended.Wait()
	}()
	defer func() {
		cancel()
		lost()
		session.Close()
		<-guarded
		t.reporter.wait()
		e.report.Store(nil)
	}()

	const each = 500 * time.Millisecond
	beat := time.NewTicker(each)
	defer beat.Stop()
	var again, telling <-chan time.Time
	ending := ctx.Done()
	for {
		e.alive()
		again = e.turn(t)
		if t.leaving && len(e.owned) == 0 && e.standbyOver() {
			e.safety.prove(e.safety.now())
			e.leave(t)
			return nil
		}
		select {
		case <-session.Lost():
			return e.lose(session)
		case <-ending:
			ending, t.leaving = nil, true
			e.Log.Info("leaving the cluster: stopping what runs here")
		case s, ok := <-snapshots:
			if !ok {
				return errors.New("the watch over the cluster has ended")
			}
			e.see(s)
			if t.fresh && s.Stale == nil && !knows(s, session) {
				// The next renewal would tell, seconds later: those who see this now take
				// over after a margin. It happens before the lease has ended if a leader of
				// etcd that stood still revokes what it has not seen renewed.
				e.Log.Error("this node's presence was removed from the cluster before its lease had ended")
				session.Close()
			}
			t.fresh = s.Stale == nil && knows(s, session)
			t.snapshot = s
		case <-e.news.some:
			if telling == nil {
				telling = time.After(reportAfter)
			}
		case <-again:
		case <-telling:
			telling = nil
			t.reporter.report(session, e.account())
		case <-beat.C:
			t.reporter.report(session, e.account())
		}
	}
}

// knows says whether a snapshot is as new as the session.
func knows(s state.Snapshot, session *state.Session) bool {
	return s.Nodes[session.Node().Name].Session == session.Node().Session
}

// leave ends the presence. If that fails, it ends by itself.
func (e *Engine) leave(t *term) {
	const patience = time.Second
	ctx, cancel := context.WithTimeout(t.ctx, patience)
	defer cancel()
	if err := t.session.Leave(ctx); err != nil {
		e.Log.Warn("the lease ends by itself", "error", err)
	}
}

// guard lets addresses go the moment that the lease is over, whatever the loop is at,
// and again what an agent may still have put up then, until everything is stopped.
func (e *Engine) guard(ctx context.Context, session *state.Session, lost context.CancelFunc) {
	select {
	case <-ctx.Done():
		return
	case <-session.Lost():
	}
	lost()
	const again = 200 * time.Millisecond
	for ctx.Err() == nil {
		e.drop(ctx)
		if pause(ctx, again) != nil {
			return
		}
	}
}

func (e *Engine) drop(ctx context.Context) {
	const most = 5 * time.Second
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), most)
	defer cancel()
	dropped, err := e.Drop(ctx)
	if err != nil {
		e.Log.Error("addresses could not be let go", "error", err)
	}
	for _, h := range dropped {
		e.Log.Warn("address let go: the lease is lost", "address", h.Addr, "interface", h.Interface)
	}
	e.Meter.Dropped(len(dropped))
}

// lose stops everything in a hurry, and returns when it is proved or cannot be.
func (e *Engine) lose(session *state.Session) error {
	session.Close() // or its renewals may go on, and nobody could take over
	e.Log.Error("the lease is lost: stopping everything", "reason", session.Err())
	e.outdate(fmt.Errorf("this node has no lease: %w", session.Err()))
	hurry := e.hurry()
	var all []*tenure
	for _, o := range e.owned {
		all = append(all, o.tenure)
	}
	for _, s := range e.standby {
		all = append(all, s.tenure)
	}
	for _, t := range all {
		t.order(order{end: true, hurry: hurry})
	}
	const most = 10 * time.Second // then this node joins again: nobody takes over then what is still here
	ctx, cancel := context.WithTimeout(context.Background(), most)
	defer cancel()
	done := make(chan error, 1)
	over := make(chan struct{})
	go func() { defer close(over); done <- e.swept(ctx, all) }()
	e.await(ctx, over, most)
	e.news.take()
	err := <-done
	if err == nil {
		e.safety.prove(e.safety.now())
	}
	return err
}

// hurry is how long stops may take without a lease: etcd has it for the margin longer with
// which it began, and then others wait for theirs, which may have been configured anew.
func (e *Engine) hurry() time.Duration {
	const least = 200 * time.Millisecond
	own := e.began.Load().Margin
	return max((own+min(own, e.Cluster().Margin))*9/10, least)
}
