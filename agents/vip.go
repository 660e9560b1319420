// SPDX-License-Identifier: Apache-2.0

package agents

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/mailha/mailha/vip"
)

// VIPType is the agent for secondary addresses without a service.
func VIPType() Type {
	return Type{
		Name:  "vip",
		Short: "Secondary IP addresses",
		Long: `Brings up one or more secondary IPv4 and IPv6 addresses, tells the neighbours where they are, and watches for other hosts that claim them.

An address that another host answers for is not taken, and the reason names that host's MAC address. While an address is held, every monitor reports a host that claims it. A stop removes the addresses whatever their prefix length has become, ends the local connections that used them, and looks again before it says that they are gone.`,
		Actions: []Action{
			{Name: "start", Timeout: 20 * time.Second},
			{Name: "stop", Timeout: 20 * time.Second},
			{Name: "monitor", Timeout: 20 * time.Second, Interval: 10 * time.Second, Depth: DepthShallow},
			{Name: "reload-agent", Timeout: 20 * time.Second},
			{Name: "validate-all", Timeout: 20 * time.Second},
			{Name: "meta-data", Timeout: 5 * time.Second},
		},
		Example: map[string]string{"ip": "192.0.2.25,2001:db8::25", "nic": "eth0"},
		New: func(env Env) Agent {
			return &vipAgent{
				addresses: NewAddresses(),
				env:       env,
				log:       env.Logger().With("resource", env.Instance),
				records:   records{dir: env.StateDir, instance: env.Instance},
			}
		},
	}
}

type vipAgent struct {
	addresses Addresses
	env       Env
	log       *slog.Logger
	records   records
}

func (a *vipAgent) Params() Table { return a.addresses.Params(true) }

func (a *vipAgent) Validate(ctx context.Context, depth Depth) error {
	if err := a.addresses.Check(); err != nil || depth < DepthProtocol {
		return err
	}
	_, err := a.addresses.Set(a.env.Instance, nil, a.env.Logger())
	return err
}

func (a *vipAgent) Reload(ctx context.Context) error { return a.Monitor(ctx, DepthShallow) }

func (a *vipAgent) Start(ctx context.Context) error {
	set, err := a.addresses.Set(a.env.Instance, nil, a.env.Logger())
	if err != nil {
		return err
	}
	prefixes, err := a.addresses.Prefixes()
	if err != nil {
		return err
	}
	rec := record{Addresses: prefixes, Interface: string(a.addresses.NIC), Started: time.Now()}
	if err := a.records.save(rec); err != nil {
		return err
	}
	if err := takeWhen(ctx, set, nil); err != nil {
		return errors.Join(err, a.takeBack(ctx, set))
	}
	Announce(ctx, set, a.log)
	rec.Announced = time.Now()
	return a.records.save(rec)
}

// takeBack undoes a start that failed, so that nothing is left of it.
func (a *vipAgent) takeBack(ctx context.Context, set *vip.Set) error {
	if err := set.Release(ctx); err != nil {
		return err
	}
	a.records.forget(a.log)
	return nil
}

func (a *vipAgent) Stop(ctx context.Context) error {
	rec, _, err := a.records.load()
	if err != nil {
		a.log.Warn("cannot read what the start noted", "error", err)
	}
	set, err := a.addresses.Set(a.env.Instance, rec.Addresses, a.env.Logger())
	switch {
	case len(rec.Addresses) == 0 && (err != nil || set == nil):
		// Bad parameters took no address, but earlier ones may have.
		if err := a.records.unaccounted(ctx); err != nil {
			return err
		}
	case err != nil:
		return err
	default:
		if err := set.Release(ctx); err != nil {
			return err
		}
	}
	a.records.forget(a.log)
	return nil
}

func (a *vipAgent) Monitor(ctx context.Context, _ Depth) error {
	rec, _, err := a.records.load()
	if err != nil {
		return err
	}
	set, err := a.addresses.Set(a.env.Instance, rec.Addresses, a.env.Logger())
	if err != nil {
		return err
	}
	report, err := check(ctx, set)
	if err != nil {
		return err
	}
	if report.Absent() {
		return fmt.Errorf("no address is held: %w", ErrNotRunning)
	}
	if err := report.Err(); err != nil {
		return err
	}
	if a.addresses.schedule(a.env.Instance).Due(time.Now(), rec.Started, rec.Announced) {
		Announce(ctx, set, a.log)
		rec.Announced = time.Now()
		return a.records.save(rec)
	}
	return nil
}
