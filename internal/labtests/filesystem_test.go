// SPDX-License-Identifier: Apache-2.0

package labtests

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mailha/mailha/internal/lab"
)

const dataDir = "/srv/data"

func fileSystem(more ...string) resource {
	return resource{"filesystem", "p_fs", params{"device": lab.DiskPath, "directory": dataDir}}.set(more...)
}

// newDisk is a place whose disk is nowhere mounted. All of its nodes have a mount point.
func newDisk(t *testing.T, cfg lab.Config) *place {
	t.Helper()
	cfg.Disk = true
	p := newPlace(t, cfg)
	run(t, p.node, "umount "+mailDir)
	for _, n := range p.Nodes() {
		run(t, n, "mkdir "+dataDir)
	}
	return p
}

// askKernel says whether the kernel lets somebody have the device for himself.
const askKernel = `python3 -c '
import os, sys
try:
    os.open(sys.argv[1], os.O_RDONLY | os.O_EXCL)
    print("free")
except OSError as e:
    print(e.strerror)' `

func isFree(t testing.TB, n *lab.Node) bool {
	t.Helper()
	return run(t, n, askKernel+lab.DiskPath) == "free"
}

// The file system is mounted where it should be, stays when it is started again, and
// the device is free after a stop.
func TestFilesystem(t *testing.T) {
	n := newDisk(t, lab.Config{}).node
	r := fileSystem("options", "noatime")
	r.must(t, n, "monitor", call{}, notRunning)
	t.Logf("start took %s", r.start(t, n).took)
	if got := run(t, n, "findmnt -no SOURCE,FSTYPE,OPTIONS "+dataDir); !strings.HasPrefix(got, lab.DiskPath+" ext4") || !strings.Contains(got, "noatime") || !strings.Contains(got, "rw") {
		t.Errorf("mounted: %s", got)
	}
	run(t, n, "echo kept >"+dataDir+"/kept")
	r.start(t, n)
	if got := run(t, n, "grep -c "+dataDir+" /proc/self/mountinfo"); got != "1" {
		t.Errorf("mounted %s times", got)
	}
	for _, depth := range []int{0, 10, 20} {
		t.Logf("monitor at depth %d took %s", depth, r.monitor(t, n, depth).took)
	}
	r.must(t, n, "monitor", call{}, success)
	t.Logf("stop took %s", r.stop(t, n).took)
	if !isFree(t, n) {
		t.Error("the device is in use after a stop")
	}
	bare(t, n)
	r.must(t, n, "monitor", call{}, notRunning)
	r.must(t, n, "monitor", recurring, notRunning)
	r.stop(t, n)
}

// usage is something that keeps the file system from being unmounted.
type usage struct {
	name    string
	script  string   // between start and stop
	now     resource // as it is called for the stop; zero: as for the start
	timeout time.Duration
	code    int    // of the stop
	reason  string // part of it
	monitor int    // of a monitor before the stop
	after   string // puts the node in order for the last look
}

// user runs a script in the background and waits until it says that it uses the disk.
func user(script string) string {
	return "rm -f /run/using; setsid sh -c '" + script + "' >/dev/null 2>&1 </dev/null & until test -e /run/using; do sleep 0.02; done"
}

