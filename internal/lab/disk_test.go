// SPDX-License-Identifier: Apache-2.0

package lab_test

import (
	"testing"
	"time"

	"github.com/mailha/mailha/internal/lab"
	"github.com/mailha/mailha/internal/lab/labtest"
)

// atOnce is less than the 11 s that the kernel waits when it finds the mark of
// another machine on a disk with multi-mount protection.
const atOnce = 5 * time.Second

func TestSharedDisk(t *testing.T) {
	t.Parallel()
	l := labtest.Up(t, lab.Config{Nodes: 3, Disk: true})
	ctx := t.Context()
	n1, n2, n3 := l.Node("node1"), l.Node("node2"), l.Node("node3")
	run := func(n *lab.Node, script string) string {
		t.Helper()
		out, err := n.Output(ctx, "sh", "-c", script)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	mount := func(n *lab.Node) {
		t.Helper()
		start := time.Now()
		run(n, "mount "+lab.DiskPath+" /mnt")
		if took := time.Since(start); took > atOnce {
			t.Errorf("%s: mount took %v", n.Name(), took)
		}
	}
	refused := func(n *lab.Node, when string) {
		t.Helper()
		r, err := n.Exec(ctx, "mount", lab.DiskPath, "/mnt")
		if err != nil || r.ExitCode == 0 {
			t.Fatalf("%s: mounted while %s: %+v, %v", n.Name(), when, r, err)
		}
	}
	kill := func(n *lab.Node) {
		t.Helper()
		if err := n.Kill(ctx); err != nil {
			t.Fatal(err)
		}
	}

	mount(n1)
	kill(n3) // a node without the disk takes no mark away
	refused(n2, "node1 has it")
	run(n1, "umount /mnt")
	mount(n2) // a clean end leaves no mark
	run(n2, "umount /mnt")

	mount(n1)
	run(n1, "echo kept >/mnt/kept && sync /mnt/kept /mnt && echo lost >/mnt/lost && echo changed >/mnt/kept")
	kill(n1)
	mount(n2)
	if got := run(n2, "cat /mnt/kept; ls /mnt"); got != "kept\nkept\nlost+found" {
		t.Errorf("after the power cut the disk holds %q", got)
	}
	run(n2, "umount /mnt")

	// Mounted where only one service sees it, and paused on top of that.
	if err := n1.Start(ctx); err != nil {
		t.Fatal(err)
	}
	run(n1, "systemd-run --quiet --unit=hidden -p PrivateMounts=yes sh -c 'mount "+lab.DiskPath+
		" /mnt && echo x >/mnt/hidden && touch /run/mounted && exec sleep infinity' && until test -e /run/mounted; do sleep 0.01; done")
	if err := n1.Pause(ctx); err != nil {
		t.Fatal(err)
	}
	kill(n1)
	mount(n2)
	if got := run(n2, "ls /mnt"); got != "kept\nlost+found" {
		t.Errorf("after the second power cut the disk holds %q", got)
	}

	// node1 comes back and dies again without the disk, which node2 has now.
	if err := n1.Start(ctx); err != nil {
		t.Fatal(err)
	}
	kill(n1)
	if err := n3.Start(ctx); err != nil {
		t.Fatal(err)
	}
	refused(n3, "node2 has it")
	if err := n2.PowerOff(ctx); err != nil {
		t.Fatal(err)
	}
	mount(n3)
}
