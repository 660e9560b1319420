// SPDX-License-Identifier: Apache-2.0

package labtests

import (
	"strings"
	"testing"
	"time"

	"github.com/mailha/mailha/internal/lab"
)

// What a start finds on the node, and whether it goes on.
func TestStartFilesystem(t *testing.T) {
	n := newDisk(t, lab.Config{Disks: 2}).node
	const other = "/srv/other"
	second := lab.Disk(2)
	onSecond := fileSystem("device", second)
	make2 := func(options, spoil string) string {
		return "mkfs.ext4 -q -F " + options + " " + second + "; " + spoil
	}
	for _, tt := range []struct {
		name          string
		arrange, undo string
		r             resource
		c             call
		code          int
		reason, log   string
		well          int // a monitor at depth 20
	}{
		{name: "something else on the directory", r: fileSystem(), arrange: "mount -t tmpfs other " + dataDir, undo: "umount " + dataDir, code: generic, reason: "something else is mounted on " + dataDir},
		{name: "device mounted elsewhere", r: fileSystem(), arrange: "mkdir " + other + "; mount " + lab.DiskPath + " " + other, undo: "umount " + other, code: generic, reason: "is mounted on " + other},
		{name: "lazily unmounted and in use", r: fileSystem(), arrange: "mount " + lab.DiskPath + " " + other + "; " + user("cd "+other+"; touch /run/using; exec sleep 300") + "; umount -l " + other, undo: "kill $(pidof sleep); while pidof sleep >/dev/null; do sleep 0.02; done", code: generic, reason: "sleep["},
		{name: "mounted in another namespace", r: fileSystem(), arrange: "rm -f /run/using; setsid unshare -m --propagation private sh -c 'mount " + lab.DiskPath + " " + other + "; touch /run/using; exec sleep 300' >/dev/null 2>&1 </dev/null & until test -e /run/using; do sleep 0.02; done", undo: "kill $(pidof sleep); while pidof sleep >/dev/null; do sleep 0.02; done", code: generic, reason: "mount namespace of sleep["},
		{name: "mounted by hand where it belongs", r: fileSystem(), arrange: "mount " + lab.DiskPath + " " + dataDir},
		{name: "mounted by hand, read-only", r: fileSystem(), arrange: "mount -o ro " + lab.DiskPath + " " + dataDir, undo: "umount " + dataDir, code: generic, reason: "mounted read-only"},
		{name: "called in a namespace of its own", r: fileSystem(), c: call{under: []string{"unshare", "-m"}}, code: args, reason: "mount namespace of its own"},

		{name: "no directory", r: fileSystem("directory", "/srv/new"), undo: "rmdir /srv/new"},
		{name: "no directory above", r: fileSystem("directory", "/nowhere/new"), code: installed, reason: "/nowhere"},
		{name: "directory is a file", r: fileSystem("directory", "/srv/file"), arrange: "touch /srv/file", undo: "rm /srv/file", code: args, reason: "is no directory"},
		{name: "directory is a link", r: fileSystem("directory", "/srv/link"), arrange: "ln -s data /srv/link", undo: "rm /srv/link"},
		{name: "directory is not empty", r: fileSystem(), arrange: "touch " + dataDir + "/hidden", undo: "rm " + dataDir + "/hidden", log: "not empty"},
		{name: "directory with a blank", r: fileSystem("directory", "/srv/with blank\\"), undo: "rmdir '/srv/with blank\\'"},

		{name: "device missing", r: fileSystem("device", "/dev/nowhere"), c: call{timeout: 3 * time.Second}, code: installed, reason: "/dev/nowhere is not there"},
		{name: "device comes late", r: fileSystem("device", "/dev/late"), arrange: "(sleep 1; cp -a " + lab.DiskPath + " /dev/late) >/dev/null 2>&1 &", undo: "rm /dev/late"},
		{name: "device by UUID", r: fileSystem("device", "UUID=mine"), arrange: "mkdir -p /dev/disk/by-uuid; ln -s " + lab.DiskPath + " /dev/disk/by-uuid/mine"},
		{name: "device is a file", r: fileSystem("device", "/etc/passwd"), code: args, reason: "no block device"},
		{name: "device is write-protected", r: fileSystem(), arrange: "blockdev --setro " + lab.DiskPath, undo: "blockdev --setrw " + lab.DiskPath, code: generic, reason: "write-protected"},
		{name: "read-only is wanted", r: fileSystem("options", "noatime,ro")},
		{name: "another type", r: fileSystem("fstype", "xfs"), code: args, reason: "is ext4, not xfs"},
		{name: "no such option", r: fileSystem("options", "nosuchoption"), code: generic, reason: "mount"},
		{name: "nothing on the device", r: onSecond, arrange: "wipefs -qa " + second, code: args, reason: "no file system"},

		{name: "protection is wanted", r: fileSystem("require_mmp", "true")},
		{name: "protection is wanted, and there is none", r: onSecond.set("require_mmp", "true"), arrange: make2("", "true"), code: args, reason: "tune2fs -O mmp " + second},
		{name: "protection as the reason says", r: onSecond.set("require_mmp", "true"), arrange: make2("", "tune2fs -O mmp "+second)},
		{name: "protection is wanted, and cannot be", r: onSecond.set("require_mmp", "true", "fstype", "xfs"), arrange: "head -c 4096 /dev/zero >" + second + "; printf XFSB | dd of=" + second + " conv=notrunc status=none", code: args, reason: "only ext4 can have it"},

		{name: "errors", r: onSecond, arrange: make2("", "debugfs -w -R 'ssv state 3' "+second+" 2>/dev/null"), log: "has noted errors"},
		{name: "errors, and no check wanted", r: onSecond.set("fsck", "no"), arrange: make2("", "debugfs -w -R 'ssv state 3' "+second+" 2>/dev/null"), well: degraded},
		{name: "errors that need a person", r: onSecond, arrange: make2("", "debugfs -w -R 'clri <2>' "+second+" 2>/dev/null; debugfs -w -R 'ssv state 3' "+second+" 2>/dev/null"), code: generic, reason: "e2fsck -f " + second},
		{name: "no journal, not clean", r: onSecond, arrange: make2("-O ^has_journal", "debugfs -w -R 'ssv state 0' "+second+" 2>/dev/null"), log: "no journal"},
		{name: "checked always", r: onSecond.set("fsck", "yes"), arrange: make2("", "true"), log: "asked for"},
		{name: "ext2", r: onSecond.set("fstype", "ext2"), arrange: "mkfs.ext2 -q -F " + second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.arrange != "" {
				run(t, n, tt.arrange)
			}
			if tt.undo != "" {
				t.Cleanup(func() { run(t, n, tt.undo) })
			}
			a := tt.r.must(t, n, "start", tt.c, tt.code)
			if !strings.Contains(a.reason, tt.reason) || !strings.Contains(a.log, tt.log) {
				t.Errorf("want reason %q and %q in the log: %s", tt.reason, tt.log, a)
			}
			if tt.code != success {
				if found := left(t, n); holding(found, "note") {
					t.Errorf("left: %s", found)
				}
				return
			}
			tt.r.must(t, n, "monitor", call{interval: time.Minute, depth: 20}, tt.well)
			tt.r.must(t, n, "monitor", recurring, success)
			tt.r.stop(t, n)
			tt.r.must(t, n, "monitor", call{}, notRunning)
			bare(t, n)
		})
	}
}