// A stop says that it succeeded only if the kernel says that the device is free.
func TestStopFilesystem(t *testing.T) {
	t.Parallel()
	const using = "touch /run/using; "
	for _, tt := range []usage{
		{name: "nothing"},
		{name: "working directory", script: user("cd " + dataDir + "; " + using + "sleep 300")},
		{name: "open file", script: user("exec 3>" + dataDir + "/open; " + using + "sleep 300")},
		{name: "program", script: "cp /bin/sleep " + dataDir + "/sleep; " + user("cd /; "+dataDir+"/sleep 300 & "+using+"wait")},
		{name: "root directory", script: user(`exec python3 -c "
import os, time
os.chdir(\"/\"); os.close(os.open(\"/run/using\", os.O_CREAT)); os.chroot(\"`+dataDir+`\"); time.sleep(300)"`) + "; sleep 0.1"},
		{name: "mapped file", script: "cp /lib/x86_64-linux-gnu/libz.so.1 " + dataDir + "/z.so; " + user("LD_PRELOAD="+dataDir+"/z.so sleep 300 & "+using+"wait") + "; sleep 0.1"},
		{name: "deaf to SIGTERM", timeout: 10 * time.Second, script: user(`trap "" TERM; cd ` + dataDir + "; " + using + "while :; do sleep 1; done")},
		{name: "suspended", timeout: 10 * time.Second, script: user("cd " + dataDir + "; " + using + "kill -STOP $$; sleep 300")},
		{name: "comes back", timeout: 10 * time.Second, script: "systemd-run --quiet --unit=back -p Restart=always -p RestartSec=1ms -p StartLimitIntervalSec=0 -p WorkingDirectory=-" + dataDir + " sleep 300; sleep 0.3", after: "systemctl stop back"},
		{name: "comes back at once", timeout: 10 * time.Second, script: user("cd /; echo $$ >/run/loop; for n in 1 2 3 4 5 6 7 8; do while :; do (cd " + dataDir + " && exec sleep 5); done & done; sleep 0.2; " + using + "wait"), after: "/bin/kill -9 -- -$(cat /run/loop)"},
		{name: "nested mount", script: "mkdir " + dataDir + "/in; mount -t tmpfs in " + dataDir + "/in; mkdir " + dataDir + "/in/side; mount -t tmpfs side " + dataDir + "/in/side; " + user("cd "+dataDir+"/in/side; "+using+"sleep 300")},
		{name: "mounted over", script: "mount -t tmpfs over " + dataDir, monitor: generic},
		{name: "root bound into it", script: "mkdir " + dataDir + "/in; mount --bind /etc " + dataDir + "/in"},
		{name: "image in it, mounted and in use", script: "truncate -s 16M " + dataDir + "/image; mkfs.ext4 -q -F " + dataDir + "/image; mkdir /srv/image; mknod /dev/loop-control c 10 237; for n in $(seq 0 63); do mknod /dev/loop$n b 7 $n; done; mount -o loop " + dataDir + "/image /srv/image; " + user("cd /srv/image; "+using+"sleep 300")},
		{name: "bound elsewhere", script: "mkdir -p /srv/other " + dataDir + "/sub; mount --bind " + dataDir + "/sub /srv/other"},
		{name: "confined service", script: "systemd-run --quiet --unit=confined -p ProtectSystem=strict -p PrivateTmp=yes -p ReadWritePaths=" + dataDir + " sh -c 'cd " + dataDir + "; echo x >y; exec sleep 300'; until test -s " + dataDir + "/y; do sleep 0.02; done"},
		{name: "confined service with nothing open", script: "systemd-run --quiet --unit=confined -p ProtectSystem=strict -p PrivateTmp=yes sleep 300; sleep 0.2"},
		{name: "namespace that does not follow", script: "setsid unshare -m --propagation private sh -c 'touch /run/using; exec sleep 300' >/dev/null 2>&1 </dev/null & until test -e /run/using; do sleep 0.02; done"},
		{name: "namespace with a umount of its own", script: "printf '#!/bin/sh\\ntouch /run/owned\\n' >/run/evil; chmod 755 /run/evil; setsid unshare -m --propagation private sh -c 'mount --bind /run/evil /usr/bin/umount; touch /run/using; exec sleep 300' >/dev/null 2>&1 </dev/null & until test -e /run/using; do sleep 0.02; done", after: "test ! -e /run/owned"},
		{name: "chrooted elsewhere", script: "setsid unshare -m --propagation private sh -c 'mkdir -p /run/jail; mount --rbind / /run/jail; umount " + dataDir + "; touch /run/using; exec chroot /run/jail sleep 300' >/dev/null 2>&1 </dev/null & until test -e /run/using; do sleep 0.02; done"},
		{name: "namespace that does not follow, in use", script: "setsid unshare -m --propagation private sh -c 'cd " + dataDir + "; touch /run/using; exec sleep 300' >/dev/null 2>&1 </dev/null & until test -e /run/using; do sleep 0.02; done"},
		{name: "frozen", script: "fsfreeze -f " + dataDir},
		{name: "frozen, with a writer", timeout: 10 * time.Second, script: user("cd " + dataDir + "; fsfreeze -f .; " + using + "echo x >x; sleep 300")},
		{name: "unmounted while frozen", timeout: 4 * time.Second, script: "fsfreeze -f " + dataDir + "; umount " + dataDir, monitor: generic, code: generic, reason: "unmounted while it was frozen",
			after: "mount " + lab.DiskPath + " " + dataDir + "; fsfreeze -u " + dataDir + ""},
		{name: "lazily unmounted", script: "umount -l " + dataDir, monitor: notRunning},
		{name: "lazily unmounted while in use", script: user("cd "+dataDir+"; "+using+"sleep 300") + "; umount -l " + dataDir, monitor: generic},
		{name: "lazily unmounted while in use, nobody may be ended", now: fileSystem("kill_users", "false"), timeout: 6 * time.Second, script: user("cd "+dataDir+"; "+using+"sleep 300") + "; umount -l " + dataDir, monitor: generic, code: generic, reason: "sleep"},
		{name: "in use, nobody may be ended", now: fileSystem("kill_users", "false"), timeout: 6 * time.Second, script: user("cd " + dataDir + "; " + using + "sleep 300"), code: generic, reason: "working directory " + dataDir},
		{name: "unmounted by hand", script: "umount " + dataDir, monitor: notRunning},
		{name: "mounted twice", script: "mount --bind " + dataDir + " " + dataDir},
		{name: "mounted elsewhere as well", script: "mkdir /srv/other; mount " + lab.DiskPath + " /srv/other"},
		{name: "mounted elsewhere instead", script: "mkdir /srv/other; umount " + dataDir + "; mount " + lab.DiskPath + " /srv/other", monitor: generic},
		{name: "moved", script: "mkdir /srv/other; mount --make-private /; mount --move " + dataDir + " /srv/other", monitor: generic},
		{name: "shut down", script: strings.ReplaceAll(forceShut, mailDir, dataDir), monitor: generic},
		{name: "shut down while in use", script: user("exec 3>"+dataDir+"/open; "+using+"sleep 300") + ";" + strings.ReplaceAll(forceShut, mailDir, dataDir), monitor: generic},
		{name: "read-only", script: "mount -o remount,ro " + dataDir, monitor: generic},
		{name: "device node removed", script: "rm " + lab.DiskPath, after: "mknod " + lab.DiskPath + " b $(cat /run/number)"},
		{name: "device node removed while in use", script: user("cd "+dataDir+"; "+using+"sleep 300") + "; rm " + lab.DiskPath, after: "mknod " + lab.DiskPath + " b $(cat /run/number)"},
		{name: "device node removed, lazily unmounted while in use", script: user("cd "+dataDir+"; "+using+"sleep 300") + "; umount -l " + dataDir + "; rm " + lab.DiskPath, after: "mknod " + lab.DiskPath + " b $(cat /run/number)", monitor: generic},
		{name: "parameters gone", now: resource{"filesystem", "p_fs", nil}},
		{name: "parameters gone, note too", now: resource{"filesystem", "p_fs", nil}, script: "rm -r /run/mailha"},
		{name: "parameters bad", now: fileSystem("device", "nonsense", "directory", "nonsense", "kill_users", "perhaps")},
		{name: "parameters of another device", now: fileSystem("device", "/dev/null", "directory", "/srv/elsewhere")},
		{name: "note removed", script: "rm -r /run/mailha"},
		{name: "note damaged", script: "echo '{' >/run/mailha/p_fs.mount"},
		{name: "note damaged, parameters gone", now: resource{"filesystem", "p_fs", nil}, script: "echo '{' >/run/mailha/p_fs.mount; rm /run/mount/utab", code: generic, reason: "read what the start noted"},
		{name: "hardly any time", timeout: time.Second},
		{name: "hardly any time, in use", timeout: 2 * time.Second, script: user(`trap "" TERM; cd ` + dataDir + "; " + using + "while :; do sleep 1; done")},
	} {
		t.Run(tt.name, tt.run)
	}
}

