// SPDX-License-Identifier: Apache-2.0

package labtests

import (
	"strings"
	"testing"
	"time"

	"github.com/mailha/mailha/internal/lab"
)

// A monitor sees what is wrong with a mounted file system.
func TestMonitorFilesystem(t *testing.T) {
	n := newDisk(t, lab.Config{}).node
	r := fileSystem()
	r.start(t, n)
	for _, tt := range []struct {
		name        string
		r           resource
		spoil, mend string
		depth       int
		code        int
		reason      string
	}{
		{name: "well", r: r, depth: 20},
		{name: "remounted read-only", r: r, spoil: "mount -o remount,ro " + dataDir, mend: "mount -o remount,rw " + dataDir, code: generic, reason: "read-only"},
		{name: "bound read-only", r: r, spoil: "mount -o remount,bind,ro " + dataDir, mend: "mount -o remount,bind,rw " + dataDir, code: generic, reason: "mounted read-only"},
		{name: "mounted over", r: r, spoil: "mount -t tmpfs over " + dataDir, mend: "umount " + dataDir, code: generic, reason: "over was mounted over it"},
		{name: "unmounted", r: r, spoil: "umount " + dataDir, mend: "mount " + lab.DiskPath + " " + dataDir, code: notRunning},
		{name: "mounted elsewhere", r: r, spoil: "umount " + dataDir + "; mkdir /srv/other; mount " + lab.DiskPath + " /srv/other", mend: "umount /srv/other; mount " + lab.DiskPath + " " + dataDir, code: generic, reason: "/srv/other"},
		{name: "full", r: r.set("min_free", "10"), spoil: "chmod 777 " + dataDir + "; setpriv --reuid=nobody --clear-groups dd if=/dev/zero of=" + dataDir + "/fill bs=1M 2>/dev/null || test -s " + dataDir + "/fill", mend: "rm " + dataDir + "/fill", code: degraded, reason: "less than 10 %"},
		{name: "room enough", r: r.set("min_free", "10"), depth: 10},
		{name: "nothing can be written", r: r, spoil: "rm -f " + dataDir + "/.mailha-check; " + strings.ReplaceAll(fillDisk, mailDir, dataDir), mend: "rm -f " + dataDir + "/full*", depth: 10, code: generic, reason: "No space left"},
		{name: "the file is a link", r: r, spoil: "ln -sf /etc/passwd " + dataDir + "/.mailha-check", mend: "rm " + dataDir + "/.mailha-check; test -s /etc/passwd", depth: 10, code: generic, reason: "not the plain file"},
		{name: "the file is another's", r: r, spoil: "chown nobody " + dataDir + "/.mailha-check || { touch " + dataDir + "/.mailha-check; chown nobody " + dataDir + "/.mailha-check; }", mend: "rm " + dataDir + "/.mailha-check", depth: 10, code: generic, reason: "not the plain file"},
		{name: "the file is elsewhere", r: r.set("check_file", ".elsewhere"), depth: 20},
		{name: "device node removed", r: r, spoil: "mv " + lab.DiskPath + " /dev/away", mend: "mv /dev/away " + lab.DiskPath, depth: 20},
		{name: "parameters gone", r: resource{"filesystem", "p_fs", nil}, code: generic, reason: "device"},
		{name: "note removed", r: r, spoil: "rm -r /run/mailha", depth: 20},
		{name: "parameters bad", r: r.set("min_free", "much"), code: generic, reason: "min_free"},
		{name: "shut down", r: r, spoil: strings.ReplaceAll(forceShut, mailDir, dataDir), code: generic, reason: "shut the file system"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.spoil != "" {
				run(t, n, tt.spoil)
			}
			if tt.mend != "" {
				t.Cleanup(func() { run(t, n, tt.mend) })
			}
			a := tt.r.must(t, n, "monitor", call{interval: time.Minute, depth: tt.depth}, tt.code)
			if !strings.Contains(a.reason, tt.reason) {
				t.Errorf("want %q in the reason: %s", tt.reason, a)
			}
		})
	}
	r.stop(t, n)
}

// On a frozen file system a write cannot be killed. A monitor says so in time, leaves
// one process behind at most, and a stop succeeds.
func TestMonitorFrozenFilesystem(t *testing.T) {
	n := newDisk(t, lab.Config{}).node
	r := fileSystem()
	r.start(t, n)
	run(t, n, "fsfreeze -f "+dataDir)
	r.monitor(t, n, 0)
	for range 3 {
		a := r.must(t, n, "monitor", call{interval: time.Minute, depth: 10, timeout: 6 * time.Second}, generic)
		if !strings.Contains(a.reason, "frozen") {
			t.Errorf("the reason does not say what to do: %s", a)
		}
		if found := pids(t, n, "dd"); len(found) != 1 {
			t.Errorf("processes left: %v", found)
		}
	}
	run(t, n, "fsfreeze -u "+dataDir)
	await(t, patience, "the write to end", func() bool { return len(pids(t, n, "dd")) == 0 })
	r.monitor(t, n, 20)
	run(t, n, "fsfreeze -f "+dataDir)
	r.must(t, n, "monitor", call{interval: time.Minute, depth: 10, timeout: 6 * time.Second}, generic)
	r.stop(t, n)
	bare(t, n)
	if !isFree(t, n) {
		t.Error("the device is in use after a stop")
	}
}

// A device that does not answer is told in time, and nothing is waited for. It is an
// image on another file system, which is frozen.
func TestHungDevice(t *testing.T) {
	const outer = "/srv/outer"
	n := newDisk(t, lab.Config{}).node
	dev := run(t, n, "mkdir "+outer+"; mount "+lab.DiskPath+" "+outer+"; truncate -s 48M "+outer+"/image; mkfs.ext4 -q -F "+outer+`/image
		mknod /dev/loop-control c 10 237
		for try in 1 2 3 4 5; do
			dev=$(losetup -f); test -e $dev || mknod $dev b 7 ${dev#/dev/loop}
			losetup $dev `+outer+`/image && echo $dev && break
		done`)
	r := fileSystem("device", dev)
	r.start(t, n)
	run(t, n, "losetup -d "+dev) // once it is unmounted, so that nothing outlives the test
	t.Cleanup(func() { run(t, n, "fsfreeze -u "+outer+" 2>/dev/null || true") })
	run(t, n, "dd if=/dev/zero of="+dataDir+"/dirty bs=1M count=4 2>/dev/null; fsfreeze -f "+outer)
	short := call{interval: time.Minute, depth: 10, timeout: 10 * time.Second}
	if a := r.must(t, n, "monitor", short, generic); !strings.Contains(a.reason, "does not answer") {
		t.Error(a)
	}
	for range 2 {
		if a := r.must(t, n, "stop", call{timeout: 5 * time.Second}, generic); !strings.Contains(a.reason, "does not answer") {
			t.Error(a)
		}
	}
	run(t, n, "fsfreeze -u "+outer)
	r.stop(t, n)
	if got := run(t, n, askKernel+lab.DiskPath+"; umount "+outer+"; "+askKernel+lab.DiskPath); !strings.HasSuffix(got, "free") {
		t.Errorf("something still uses the image: %s", got)
	}
	r.must(t, n, "monitor", call{}, notRunning)
}
