// SPDX-License-Identifier: Apache-2.0

package vip

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// waiting has clients of an address wait while nobody listens on some of its ports, instead of being refused by
// the kernel: their SYN is dropped, and they try again by themselves. The kernel looks for a listener with each
// SYN, so nothing has to be told when a service comes or goes. Other hosts only: what this host asks itself is
// refused as ever.
type waiting struct {
	owner string
	addrs []netip.Addr
	ports []uint16
}

func (w waiting) table() *nftables.Table {
	return &nftables.Table{Name: tableName("wait", w.owner), Family: nftables.TableFamilyINet}
}

// install replaces the rules of an earlier start.
func (w waiting) install() error {
	if len(w.ports) == 0 {
		return nil
	}
	err := commit(func(c *nftables.Conn, start func(*nftables.Table)) error {
		t := w.table()
		start(t)
		return w.addRules(c, t)
	})
	if err != nil {
		return fmt.Errorf("have clients wait for absent services: %w", err)
	}
	return nil
}

func (w waiting) addRules(c *nftables.Conn, t *nftables.Table) error {
	chain := c.AddChain(&nftables.Chain{
		Name: "input", Table: t, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookInput,
		Priority: nftables.ChainPriorityRef(-10),
	})
	rule := func(exprs ...expr.Any) { c.AddRule(&nftables.Rule{Table: t, Chain: chain, Exprs: exprs}) }
	rule(notOurs()...)
	syn, err := newConnections(c, t, w.ports)
	if err != nil {
		return err
	}
	for _, a := range w.addrs {
		match := slices.Concat(daddr(a), syn)
		// With no socket at all the rule ends here. Not by the key "wildcard": that ends it for a connection
		// in TIME_WAIT as well, whose client may come again from the same port.
		listener := &expr.Socket{Key: expr.SocketKeyTransparent, Register: reg}
		rule(slices.Concat(match, []expr.Any{listener, &expr.Verdict{Kind: expr.VerdictAccept}})...)
		rule(slices.Concat(match, []expr.Any{&expr.Verdict{Kind: expr.VerdictDrop}})...)
	}
	return nil
}

func (w waiting) remove() error {
	err := remove(w.table())
	if unusable(err) {
		return nil // then there never was one
	}
	return err
}