func (tt usage) run(t *testing.T) {
	n := newDisk(t, lab.Config{}).node
	r := fileSystem()
	r.start(t, n)
	run(t, n, `stat -c '0x%t 0x%T' `+lab.DiskPath+` | { read a b; echo $((a)) $((b)); } >/run/number`)
	if tt.script != "" {
		run(t, n, tt.script)
	}
	now := tt.now
	if now.agent == "" {
		now = r
	}
	if a := r.do(t, n, "monitor", call{interval: 10 * time.Second}); a.code != tt.monitor {
		t.Errorf("monitor: want exit code %d, got %s", tt.monitor, a)
	}
	a := now.do(t, n, "stop", call{timeout: tt.timeout})
	t.Logf("stop took %s, %s", a.took.Round(time.Millisecond), a)
	if a.code != tt.code || !strings.Contains(a.reason, tt.reason) {
		t.Errorf("want exit code %d with %q, got %s", tt.code, tt.reason, a)
	}
	if tt.after != "" {
		run(t, n, tt.after)
	}
	free, listed := isFree(t, n), run(t, n, fmt.Sprintf("grep -h ' %s ' /proc/[0-9]*/mountinfo 2>/dev/null || true", lab.DiskPath))
	if a.code == success && (!free || listed != "") {
		t.Errorf("the stop lies: free: %t, mounted: %s", free, listed)
	}
	if a.code == success && strings.Contains(run(t, n, "ls /run/mailha"), "note") {
		t.Error("the note stays")
	}
	if a.code != success && tt.after != "" { // which has put it right
		now.must(t, n, "stop", call{}, success)
		return
	}
	if a.code != success && free {
		t.Error("the stop failed, but the device is free")
	}
	if a.code == success {
		now.must(t, n, "stop", call{timeout: 5 * time.Second}, success)
		r.start(t, n)
		r.stop(t, n)
	}
}
