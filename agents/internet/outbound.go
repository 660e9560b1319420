// SPDX-License-Identifier: Apache-2.0

package internet

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/mailha/mailha/agents"
	"github.com/mailha/mailha/agents/mta"
)

// leavesBy fails if mail could leave from an address that is not one of vips.
// A family without a secondary address must not be used at all: of both, a
// sender that has the choice takes the node's own.
func leavesBy(o mta.Outbound, vips []netip.Addr) error {
	var errs []error
	for _, family := range []struct {
		name, setting string
		used          bool
		is            func(netip.Addr) bool
	}{
		{"IPv4", "smtp_bind_address", o.IPv4, netip.Addr.Is4},
		{"IPv6", "smtp_bind_address6", o.IPv6, netip.Addr.Is6},
	} {
		if !family.used {
			continue
		}
		own := slices.DeleteFunc(slices.Clone(vips), func(a netip.Addr) bool { return !family.is(a) })
		bound := slices.IndexFunc(o.Bound, family.is)
		switch {
		case len(own) == 0:
			errs = append(errs, fmt.Errorf("mail would leave over %s from an address of the node, for the resource has no %[1]s address: set inet_protocols", family.name))
		case bound < 0:
			errs = append(errs, fmt.Errorf("mail would leave over %s from an address of the node: set %s = %s", family.name, family.setting, own[0]))
		case !slices.Contains(own, o.Bound[bound]):
			errs = append(errs, fmt.Errorf("%s = %s is not an address of the resource: set it to %s", family.setting, o.Bound[bound], own[0]))
		}
	}
	if !o.Enforced {
		errs = append(errs, errors.New("mail would leave from an address of the node while the secondary one is missing: set smtp_bind_address_enforce = yes"))
	}
	if len(o.Overrides) > 0 {
		errs = append(errs, fmt.Errorf("master.cf changes it for single services: %s", strings.Join(o.Overrides, ", ")))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("%w: outbound mail: %s (or set outbound=false)", agents.ErrNode, strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	return nil
}
