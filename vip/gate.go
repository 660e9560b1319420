// SPDX-License-Identifier: Apache-2.0

package vip

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Mode says what happens to new TCP connections that come in from other hosts.
type Mode int

// The modes of a Gate.
const (
	Open   Mode = iota // let in
	Hold               // SYN dropped: the client tries again by itself
	Refuse             // SYN answered with a reset
)

func (m Mode) String() string {
	switch m {
	case Open:
		return "open"
	case Hold:
		return "hold"
	case Refuse:
		return "refuse"
	}
	return fmt.Sprintf("Mode(%d)", int(m))
}

// Gate lets new connections to a resource in, holds or refuses them. Established connections and those over
// the loopback interface (our own readiness probes) are never touched. It lives in an nf_tables table of
// the kernel and stays as it was set when the process ends. It is gone, so open, after a reboot and after
// somebody has flushed the whole ruleset ("nft flush ruleset").
type Gate struct {
	owner  string
	addrs  []netip.Addr
	ports  []uint16
	inward []netip.AddrPort
	admit  []netip.Addr
}

const gateChain = "input"

// NewGate returns the gate of owner (see Config) for the given local addresses, none for all of this host, and
// TCP ports, none for all. Leaving out both is an error: it would lock everybody out of the host.
func NewGate(owner string, addrs []netip.Addr, ports []uint16) (*Gate, error) {
	if err := checkOwner(owner); err != nil {
		return nil, fmt.Errorf("gate: %w", err)
	}
	if len(addrs) == 0 && len(ports) == 0 {
		return nil, fmt.Errorf("gate of %q: neither an address nor a port given, that would close the whole host", owner)
	}
	for _, a := range addrs {
		if !a.IsValid() || a.Is4In6() || a.Zone() != "" || a.IsUnspecified() {
			return nil, fmt.Errorf("gate of %q: %s can't be a local address", owner, a)
		}
	}
	return &Gate{owner: owner, addrs: addrs, ports: ports}, nil
}

// Inward returns the gate with places that are closed to this very host, too, unless it is open: new connections
// to them over loopback are refused, also while others are held, since a client on this host would not find
// another holder. A place without an address is a port on all of them.
func (g *Gate) Inward(places ...netip.AddrPort) *Gate {
	with := *g
	with.inward = places
	return &with
}

// Admit returns the gate with hosts whose new connections it lets in whatever its mode.
func (g *Gate) Admit(hosts ...netip.Addr) *Gate {
	with := *g
	with.admit = hosts
	return &with
}

func (g *Gate) table() *nftables.Table {
	return &nftables.Table{Name: tableName("gate", g.owner), Family: nftables.TableFamilyINet}
}

// Set puts the gate into mode m in one step: no connection slips through while one mode replaces another.
func (g *Gate) Set(ctx context.Context, m Mode) error {
	if err := g.set(ctx, m); err != nil {
		return fmt.Errorf("set gate of %q to %s: %w", g.owner, m, err)
	}
	return nil
}

func (g *Gate) set(ctx context.Context, m Mode) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	switch m {
	case Open:
		err := remove(g.table())
		if unusable(err) && !errors.Is(err, unix.EPERM) {
			return nil // without nf_tables no gate was ever closed
		}
		return err
	case Hold, Refuse:
		return commit(func(c *nftables.Conn, start func(*nftables.Table)) error {
			t := g.table()
			start(t)
			return g.addRules(c, t, m)
		})
	}
	return errors.New("no such mode")
}

func (g *Gate) addRules(c *nftables.Conn, t *nftables.Table, m Mode) error {
	chain := c.AddChain(&nftables.Chain{
		Name: gateChain, Table: t, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookInput,
		Priority: nftables.ChainPriorityRef(-10), // before the host's own filter
	})
	rule := func(exprs ...expr.Any) { c.AddRule(&nftables.Rule{Table: t, Chain: chain, Exprs: exprs}) }
	reset := &expr.Reject{Type: unix.NFT_REJECT_TCP_RST}
	for _, place := range g.inward {
		rule(append(ourConnections(place), reset)...)
	}
	rule(notOurs()...)
	for _, host := range g.admit {
		rule(append(saddr(host), &expr.Verdict{Kind: expr.VerdictAccept})...)
	}
	match, err := newConnections(c, t, g.ports)
	if err != nil {
		return err
	}
	var verdict expr.Any = &expr.Verdict{Kind: expr.VerdictDrop}
	if m == Refuse {
		verdict = reset
	}
	if len(g.addrs) == 0 {
		rule(append(match, verdict)...)
	}
	for _, a := range g.addrs {
		rule(slices.Concat(daddr(a), match, []expr.Any{verdict})...)
	}
	return nil
}

// Mode reads back from the kernel in which mode the gate is.
func (g *Gate) Mode(ctx context.Context) (Mode, error) {
	m, err := g.mode(ctx)
	if err != nil {
		return m, fmt.Errorf("read gate of %q: %w", g.owner, err)
	}
	return m, nil
}

func (g *Gate) mode(ctx context.Context) (Mode, error) {
	if err := ctx.Err(); err != nil {
		return Open, err
	}
	c, err := nftables.New(nftables.AsLasting())
	if err != nil {
		return Open, err
	}
	defer c.CloseLasting()
	t := g.table()
	if _, err := c.ListTableOfFamily(t.Name, t.Family); errors.Is(err, unix.ENOENT) {
		return Open, nil
	} else if err != nil {
		return Open, err
	}
	rules, err := c.GetRules(t, &nftables.Chain{Name: gateChain})
	if err != nil {
		return Open, err
	}
	if len(rules) > 1 {
		if m, ok := verdictMode(rules[len(rules)-1].Exprs); ok {
			return m, nil
		}
	}
	return Open, fmt.Errorf("table %s holds other rules than those of a gate", t.Name)
}

// verdictMode is the mode that a rule of a gate belongs to.
func verdictMode(exprs []expr.Any) (Mode, bool) {
	if len(exprs) == 0 {
		return Open, false
	}
	switch e := exprs[len(exprs)-1].(type) {
	case *expr.Reject:
		return Refuse, true
	case *expr.Verdict:
		return Hold, e.Kind == expr.VerdictDrop
	}
	return Open, false
}
