// SPDX-License-Identifier: Apache-2.0

package vip

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mailha/mailha/vip/netlink"
)

// Lateness is how much later than asked for the kernel may remove an address whose lifetime has ended: it rounds
// the time of its next look (linux/net/ipv4/devinet.c, check_lifetime;
// net/ipv6/addrconf.c, addrconf_verify_rtnl).
const Lateness = 300 * time.Millisecond

// IFA_F_MCAUTOJOIN of linux/if_addr.h: the kernel joins the group that is being added as an address.
const ifaMcautojoin = 0x400

// Extend has the kernel remove all addresses with our Tag when valid has passed, unless Extend comes again before:
// for a node that may hold them for as long only, and may stand still then. Seconds are counted, part of one does
// not count, and Lateness comes on top. Less than a second cannot be said to the kernel: it leaves the lifetimes as
// they are, and gives the shortest one to addresses that have none. An address that is removed meanwhile is not
// brought back. What was deprecated stays so, and everything else about the addresses stays, too.
func Extend(ctx context.Context, valid time.Duration) error {
	k, err := openKernel(ctx)
	if err != nil {
		return err
	}
	defer k.Close()
	addrs, err := k.addresses()
	if err != nil {
		return err
	}
	var errs []error
	for _, a := range addrs {
		if !a.tagged || valid < time.Second && a.flags&unix.IFA_F_PERMANENT == 0 {
			continue
		}
		err := k.Do(unix.RTM_NEWADDR, unix.NLM_F_REPLACE, extended(a, valid))
		if err == unix.ENODEV || err == unix.EADDRNOTAVAIL || err == unix.EINVAL && !k.has(a) {
			continue // it has gone in the meantime
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("limit the lifetime of %s on interface %d: %w", a.prefix, a.index, err))
		}
	}
	return errors.Join(errs...)
}

// extended asks for another lifetime of an address that is there. The kernel would add one that is not there
// (it does not heed the absence of NLM_F_CREATE), but for the flag: to join the group of an address that is of one
// host fails, and is tried only when it is added.
func extended(a address, valid time.Duration) []byte {
	b := append([]byte{}, a.raw[:unix.SizeofIfAddrmsg]...)
	b[2] &^= unix.IFA_F_SECONDARY
	deprecated := false
	for kind, value := range netlink.Attributes(a.raw[unix.SizeofIfAddrmsg:]) {
		switch kind {
		case unix.IFA_CACHEINFO:
			deprecated = len(value) >= 8 && binary.NativeEndian.Uint32(value) == 0 && a.flags&unix.IFA_F_DEPRECATED != 0
		case unix.IFA_FLAGS:
		default:
			b = netlink.Append(b, kind, value)
		}
	}
	const asked = unix.IFA_F_NODAD | unix.IFA_F_NOPREFIXROUTE // the kernel sets the others
	b = netlink.AppendUint32(b, unix.IFA_FLAGS, uint32(a.flags&asked|ifaMcautojoin))
	return netlink.Append(b, unix.IFA_CACHEINFO, lifetime(max(valid, 1), deprecated))
}

// lifetime is a struct ifa_cacheinfo (linux/if_addr.h). 0 is for ever.
func lifetime(valid time.Duration, deprecated bool) []byte {
	seconds := uint32(math.MaxUint32)
	if valid != 0 {
		seconds = uint32(max(1, min(int64(valid/time.Second), math.MaxInt32)))
	}
	info := make([]byte, unix.SizeofIfaCacheinfo)
	if !deprecated {
		binary.NativeEndian.PutUint32(info, seconds)
	}
	binary.NativeEndian.PutUint32(info[4:], seconds)
	return info
}

// has says whether an address is there now.
func (k *kernel) has(a address) bool {
	addrs, err := k.addresses()
	if err != nil {
		return true
	}
	for _, b := range addrs {
		if b.prefix == a.prefix && b.index == a.index {
			return true
		}
	}
	return false
}
