// SPDX-License-Identifier: Apache-2.0

package vip

import (
	"context"
	"errors"
	"net/netip"
)

// Drop removes all addresses that carry our Tag, whatever their resource, and ends the
// connections on them. It is for a node that must let go at once: it asks nobody but
// the kernel, and goes on when one of them cannot be removed. It returns what was removed.
func Drop(ctx context.Context) ([]Holding, error) {
	k, err := openKernel(ctx)
	if err != nil {
		return nil, err
	}
	defer k.Close()
	ls, err := k.links()
	if err != nil {
		return nil, err
	}
	addrs, err := k.addresses()
	if err != nil {
		return nil, err
	}
	var dropped []Holding
	var hosts []netip.Addr
	var errs []error
	for _, a := range addrs {
		if !a.tagged {
			continue
		}
		if err := k.remove(a); err != nil {
			errs = append(errs, err)
			continue
		}
		dropped = append(dropped, Holding{a.prefix, ls.nameOf(a.index)})
		hosts = append(hosts, a.prefix.Addr())
	}
	if len(hosts) > 0 {
		sessions, err := Sessions(ctx, hosts, nil)
		if err == nil {
			_, err = Destroy(ctx, sessions)
		}
		errs = append(errs, err)
	}
	return dropped, errors.Join(errs...)
}
