// SPDX-License-Identifier: Apache-2.0

// Package lab makes test nodes: real Debian systems, each with systemd as its
// PID 1, joined by a bridge in a network namespace of their own, optionally
// with a shared disk and with fencing that really cuts a node's power.
//
//	l, err := lab.Up(ctx, lab.Config{Name: "t1", Nodes: 3, Disk: true, Log: os.Stderr})
//	if err != nil { ... }
//	defer l.Down()
//	out, err := l.Node("node1").Output(ctx, "systemctl", "is-system-running")
//	err = l.Node("node1").Kill(ctx) // wire, unsynced data and processes go, in that order
//
// Tests use [github.com/mailha/mailha/internal/lab/labtest], people use
// internal/cmd/lab, and a Pacemaker cluster on the nodes is made by
// [github.com/mailha/mailha/internal/lab/cluster].
//
// # Virtual machines
//
// Nodes are containers, which boot in half a second and share the host's kernel: its
// clock, for one, and they have no watchdog device. Config.Machines has the first nodes
// be virtual machines instead, by QEMU without KVM: see
// [github.com/mailha/mailha/internal/lab/machine]. They boot in half a minute, need half a
// processor, and can do what a container can but fence others. What their kernel does
// is known to nobody outside: [Node.LeaderPID] is [ErrVirtual].
//
// # What is where
//
// Every lab has the same addresses, for each lives in its own namespaces:
// node i is 10.77.0.(10+i) and fd77::(10+i), the client outside the cluster is
// 10.77.0.100 and fd77::100; see [Subnet4] and [Subnet6]. Inside a node the
// interface is eth0, the directory shared by all nodes and the host is /lab,
// and the shared disk is /dev/mailha-shared.
//
// # What it must never do
//
// It must never put an address, a route or a rule into the host's own network
// namespace, never enable or stop a service of the host, and never signal a
// process that it did not start: processes are known by PID and start time, or
// by the control group that the lab made for them.
//
// Nothing outlives its owner. A lab made by [Up] is taken down by [Lab.Down];
// if the owner dies without calling it, even by SIGKILL, a keeper process takes
// it down; and whatever survives both is removed by the next [Up] of that name
// or by [Sweep].
package lab
