// SPDX-License-Identifier: Apache-2.0

package vip

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
)

// What callers tell apart with errors.Is. The errors returned wrap these and
// name the address, the interface and what was found there.
var (
	// ErrConflict: another host uses the address, or is about to; see ConflictError.
	ErrConflict = errors.New("address in use by another host")
	// ErrNotHeld: the address is on no interface of this network namespace.
	ErrNotHeld = errors.New("address not held")
	// ErrWrongInterface: the address is on another interface of this host than it should be.
	ErrWrongInterface = errors.New("address held on the wrong interface")
	// ErrWrongPrefix: the address is installed with another prefix length than configured.
	ErrWrongPrefix = errors.New("address held with the wrong prefix length")
	// ErrUnusable: the kernel keeps the address from being used: it is tentative, or duplicate
	// address detection failed.
	ErrUnusable = errors.New("address not usable")
	// ErrLinkDown: the interface is down or has no carrier.
	ErrLinkDown = errors.New("link down")
	// ErrNotEthernet: the interface has no Ethernet address, so neither ARP nor ND work on it as known here.
	ErrNotEthernet = errors.New("not an Ethernet interface")
	// ErrNoInterface: no interface was found for the address, or the configured one does not exist.
	ErrNoInterface = errors.New("no interface for the address")
	// ErrAmbiguous: several interfaces are equally good for the address; the configuration must name one.
	ErrAmbiguous = errors.New("more than one interface for the address")
	// ErrNotReleased: the address is still on this host after Release.
	ErrNotReleased = errors.New("address still held")
)

// ConflictError says which host uses an address that we want or hold. It matches ErrConflict.
type ConflictError struct {
	Addr      netip.Addr
	Interface string           // our interface on which the other host was heard
	MAC       net.HardwareAddr // the other host's Ethernet address
	Probing   bool             // the other host does not hold the address yet: it probes for it as we do
}

func (e *ConflictError) Error() string {
	if e.Probing {
		return fmt.Sprintf("%s: host %s on %s is taking the address at the same time", e.Addr, e.MAC, e.Interface)
	}
	return fmt.Sprintf("%s: in use by host %s on %s", e.Addr, e.MAC, e.Interface)
}

// Is makes errors.Is(err, ErrConflict) true.
func (e *ConflictError) Is(target error) bool { return target == ErrConflict }
