// SPDX-License-Identifier: Apache-2.0

package mta

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/mailha/mailha/agents"
	"github.com/mailha/mailha/agents/probe"
)

// Check holds an SMTP dialogue and looks at the queue, and at DepthTransaction
// follows a message until the queue is done with it.
func (a *agent) Check(ctx context.Context, f agents.Facts, depth agents.Depth) error {
	target := a.target(f)
	// Before it is called: a stranger has no use for that.
	if err := agents.Listens(ctx, f, target.Port()); err != nil {
		return err
	}
	// It would not answer for long when it cannot write.
	if err := a.backend().Storage(ctx, f); err != nil {
		return err
	}
	c, err := probe.DialSMTP(ctx, probe.Target{Addr: target})
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.TakesMail(); err != nil {
		return err
	}
	if depth >= agents.DepthTransaction {
		if err := a.transaction(ctx, f, c); err != nil {
			return err
		}
	}
	if err := c.Quit(); err != nil || depth < agents.DepthProtocol {
		return err
	}
	return a.degraded(ctx, f, c)
}

// degraded looks for what does not hinder the service yet.
func (a *agent) degraded(ctx context.Context, f agents.Facts, c *probe.SMTP) error {
	q, err := a.backend().Look(ctx, f, a.limits.most())
	if err != nil {
		return err
	}
	err = a.limits.judge(q, time.Now())
	if a.certDays > 0 && c.Offers("STARTTLS") {
		err = errors.Join(err, checkCertificates(ctx, a.target(f), int(a.certDays)))
	}
	if err != nil {
		return fmt.Errorf("%w: %w", agents.ErrDegraded, err)
	}
	return nil
}

// checkCertificates begins TLS in a session of its own. It is an error if the
// server cannot, or if one of its certificates is not valid for so many days to
// come.
func checkCertificates(ctx context.Context, target netip.AddrPort, days int) error {
	c, err := probe.DialSMTP(ctx, probe.Target{Addr: target, TLS: probe.StartTLS})
	if err != nil {
		return err
	}
	defer c.Close()
	return probe.JudgeCertificates(c.Certificates(), days, time.Now())
}

// transaction sends a message and waits until the queue has delivered it. A test
// that fails leaves nothing behind: it is repeated every few minutes.
func (a *agent) transaction(ctx context.Context, f agents.Facts, c *probe.SMTP) error {
	to := cmp.Or(string(a.recipient), a.backend().Sinkhole(c.Greeter))
	if to == "" {
		return fmt.Errorf("%w: no test message was sent, for check_recipient is empty and this backend has no address of its own that discards mail", agents.ErrDegraded)
	}
	message, err := c.Submit(to, a.backend().QueueID)
	if err != nil {
		return err
	}
	if err := a.untilDone(ctx, f, message, to); err != nil {
		return errors.Join(err, a.backend().Withdraw(ctx, f, message.QueueID, message.ID))
	}
	return nil
}

// untilDone leaves some of the time for what follows a failure.
func (a *agent) untilDone(ctx context.Context, f agents.Facts, message probe.Submitted, to string) error {
	const reserve = 5 // one part in so many
	if end, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, end.Add(-time.Until(end)/reserve))
		defer cancel()
	}
	const pause = 20 * time.Millisecond
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		where, rests, err := a.backend().Queued(f, message.QueueID)
		switch {
		case err != nil:
			return err
		case where == "":
			return nil
		case rests:
			return fmt.Errorf("test message %s to <%s> was accepted but is in the %s queue", message.QueueID, to, where)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("test message %s to <%s> was accepted but is still in the %s queue", message.QueueID, to, where)
		case <-tick.C:
		}
	}
}
