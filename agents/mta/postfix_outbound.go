// SPDX-License-Identifier: Apache-2.0

package mta

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"github.com/mailha/mailha/agents"
)

// Outbound is how an instance presents itself to the servers that it sends to.
type Outbound struct {
	Name      string       // in EHLO: postconf(5) smtp_helo_name
	Bound     []netip.Addr // smtp_bind_address and smtp_bind_address6
	Enforced  bool         // mail waits rather than leave from another address: smtp_bind_address_enforce
	IPv4      bool         // inet_protocols
	IPv6      bool
	Overrides []string // settings of single services in master.cf that change one of these
}

// Outbound reads main.cf and master.cf by way of postconf(1).
func (p *Postfix) Outbound(ctx context.Context) (Outbound, error) {
	names := []string{"smtp_helo_name", "smtp_bind_address", "smtp_bind_address6", "smtp_bind_address_enforce", "inet_protocols"}
	text, err := p.postconf(ctx, append([]string{"-x", "-h"}, names...)...)
	if err != nil {
		return Outbound{}, err
	}
	values := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if len(values) != len(names) {
		return Outbound{}, fmt.Errorf("%w: postconf printed %d lines for %d parameters of %s", agents.ErrNode, len(values), len(names), p.ConfigDir)
	}
	services, err := p.postconf(ctx, "-P")
	if err != nil {
		return Outbound{}, err
	}
	o := Outbound{Name: values[0], Enforced: values[3] == "yes", Overrides: overrides(services)}
	for _, v := range values[1:3] {
		if addr, err := netip.ParseAddr(strings.Trim(v, "[]")); err == nil {
			o.Bound = append(o.Bound, addr)
		}
	}
	for f := range strings.FieldsFuncSeq(values[4], func(r rune) bool { return r == ',' || r == ' ' }) {
		o.IPv4 = o.IPv4 || f == "all" || f == "ipv4"
		o.IPv6 = o.IPv6 || f == "all" || f == "ipv6"
	}
	return o, nil
}

// overrides finds, in what postconf -P prints ("relay/unix/smtp_bind_address = x"),
// services that send with an address of their own.
func overrides(text string) []string {
	var found []string
	for line := range strings.Lines(text) {
		where, value, ok := strings.Cut(strings.TrimSpace(line), " = ")
		if !ok {
			continue
		}
		switch where[strings.LastIndexByte(where, '/')+1:] {
		case "smtp_bind_address", "smtp_bind_address6", "smtp_bind_address_enforce", "inet_protocols":
			found = append(found, where+"="+value)
		}
	}
	return found
}
