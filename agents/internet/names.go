// SPDX-License-Identifier: Apache-2.0

package internet

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// resolver is the part of [net.Resolver] that is asked.
type resolver interface {
	LookupAddr(ctx context.Context, addr string) ([]string, error)
	LookupHost(ctx context.Context, host string) ([]string, error)
}

// disagreements says what other servers would hold against mail from these
// addresses: the name in EHLO must have each of them, and each must have the
// name (RFC 5321 section 4.1.4, RFC 1912 section 2.1). It is what a failover
// would show, and nothing that a start should fail for.
func disagreements(ctx context.Context, r resolver, name string, vips []netip.Addr) []string {
	var found []string
	forward, err := r.LookupHost(ctx, name)
	if err != nil {
		found = append(found, fmt.Sprintf("the name %s, which Postfix greets with, has no address: %v", name, err))
	}
	for _, addr := range vips {
		if err == nil && !slices.ContainsFunc(forward, func(s string) bool { a, err := netip.ParseAddr(s); return err == nil && a.Unmap() == addr }) {
			found = append(found, fmt.Sprintf("the name %s, which Postfix greets with, does not lead to %s, but to %s", name, addr, strings.Join(forward, ", ")))
		}
		back, err := r.LookupAddr(ctx, addr.String())
		switch {
		case err != nil:
			found = append(found, fmt.Sprintf("the address %s has no name: %v", addr, err))
		case !slices.ContainsFunc(back, func(s string) bool { return strings.EqualFold(strings.TrimSuffix(s, "."), name) }):
			found = append(found, fmt.Sprintf("the address %s is called %s, not %s, which Postfix greets with", addr, strings.Join(back, ", "), name))
		}
	}
	return found
}
