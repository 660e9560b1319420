// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mailha/mailha/agents"
	"github.com/mailha/mailha/agents/probe"
)

// Check has each door greet, from DepthProtocol on looks at certificates and room,
// and at DepthTransaction delivers a message.
func (a *agent) Check(ctx context.Context, f agents.Facts, depth agents.Depth) error {
	if len(f.Doors) == 0 {
		return errors.New("nothing is known of where the store listens: its configuration cannot be read, and no start has noted it")
	}
	days := 0
	if depth >= agents.DepthProtocol {
		days = int(a.certDays)
	}
	err := Greet(ctx, f.Doors, days, a.Target(f))
	if full := agents.Full(f.DataDir); depth >= agents.DepthProtocol && full != nil && (err == nil || errors.Is(err, agents.ErrDegraded)) {
		err = errors.Join(err, fmt.Errorf("%w: %w", agents.ErrDegraded, full))
	}
	if depth < agents.DepthTransaction || a.tester.user == "" || err != nil && !errors.Is(err, agents.ErrDegraded) {
		return err
	}
	switch failure := a.transaction(ctx, f); {
	case failure == nil:
		return err
	case !errors.Is(failure, agents.ErrDegraded):
		return failure
	default:
		return errors.Join(err, failure)
	}
}

// Greet has all doors greet at the same time. Those that do not are named together;
// one is enough for the service to have failed. If all do, the certificates of those
// with TLS have to last for so many days, or else the error wraps
// [agents.ErrDegraded]; with 0 days they are not looked at. Doors that are on all
// addresses, or on this one too, are asked there.
func Greet(ctx context.Context, doors []agents.Door, days int, at netip.Addr) error {
	down, unwell := make([]error, len(doors)), make([]error, len(doors))
	var all sync.WaitGroup
	for i, d := range doors {
		all.Go(func() {
			t := targetOf(d, at)
			var sent []*x509.Certificate
			if sent, down[i] = greet(ctx, d, t); down[i] != nil || days == 0 || d.TLS == "" || d.Mute {
				return
			}
			if d.TLS == string(probe.StartTLS) {
				t.TLS = probe.StartTLS
				if sent, unwell[i] = greet(ctx, d, t); unwell[i] != nil {
					return
				}
			}
			if err := probe.JudgeCertificates(sent, days, time.Now()); err != nil {
				unwell[i] = fmt.Errorf("%s %s: %w", strings.ToUpper(d.Protocol), t, err)
			}
		})
	}
	all.Wait()
	if err := errors.Join(down...); err != nil {
		return err
	}
	if err := errors.Join(unwell...); err != nil {
		return fmt.Errorf("%w: %w", agents.ErrDegraded, err)
	}
	return nil
}

// greet sees of a door that speaks to certain clients only that it opens.
func greet(ctx context.Context, d agents.Door, t probe.Target) ([]*x509.Certificate, error) {
	if d.Mute {
		return probe.Greet(ctx, d.Protocol+" behind a proxy", probe.Target{Addr: t.Addr, Path: t.Path})
	}
	return probe.Greet(ctx, d.Protocol, t)
}

// targetOf is where a door is asked, in the clear if it can be.
func targetOf(d agents.Door, at netip.Addr) probe.Target {
	if len(d.Addrs) > 0 && !slices.Contains(d.Addrs, at) {
		at = d.Addrs[0]
	}
	t := probe.Target{Addr: netip.AddrPortFrom(at, d.Port), Path: d.Path}
	if d.TLS == string(probe.Implicit) {
		t.TLS = probe.Implicit
	}
	return t
}
