// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/mailha/mailha/agents"
	"github.com/mailha/mailha/resources"
)

// driver has the agent of one resource do things, one at a time, each within the time
// that the configuration gives it.
type driver struct {
	resource resources.Resource
	kind     agents.Type
	env      agents.Env
	// busy holds one token while an agent is at work. All drivers of a resource share
	// it, so that no two operations meet.
	busy chan struct{}
}

func newDriver(r resources.Resource, kind agents.Type, env agents.Env, busy chan struct{}) *driver {
	env.Kind, env.Instance = kind.Name, r.Name
	env.Log = env.Logger().With("kind", kind.Name)
	return &driver{resource: r, kind: kind, env: env, busy: busy}
}

// freed is the driver for a first start after the former owner has proved that nothing
// is left there.
func (d *driver) freed() *driver {
	f := *d
	f.env.Freed = true
	return &f
}

// do makes an agent of its own for each operation: what outlives one is in the kernel
// and in the agents' notes, as it is when a cluster manager runs them.
func (d *driver) do(ctx context.Context, timeout time.Duration, epoch uint64, op func(context.Context, agents.Agent, error) error) (err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	select {
	case d.busy <- struct{}{}:
		defer func() { <-d.busy }()
	case <-ctx.Done():
		return fmt.Errorf("wait for another operation: %w", ctx.Err())
	}
	defer func() {
		if r := recover(); r != nil {
			d.env.Logger().Error("internal error; please report it", "resource", d.resource.Name, "panic", r, "stack", string(debug.Stack()))
			err = fmt.Errorf("internal error: %v", r)
		}
	}()
	env := d.env
	env.Epoch = epoch
	agent := d.kind.New(env)
	return op(ctx, agent, agent.Params().Parse(d.resource.Params))
}

func (d *driver) start(ctx context.Context, epoch uint64) error {
	return d.do(ctx, d.resource.StartTimeout, epoch, func(ctx context.Context, a agents.Agent, paramErr error) error {
		if paramErr != nil {
			return paramErr
		}
		if err := a.Validate(ctx, agents.DepthShallow); err != nil {
			return err
		}
		return a.Start(ctx)
	})
}

// reload has changed parameters take effect.
func (d *driver) reload(ctx context.Context, epoch uint64) error {
	return d.do(ctx, d.resource.StartTimeout, epoch, func(ctx context.Context, a agents.Agent, paramErr error) error {
		if paramErr != nil {
			return paramErr
		}
		return a.Reload(ctx)
	})
}

// stop works with parameters wrong or missing.
func (d *driver) stop(ctx context.Context, timeout time.Duration) error {
	return d.do(ctx, timeout, 0, func(ctx context.Context, a agents.Agent, paramErr error) error {
		if paramErr != nil {
			d.env.Logger().Warn("stopping with what is known", "resource", d.resource.Name, "error", paramErr)
		}
		return a.Stop(ctx)
	})
}

// monitor returns nil for a resource that is well, whichever role it has. The addresses of
// the promoted one are the business of who has promoted it.
func (d *driver) monitor(ctx context.Context, m resources.Monitor) error {
	err := d.do(ctx, m.Timeout, 0, func(ctx context.Context, a agents.Agent, paramErr error) error {
		if paramErr != nil {
			return paramErr
		}
		return a.Monitor(ctx, agents.Depth(m.Depth).Floor())
	})
	if p := (agents.Promoted{}); errors.As(err, &p) {
		if p.Addresses {
			return nil
		}
		return p.Err
	}
	return err
}

// promoted says whether the resource leads here.
func (d *driver) promoted(ctx context.Context, m resources.Monitor) error {
	err := d.do(ctx, m.Timeout, 0, func(ctx context.Context, a agents.Agent, paramErr error) error {
		if paramErr != nil {
			return paramErr
		}
		return a.Monitor(ctx, agents.Depth(m.Depth).Floor())
	})
	p := agents.Promoted{}
	switch {
	case errors.As(err, &p):
		return p.Err
	case err == nil:
		return errors.New("it runs here, but not as the promoted one")
	}
	return err
}

func (d *driver) promote(ctx context.Context, epoch uint64) error {
	return d.do(ctx, d.resource.StartTimeout, epoch, func(ctx context.Context, a agents.Agent, paramErr error) error {
		p, ok := a.(agents.Promoter)
		if paramErr != nil || !ok {
			return paramErr
		}
		return p.Promote(ctx)
	})
}

func (d *driver) demote(ctx context.Context, timeout time.Duration) error {
	return d.do(ctx, timeout, 0, func(ctx context.Context, a agents.Agent, _ error) error {
		p, ok := a.(agents.Promoter)
		if !ok {
			return nil
		}
		if err := p.Demote(ctx); err != nil && !errors.Is(err, agents.ErrNotRunning) {
			return err
		}
		return nil
	})
}

// promotes says whether the resource has roles.
func (d *driver) promotes() bool {
	_, ok := d.kind.New(agents.Env{Kind: d.kind.Name, Instance: d.resource.Name, Log: slog.New(slog.DiscardHandler)}).(agents.Promoter)
	return ok
}

// gone says whether a resource was proved to be stopped.
func (d *driver) gone(ctx context.Context, timeout time.Duration) error {
	err := d.monitor(ctx, resources.Monitor{Timeout: timeout})
	if errors.Is(err, agents.ErrNotRunning) {
		return nil
	}
	if err == nil {
		return errors.New("it runs")
	}
	return err
}
