// SPDX-License-Identifier: Apache-2.0

package internet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mailha/mailha/agents"
)

// Type describes the agent.
func Type() agents.Type {
	return agents.Type{
		Name:  "internet-agent",
		Short: "Front door: SMTP, submission, IMAP, POP3 and LDAP behind one set of addresses",
		Long: `Runs the daemons that face the Internet and the users (a Postfix that relays, a Dovecot and an OpenLDAP that pass on, or any other unit), and the secondary IP addresses on which all of them are reached, as one resource.

Each daemon is a part with a lifecycle of its own: it is started behind a closed gate, drained and stopped beside the others, and a part that has died is started again on the spot, by the next monitor, while the others go on. As long as one part answers, the resource is degraded rather than failed, unless a protocol that does not answer is among those that "require" names. The status of a part is shown under the resource's name, a colon and smtp, imap or ldap.

Clients wait while the addresses move: new connections to a port on which nobody listens yet are held, not refused. Where the addresses are another resource's (shared_ip), its wait_ports do that.

Mail leaves from the secondary addresses or waits: a start refuses a Postfix that would send from an address of the node. Validation against the node also looks whether the name that Postfix greets with, its addresses and their names in the DNS agree, and warns before a failover would show it.`,
		Actions: []agents.Action{
			{Name: "start", Timeout: time.Minute},
			{Name: "stop", Timeout: time.Minute},
			{Name: "monitor", Timeout: 30 * time.Second, Interval: 10 * time.Second, Depth: agents.DepthShallow},
			{Name: "monitor", Timeout: 30 * time.Second, Interval: 30 * time.Second, Depth: agents.DepthProtocol},
			{Name: "reload-agent", Timeout: 20 * time.Second},
			{Name: "validate-all", Timeout: 20 * time.Second},
			{Name: "meta-data", Timeout: 5 * time.Second},
		},
		Example: map[string]string{
			"ip": "192.0.2.25,2001:db8::25", "protocols": "smtp,submission,imap,imaps",
			"smtp_config_dir": "/etc/postfix-front", "imap_unit": "dovecot-front.service",
		},
		New: func(env agents.Env) agents.Agent { return newAgent(env) },
	}
}

type agent struct {
	vip       *agents.VIP
	protocols protocols
	require   protocols
	timeout   agents.Duration
	gate      agents.GateMode
	outbound  agents.Bool
	certDays  agents.Number

	parts []*part
	env   agents.Env
	log   *slog.Logger
}

func newAgent(env agents.Env) *agent {
	a := &agent{
		vip:      agents.NewVIP(env),
		timeout:  agents.Duration(20 * time.Second),
		gate:     "refuse",
		outbound: true,
		certDays: 14,
		env:      env,
		log:      env.Logger().With("resource", env.Instance),
	}
	a.parts = []*part{newMail(a), newMailboxes(a), newDirectory(a)}
	return a
}

// Params is the parameter table.
func (a *agent) Params() agents.Table {
	table := agents.Table{
		{Name: "protocols", Value: &a.protocols, Required: true,
			Short: "What is spoken on the addresses",
			Long:  "Names from smtp, submission, submissions, imap, imaps, pop3, pop3s, ldap and ldaps, each with another port after a colon if need be, and another kind of encryption (none, starttls, tls) after a slash: \"smtp submission imap:1143/starttls ldaps\". Use imap/starttls and pop3/starttls where clients may begin to encrypt: with none they are told in plain text when a drain ends their idle session. Each of them is closed, counted and asked for its health by itself."},
		{Name: "require", Value: &a.require, Reloadable: true,
			Short: "Protocols without which the front door is no good",
			Long:  "If one of these does not answer, a start or monitor fails. Without it the resource only fails when none answers."},
		{Name: "outbound", Value: &a.outbound,
			Short: "See to it that mail leaves from the secondary addresses",
			Long:  "A start then refuses a Postfix whose smtp_bind_address and smtp_bind_address6 are not secondary addresses of this resource, or which would send from another address when it cannot use them (smtp_bind_address_enforce), or which would use a family that has no secondary address (inet_protocols)."},
		{Name: "cert_days", Value: &a.certDays, Reloadable: true,
			Short: "Days before the end of a certificate from which the resource is degraded",
			Long:  "0 turns it off."},
	}
	for _, p := range a.parts {
		table = append(table, p.params()...)
	}
	return append(append(table, agents.DrainParams(&a.timeout, &a.gate)...), a.vip.Addresses.Params(false)...).
		With(agents.SharedParam(&a.vip.Shared), agents.DescriptionParam(&a.vip.Description))
}

// ready hands the parameters, which are set by now, to what is made of them.
func (a *agent) ready() {
	a.vip.Addresses.Wait = a.protocols.ports()
	for _, p := range a.parts {
		p.ready()
	}
}

// used lists the parts that have a protocol to speak.
func (a *agent) used() []*part {
	var used []*part
	for _, p := range a.parts {
		if len(p.protocols()) > 0 {
			used = append(used, p)
		}
	}
	return used
}

// Validate checks the parameters, and from DepthProtocol on this node too.
func (a *agent) Validate(ctx context.Context, depth agents.Depth) error {
	a.ready()
	errs := []error{a.vip.Validate(ctx, depth)}
	if len(a.addrs()) == 0 {
		errs = append(errs, &agents.ParamError{Name: "ip", Err: errors.New("required unless shared_ip is set")})
	}
	for _, q := range a.require {
		if !a.protocols.has(q) {
			errs = append(errs, &agents.ParamError{Name: "require", Text: q.short(), Err: errors.New("is not among the protocols")})
		}
	}
	for _, p := range a.used() {
		errs = append(errs, p.service.Validate(ctx, depth))
		if depth >= agents.DepthProtocol && p.advise != nil {
			a.advise(ctx, p)
		}
	}
	return errors.Join(errs...)
}

