// SPDX-License-Identifier: Apache-2.0

// Package watchdog makes sure that a node which cannot let go is reset before anybody
// else may take over: a device of the machine resets it unless it is fed, and it is fed
// only for as long as that cannot keep the node alive beyond its lease.
//
// [Find] looks at the devices without touching them; [Arm] takes one; a [Guard] is fed by
// [Guard.Feed], and let go by [Guard.Disarm]. A process that ends in any other way, or
// stands still, leaves the device running, and the machine is reset.
//
// It must never disarm a device on its own account, never take one that stops when its
// process dies, and never feed one for longer than the lease allows.
package watchdog
