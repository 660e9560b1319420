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
		New:     func(env Env) Agent { return NewVIP(env) },
	}
}

// VIP is the lifecycle of secondary addresses by themselves. It is an [Agent].
// Without addresses of its own it still notes that it was started.
type VIP struct {
	Addresses   Addresses
	Shared      AddressList // of another resource: nothing is done with them but to show them
	Description Text

	env     Env
	log     *slog.Logger
	records records
	board   board
}

// NewVIP returns the lifecycle with its defaults.
func NewVIP(env Env) *VIP {
	return &VIP{
		Addresses: NewAddresses(),
		env:       env,
		log:       env.Logger().With("resource", env.Instance),
		records:   records{dir: env.StateDir, instance: env.Instance},
		board:     board{env},
	}
}

// Params is the parameter table.
func (a *VIP) Params() Table {
	return append(a.Addresses.Params(true), Table{
		{Name: "wait_ports", Value: &a.Addresses.Wait,
			Short: "TCP ports on which clients wait while no service listens",
			Long:  "New connections to these ports of the addresses are not refused while nobody listens there, but dropped: the clients try again by themselves and come through as soon as the service is up. For addresses that are started before the services behind them and stopped after them."},
		DescriptionParam(&a.Description),
	}...)
}

// Validate checks the parameters.
func (a *VIP) Validate(ctx context.Context, depth Depth) error {
	if err := a.Addresses.Check(); err != nil || depth < DepthProtocol {
		return err
	}
	_, err := a.set(record{})
	return err
}

// Reload has nothing to do here: each call reads the parameters anew.
func (a *VIP) Reload(ctx context.Context) error { return a.Monitor(ctx, DepthShallow) }

// Start takes the addresses and announces them.
func (a *VIP) Start(ctx context.Context) error {
	prefixes, err := a.Addresses.Prefixes()
	if err != nil {
		return err
	}
	rec := record{Addresses: prefixes, Shared: a.Shared.Addrs(), Started: time.Now()}
	a.introduce(rec)
	if err := a.start(ctx, rec); err != nil {
		a.show(rec, Status{Phase: Failed, Detail: err.Error()})
		return err
	}
	a.show(rec, Status{Phase: Started})
	return nil
}

func (a *VIP) start(ctx context.Context, rec record) error {
	set, err := a.set(record{})
	if err != nil {
		return err
	}
	if err := a.records.save(rec); err != nil || set == nil {
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
func (a *VIP) takeBack(ctx context.Context, set *vip.Set) error {
	if err := set.Release(ctx); err != nil {
		return err
	}
	a.records.forget(a.log)
	return nil
}

// Stop gives the addresses up and proves it.
func (a *VIP) Stop(ctx context.Context) error {
	rec, noted, err := a.records.load()
	if err != nil {
		a.log.Warn("cannot read what the start noted", "error", err)
	}
	a.introduce(rec)
	if err := a.stop(ctx, rec, noted); err != nil {
		a.show(rec, Status{Phase: Failed, Detail: err.Error()})
		return err
	}
	a.show(rec, Status{Phase: Stopped})
	return nil
}

func (a *VIP) stop(ctx context.Context, rec record, noted bool) error {
	set, err := a.set(rec)
	switch {
	case noted && len(rec.Addresses) == 0 && err == nil && set == nil:
		// None was taken.
	case len(rec.Addresses) == 0 && (err != nil || set == nil):
		// Bad parameters took no address, but earlier ones may have.
		if err := a.records.unaccounted(ctx, a.Shared.Addrs()); err != nil {
			return err
		}
	case err != nil:
		return err
	default:
		// First, since it takes the kernel longer than all the rest, and from the release
		// on clients wait for the next node.
		if err := set.Unwatch(); err != nil {
			a.log.Warn("cannot end the watch for rivals", "error", err)
		}
		if err := set.Release(ctx); err != nil {
			return err
		}
	}
	a.records.forget(a.log)
	return nil
}

// Monitor looks whether the addresses are held and nobody else claims them.
func (a *VIP) Monitor(ctx context.Context, _ Depth) error {
	rec, noted, err := a.records.load()
	if err != nil {
		return err
	}
	set, err := a.set(rec)
	if err != nil {
		return err
	}
	if set == nil && noted {
		return nil
	}
	report, err := check(ctx, set)
	if err != nil {
		return err
	}
	if report.Absent() {
		return fmt.Errorf("%w: %w", vip.ErrNotHeld, ErrNotRunning)
	}
	if err := report.Err(); err != nil {
		return err
	}
	if a.Addresses.schedule(a.env.Instance).Due(time.Now(), rec.Started, rec.Announced) {
		a.introduce(rec)
		Announce(ctx, set, a.log)
		rec.Announced = time.Now()
		return a.records.save(rec)
	}
	return nil
}

func (a *VIP) set(rec record) (*vip.Set, error) {
	return a.Addresses.Set(a.env, rec.Addresses)
}

func (a *VIP) introduce(rec record) { a.log = introduced(a.env, rec, a.Description) }

func (a *VIP) show(rec record, st Status) { a.board.show(rec, a.Description, st, a.log) }
