// SPDX-License-Identifier: Apache-2.0

package internet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mailha/mailha/agents"
	"github.com/mailha/mailha/agents/probe"
	"github.com/mailha/mailha/agents/unit"
)

// backend is a daemon behind the door, as far as its own kind of agent knows it.
type backend interface {
	Inspect(ctx context.Context) (agents.Facts, error)
	Drain(ctx context.Context, f agents.Facts, tell func(left int)) (int, error)
}

// part is one daemon with the protocols that it speaks.
type part struct {
	name    family
	door    *agent
	backend backend
	table   agents.Table // of the backend, with names of its own
	service *agents.Service

	// settled is when a protocol that does not answer counts as down, rather than
	// as not up yet. Zero for a part that was not started just now.
	settled time.Time

	fits   func(ctx context.Context) error             // further demands on this node, if there are any
	advise func(ctx context.Context) ([]string, error) // what should be looked into before a failover shows it
}

func newPart(a *agent, name family, b backend, table agents.Table) *part {
	p := &part{name: name, door: a, backend: b, table: table}
	env := a.env
	env.Instance += ":" + string(name)
	p.service = agents.NewService(env, p)
	return p
}

func (p *part) params() agents.Table { return p.table }

func (p *part) protocols() protocols { return p.door.protocols.of(p.name) }

// required says whether the door is no good without the part.
func (p *part) required() bool { return len(p.door.require.of(p.name)) > 0 }

// ready hands on what the door was told.
func (p *part) ready() {
	s := p.service
	s.Shared = slices.Concat(p.door.vip.Addresses.IP, p.door.vip.Shared)
	s.Description = p.door.vip.Description
	s.DrainTimeout, s.GateMode = p.door.timeout, p.door.gate
}

// Inspect asks the backend, but the ports are those of the door: what else the
// daemon listens on is not for clients.
func (p *part) Inspect(ctx context.Context) (agents.Facts, error) {
	facts, err := p.backend.Inspect(ctx)
	facts.Ports = p.protocols().ports()
	if err == nil && p.fits != nil {
		err = p.fits(ctx)
	}
	return facts, err
}

// Rehearse asks the backend, if it knows how.
func (p *part) Rehearse(ctx context.Context, f agents.Facts) error {
	if r, ok := p.backend.(agents.Rehearser); ok {
		return r.Rehearse(ctx, f)
	}
	return nil
}

// Check asks each protocol at the same time: those that do not answer are named
// together.
func (p *part) Check(ctx context.Context, f agents.Facts, _ agents.Depth) error {
	doors := p.protocols()
	errs := make([]error, len(doors))
	var all sync.WaitGroup
	for i, q := range doors {
		all.Go(func() { errs[i] = p.ask(ctx, q, f) })
	}
	all.Wait()
	if time.Now().Before(p.settled) {
		return errors.Join(errs...)
	}
	return together(errs)
}

// settle is what one that does not answer yet is given.
const settle = 5 * time.Second

// start waits for all of the part's protocols, but not for ever: one that stays
// down must not keep the others from their clients.
func (p *part) start(ctx context.Context) error {
	p.settled = time.Now().Add(settle)
	return p.service.Start(ctx)
}

// together is degraded if some serve and some do not, or if one is not well.
func together(errs []error) error {
	var texts []string
	down := 0
	for _, err := range errs {
		if err != nil {
			texts = append(texts, err.Error())
			if !errors.Is(err, agents.ErrDegraded) {
				down++
			}
		}
	}
	switch {
	case len(texts) == 0:
		return nil
	case down == len(errs):
		return errors.New(strings.Join(texts, "; "))
	}
	return fmt.Errorf("%w: %s", agents.ErrDegraded, strings.Join(texts, "; "))
}

func (p *part) ask(ctx context.Context, q protocol, f agents.Facts) error {
	shown, err := ask(ctx, q, p.service.Target(f))
	if err != nil {
		return fmt.Errorf("%s: %w", q.name, err)
	}
	if p.door.certDays == 0 {
		return nil
	}
	if err := probe.JudgeCertificates(shown, int(p.door.certDays), time.Now()); err != nil {
		return fmt.Errorf("%w: %s: %w", agents.ErrDegraded, q.name, err)
	}
	return nil
}

// Drain asks the backend.
func (p *part) Drain(ctx context.Context, f agents.Facts, tell func(left int)) (int, error) {
	return p.backend.Drain(ctx, f, tell)
}

// MarkPath asks the backend, if it has data.
func (p *part) MarkPath(f agents.Facts) string {
	if r, ok := p.backend.(agents.Recoverer); ok {
		return r.MarkPath(f)
	}
	return ""
}

// Identity asks the backend, if it has data.
func (p *part) Identity(f agents.Facts) (string, error) {
	if r, ok := p.backend.(agents.Recoverer); ok {
		return r.Identity(f)
	}
	return "", nil
}

// Recover asks the backend, if it has data.
func (p *part) Recover(ctx context.Context, f agents.Facts, clean bool) (string, error) {
	if r, ok := p.backend.(agents.Recoverer); ok {
		return r.Recover(ctx, f, clean)
	}
	return "", nil
}

// stop stops the part. One that was never started here, and of which nothing
// can be known, is none of ours.
func (p *part) stop(ctx context.Context) error {
	if len(p.protocols()) == 0 && !p.service.Noted() {
		return nil
	}
	return p.service.Stop(ctx)
}

// down says whether the part's daemon has died, which a start can mend.
func (p *part) down(ctx context.Context) bool {
	facts, _ := p.backend.Inspect(ctx)
	if facts.Unit == "" {
		return false
	}
	state, err := p.door.env.Units.State(ctx, facts.Unit)
	return err == nil && state.Stopped() == unit.Yes
}

// repair starts the part again while the others serve.
func (p *part) repair(ctx context.Context, why error) error {
	log := p.door.log.With("part", string(p.name))
	log.Warn("starting a part again that has died", "reason", why)
	if err := p.start(ctx); err != nil {
		return fmt.Errorf("has died (%s) and cannot be started again: %w", reason(why), err)
	}
	log.Info("the part serves again")
	return fmt.Errorf("%w: had died and was started again: %s", agents.ErrDegraded, reason(why))
}
