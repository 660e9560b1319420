// SPDX-License-Identifier: Apache-2.0

package vip

import (
	"context"

	"golang.org/x/sys/unix"

	"github.com/mailha/mailha/vip/netlink"
)

// kernel is a routing netlink socket of the calling thread's network namespace.
type kernel struct{ *netlink.Conn }

// openKernel returns a kernel whose requests end with ctx's deadline, if there is one. Interrupted dumps
// are repeated: they are incomplete, and an address must never be called missing because of that.
func openKernel(ctx context.Context) (*kernel, error) {
	c, err := netlink.Open(ctx, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	return &kernel{c}, nil
}