// Who is not root cannot pose as a program of an earlier call, or as one that hangs.
func TestFilesystemBesideSomebodysProgram(t *testing.T) {
	n, r := newDisk(t, lab.Config{}).node, fileSystem()
	run(t, n, "setsid setpriv --reuid=65534 --regid=65534 --clear-groups env MAILHA_FILESYSTEM=p_fs dd if=/dev/zero of=/dev/null >/dev/null 2>&1 </dev/null & until pidof dd; do sleep 0.02; done")
	r.start(t, n)
	r.monitor(t, n, 20)
	run(t, n, "kill $(pidof dd)")
	r.stop(t, n)
	bare(t, n)
}

// Multi-mount protection refuses a second node, and the reason says so.
func TestFilesystemOnTwoNodes(t *testing.T) {
	p := newDisk(t, lab.Config{Nodes: 2})
	one, two := p.Node("node1"), p.Node("node2")
	r := fileSystem()
	r.start(t, one)
	a := r.must(t, two, "start", call{timeout: time.Minute}, generic)
	if !strings.Contains(a.reason, "another node has "+lab.DiskPath) {
		t.Errorf("want the other node in the reason: %s", a)
	}
	r.must(t, two, "monitor", call{}, notRunning)
	if a := r.must(t, two, "start", call{timeout: 10 * time.Second}, generic); !strings.Contains(a.log, "multi-mount protection") {
		t.Errorf("want multi-mount protection in the log: %s", a)
	}
	r.stop(t, two)
	if !isFree(t, two) {
		t.Error("a start that was cut off goes on")
	}
	r.monitor(t, one, 20)
	r.stop(t, one)
	r.start(t, two)
	r.stop(t, two)
}

// A start that is killed half way leaves nothing that could mount the file system after
// the stop.
func TestFilesystemStartKilled(t *testing.T) {
	p := newDisk(t, lab.Config{Nodes: 2})
	one, two := p.Node("node1"), p.Node("node2")
	r := fileSystem()
	r.start(t, one) // so that a mount on the other takes its time
	run(t, two, "setsid env OCF_RESOURCE_INSTANCE=p_fs "+agentsDir+"filesystem start device="+lab.DiskPath+" directory="+dataDir+" >/dev/null 2>&1 </dev/null &")
	await(t, patience, "mount to run", func() bool { return len(pids(t, two, "mount")) > 0 })
	run(t, two, "kill -9 $(ps -C filesystem -o pid=)")
	a := r.must(t, two, "stop", call{timeout: 20 * time.Second}, success)
	t.Logf("stop took %s", a.took)
	if found := pids(t, two, "mount"); len(found) > 0 || !isFree(t, two) {
		t.Errorf("mount still runs: %v", found)
	}
	r.monitor(t, one, 20)
	r.stop(t, one)
}