// advise warns of what is no reason to fail.
func (a *agent) advise(ctx context.Context, p *part) {
	const patience = 5 * time.Second // a DNS that is silent must not hold anything up
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	found, err := p.advise(ctx)
	if err != nil {
		a.log.Warn("cannot look whether names and addresses agree", "error", err)
	}
	for _, text := range found {
		a.log.Warn(text)
	}
}

// Start takes the addresses, on which clients wait, and starts the parts.
func (a *agent) Start(ctx context.Context) error {
	a.ready()
	// Before the addresses are here: a node that lacks something disturbs nobody.
	for _, r := range a.each(a.used(), func(p *part) error { return p.service.Validate(ctx, agents.DepthProtocol) }) {
		if r.err != nil {
			return fmt.Errorf("%s: %w", r.part.name, r.err)
		}
	}
	if err := a.vip.Start(ctx); err != nil {
		return err
	}
	inner, cancel := withRest(ctx)
	defer cancel()
	results := a.startParts(inner)
	err := a.judge(results)
	if err != nil && !errors.Is(err, agents.ErrDegraded) {
		return errors.Join(err, a.takeBack(ctx))
	}
	if err != nil {
		a.log.Warn("started without all of its protocols", "error", err)
	}
	return nil
}

// startParts starts all parts at once, but Postfix when the others answer, or have
// had their chance: it asks them for passwords, and when it finds nobody it does not
// offer what needs them for a minute (postconf(5) service_throttle_time).
func (a *agent) startParts(ctx context.Context) []result {
	var others sync.WaitGroup
	for _, p := range a.used() {
		if p.name != mail {
			others.Add(1)
		}
	}
	answer := make(chan struct{})
	go func() {
		defer close(answer)
		others.Wait()
	}()
	return a.each(a.used(), func(p *part) error {
		if p.name != mail {
			defer others.Done()
			return p.start(ctx)
		}
		select {
		case <-answer:
		case <-time.After(settle):
		case <-ctx.Done():
		}
		return p.start(ctx)
	})
}

// withRest leaves a third of the time: one part that never answers must not use up
// all of it, so that the start fails although others serve.
func withRest(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, deadline.Add(-time.Until(deadline)/3))
}

// takeBack undoes a start that failed.
func (a *agent) takeBack(ctx context.Context) error {
	const patience = 10 * time.Second
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	return a.Stop(ctx)
}

// Stop drains and stops all parts at once, and gives the addresses up after
// that, whatever became of the parts.
func (a *agent) Stop(ctx context.Context) error {
	a.ready()
	inner, cancel := withReserve(ctx)
	defer cancel()
	var errs []error
	// All parts: one may have been started by parameters that are gone.
	for _, r := range a.each(a.parts, func(p *part) error { return p.stop(inner) }) {
		errs = append(errs, r.err)
	}
	return errors.Join(append(errs, a.vip.Stop(ctx))...)
}

// withReserve leaves a little of the time to what comes after.
func withReserve(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	const reserve = 500 * time.Millisecond
	return context.WithDeadline(ctx, deadline.Add(-min(reserve, time.Until(deadline)/10)))
}

// Monitor looks at addresses and parts, and starts parts that have died.
func (a *agent) Monitor(ctx context.Context, depth agents.Depth) error {
	a.ready()
	vipErr := a.vip.Monitor(ctx, agents.DepthShallow)
	absent := errors.Is(vipErr, agents.ErrNotRunning)
	results := a.each(a.used(), func(p *part) error {
		err := p.service.Monitor(ctx, depth)
		if err != nil && vipErr == nil && p.down(ctx) {
			return p.repair(ctx, err)
		}
		return err
	})
	switch {
	case !absent:
		return errors.Join(vipErr, here(a.judge(results)))
	case !a.vip.Addresses.Any() && !stopped(results):
		// What the start noted is lost, and no address of its own tells that it runs.
		return here(a.judge(results))
	}
	return gone(vipErr, results)
}

// here is what is wrong where something runs, or an address is held: of a probe, that something
// lacks on this node would mean that nothing does.
func here(err error) error {
	if err == nil || errors.Is(err, agents.ErrDegraded) {
		return err
	}
	return errors.New(err.Error())
}

// stopped says whether no part runs.
func stopped(results []result) bool {
	return !slices.ContainsFunc(results, func(r result) bool { return !errors.Is(r.err, agents.ErrNotRunning) })
}

// gone is for addresses that are not held: only if no part runs either is the
// resource stopped.
func gone(vipErr error, results []result) error {
	for _, r := range results {
		if !errors.Is(r.err, agents.ErrNotRunning) {
			return fmt.Errorf("the addresses are not held, but %s is not stopped: %s", r.part.name, reason(r.err))
		}
	}
	return vipErr
}

// reason is the text of an error that may be none, without what it wraps: the
// class of a part's error is not the resource's.
func reason(err error) string {
	if err == nil {
		return "it runs"
	}
	return strings.TrimPrefix(err.Error(), agents.ErrDegraded.Error()+": ")
}

// Reload has nothing to do here: each call reads the parameters anew.
func (a *agent) Reload(ctx context.Context) error { return a.Monitor(ctx, agents.DepthShallow) }
