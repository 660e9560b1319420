// SPDX-License-Identifier: Apache-2.0

// Package nstest makes the network namespaces in which tests send packets. It must never
// change anything in the namespace that a test was started in, and ships with no program.
//
// Namespaces belong to threads: lock the goroutine to its own (runtime.LockOSThread) before
// New, and never unlock it, so that the thread ends with the goroutine.
package nstest

import (
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// New makes a namespace whose loopback interface is up, and leaves the thread in it. It ends
// the test where that cannot be: it takes root, and a kernel with CONFIG_NET_NS.
func New(t testing.TB) netns.NsHandle {
	t.Helper()
	ns, err := netns.New()
	if err != nil {
		t.Fatalf("make a network namespace (root and CONFIG_NET_NS are needed): %v", err)
	}
	t.Cleanup(func() { ns.Close() })
	Up(t, "lo")
	return ns
}

// Up switches an interface of the thread's namespace on.
func Up(t testing.TB, name string) {
	t.Helper()
	l, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetUp(l); err != nil {
		t.Fatal(err)
	}
}

// In runs f with the thread in another namespace.
func In(t testing.TB, ns netns.NsHandle, f func()) {
	t.Helper()
	back, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	defer back.Close()
	if err := netns.Set(ns); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := netns.Set(back); err != nil {
			t.Error(err)
		}
	}()
	f()
}
