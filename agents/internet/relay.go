// SPDX-License-Identifier: Apache-2.0

package internet

import (
	"context"
	"net"
	"net/netip"
	"slices"

	"github.com/mailha/mailha/agents"
	"github.com/mailha/mailha/agents/mta"
)

func newMail(a *agent) *part {
	instance := new(mta.Instance)
	postfix := mta.NewPostfix(instance)
	p := newPart(a, mail, postfix, prefixed(append(postfix.Params(), instance.Params()...), "smtp_"))
	p.fits = func(ctx context.Context) error {
		if !a.outbound {
			return nil
		}
		o, err := postfix.Outbound(ctx)
		if err != nil {
			return err
		}
		return leavesBy(o, a.addrs())
	}
	p.advise = func(ctx context.Context) ([]string, error) {
		o, err := postfix.Outbound(ctx)
		if err != nil {
			return nil, err
		}
		return disagreements(ctx, net.DefaultResolver, o.Name, a.addrs()), nil
	}
	return p
}

// addrs are the secondary addresses on which clients reach the door.
func (a *agent) addrs() []netip.Addr {
	return slices.Concat(a.vip.Addresses.IP, a.vip.Shared).Addrs()
}

// prefixed gives a backend's parameters names of their own, so that several
// backends fit into one table.
func prefixed(table agents.Table, prefix string) agents.Table {
	var own agents.Table
	for _, p := range table {
		p.Name = prefix + p.Name
		if p.Unique != "" {
			p.Unique = prefix + p.Unique
		}
		own = append(own, p)
	}
	return own
}
