// SPDX-License-Identifier: Apache-2.0

package labtests

import (
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mailha/mailha/internal/lab"
)

//go:embed news.sh
var newsSetup []byte

//go:embed news.py
var newsPeer []byte

// contrib puts this tree's contrib directory into /root of the node.
func contrib(t testing.TB, n *lab.Node) {
	t.Helper()
	const root = "../.."
	err := filepath.Walk(filepath.Join(root, "contrib"), func(path string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		return n.Push("/root/"+name, data, info.Mode().Perm())
	})
	if err != nil {
		t.Fatal(err)
	}
}

// furnishNews puts INN on a node, and its data on the shared disk, which is not
// mounted afterwards.
func furnishNews(t testing.TB, n *lab.Node) {
	t.Helper()
	contrib(t, n)
	for name, data := range map[string][]byte{"/root/news.sh": newsSetup, "/root/news.py": newsPeer} {
		if err := n.Push(name, data, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	run(t, n, `/root/news.sh; mount `+lab.DiskPath+` /srv/news
		cp -a /var/lib/news /srv/news/db; cp -a /var/spool/news /srv/news/spool; install -d -m 0700 /srv/news/mailha
		umount /srv/news`)
}

func news(more ...string) resource {
	r := resource{"service", "p_news", params{"unit": "inn2.service", "ports": "119", "ip": vip4, "drain_timeout": "1s",
		"data_dir": "/srv/news/mailha", "recover": "/usr/lib/mailha/recover/inn"}}
	return r.set(more...)
}

// articles asks news.py.
func articles(t testing.TB, n *lab.Node, do string, first, last int) int {
	t.Helper()
	return len(strings.Fields(run(t, n, fmt.Sprintf("/root/news.py %s %d %d", do, first, last))))
}

// After a power cut INN's data contradict each other, and it looks for nothing of
// that by itself: it would refuse each new article whose number has a file.
func TestNewsRecovery(t *testing.T) {
	p := newPlace(t, lab.Config{Disk: true})
	n := p.node
	run(t, n, "umount "+mailDir)
	furnishNews(t, n)
	r := news()
	if a := r.must(t, n, "start", call{}, installed); !strings.Contains(a.reason, "mounted") {
		t.Errorf("without its file system: %s", a)
	}
	mount := func() { run(t, n, "mount "+lab.DiskPath+" /srv/news") }
	mount()
	r.start(t, n)
	run(t, n, "ctlinnd newgroup local.test >/dev/null")
	if got := articles(t, n, "feed", 0, 50); got != 50 {
		t.Fatalf("accepted %d of 50", got)
	}

	// What a stop in order leaves is whole, even if the power goes right after it.
	if a := r.stop(t, n); !strings.Contains(a.log, "cut=0") || strings.Contains(a.log, "WARN") {
		t.Error(a)
	}
	crash(t, n)
	mount()
	if a := r.start(t, n); strings.Contains(a.log, "recover/inn") || !strings.Contains(a.log, "ended cleanly") {
		t.Errorf("after a clean end: %s", a)
	}
	if got := articles(t, n, "check", 0, 50); got != 50 {
		t.Errorf("%d of 50 articles are there after a clean end", got)
	}

	// Without an end, what was not on the disk is gone, and that is forgotten.
	if got := articles(t, n, "feed", 100, 400); got != 300 {
		t.Fatalf("accepted %d of 300", got)
	}
	run(t, n, "sync /srv/news/spool/articles/local/test") // names are on the disk, whatever is in them
	crash(t, n)
	mount()
	if run(t, n, "find /srv/news/spool/articles/local/test -type f -size 0") == "" {
		t.Error("the disk kept all, so that there is nothing to recover")
	}
	if a := r.must(t, n, "start", call{timeout: 50 * time.Second}, success); !strings.Contains(a.log, "ran /usr/lib/mailha/recover/inn") {
		t.Errorf("after a power cut: %s", a)
	}
	if got := articles(t, n, "check", 0, 50); got != 50 {
		t.Errorf("%d of the 50 articles that were on the disk are there after a power cut", got)
	}
	had := articles(t, n, "check", 100, 400)
	if got := articles(t, n, "feed", 100, 400); got != 300-had {
		t.Errorf("offered again, %d were accepted; %d of 300 were there", got, had)
	}
	if got := articles(t, n, "feed", 1000, 1050); got != 50 {
		t.Errorf("%d of 50 new articles are accepted", got)
	}
	if got := articles(t, n, "check", 100, 400) + articles(t, n, "check", 1000, 1050); got != 350 {
		t.Errorf("%d of 350 are there", got)
	}
	t.Logf("%d of 300 articles had survived the power cut", had)

	// A crash of the daemon alone is the cluster's business, too.
	run(t, n, "kill -9 $(pidof innd)")
	await(t, patience, "the monitor to notice", func() bool { return r.do(t, n, "monitor", recurring).code != success })
	r.must(t, n, "stop", call{}, success)
	if a := r.must(t, n, "start", call{timeout: 50 * time.Second}, success); !strings.Contains(a.log, "ran /usr/lib/mailha/recover/inn") {
		t.Errorf("after a crash: %s", a)
	}
	if got := articles(t, n, "check", 0, 50); got != 50 {
		t.Errorf("%d of 50 after a crash", got)
	}
	r.stop(t, n)
	run(t, n, "umount /srv/news")
}

// crash cuts the node's power, and switches it on again.
func crash(t testing.TB, n *lab.Node) {
	t.Helper()
	if err := n.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// A recovery that fails is no start.
func TestRecoverFails(t *testing.T) {
	p := newPlace(t, lab.Config{})
	n := p.node
	run(t, n, `install -d -m 0700 /srv/state
		printf '#!/bin/sh\necho "the index is damaged" >&2; exit 1\n' >/usr/local/bin/bad
		printf '#!/bin/sh\nsleep 300\n' >/usr/local/bin/slow
		printf '#!/bin/sh\n! ss -Htln | grep -q :7001 && touch /srv/state/recovered\n' >/usr/local/bin/good
		chmod 755 /usr/local/bin/*`)
	with := func(program string) resource {
		return service("plain.service", "data_dir", "/srv/state", "recover", "/usr/local/bin/"+program)
	}
	if a := with("bad").must(t, n, "start", call{}, generic); !strings.Contains(a.reason, "the index is damaged") {
		t.Error(a)
	}
	if a := with("slow").must(t, n, "start", call{timeout: 10 * time.Second}, generic); !strings.Contains(a.reason, "timeout of the start operation") {
		t.Error(a)
	}
	if slow := pids(t, n, "slow"); len(slow) > 0 {
		t.Errorf("the recovery lives on: %q", slow)
	}
	with("good").start(t, n)
	run(t, n, "rm /srv/state/recovered")
	with("good").stop(t, n)
	with("good").start(t, n)
	run(t, n, "! test -e /srv/state/recovered; systemctl kill -s KILL plain.service")
	await(t, patience, "the monitor to notice", func() bool { return with("good").do(t, n, "monitor", recurring).code != success })
	with("good").start(t, n)
	run(t, n, "test -e /srv/state/recovered")
	with("good").stop(t, n)
	run(t, n, "chmod 777 /srv/state")
	if a := with("good").must(t, n, "start", call{}, args); !strings.Contains(a.reason, "belong to root") {
		t.Error(a)
	}
	bare(t, n)
}

// Whoever else listens on the port makes no start look good.
func TestServiceStranger(t *testing.T) {
	p := newPlace(t, lab.Config{})
	n := p.node
	run(t, n, "systemd-run --quiet --unit=stranger /usr/local/bin/listener; until ss -Htln | grep -q :7001; do sleep 0.02; done")
	// It dies of that, or never does.
	for _, unit := range []string{"plain.service", "waits.service"} {
		run(t, n, `printf '[Service]\nExecStart=/bin/sleep 300\n' >/etc/systemd/system/waits.service; systemctl daemon-reload`)
		a := service(unit).must(t, n, "start", call{timeout: 10 * time.Second}, generic)
		if unit == "waits.service" && !strings.Contains(a.reason, "port 7001 is listened on, but not by waits.service: listener[") {
			t.Error(a)
		}
		service(unit).must(t, n, "monitor", call{}, notRunning)
	}
	run(t, n, "systemctl stop stranger; systemctl reset-failed")
	bare(t, n)
	// A socket that systemd has opened for the unit is the unit's.
	run(t, n, `printf '[Socket]\nListenStream=7001\n' >/etc/systemd/system/waits.socket; systemctl daemon-reload; systemctl start waits.socket`)
	r := service("waits.service")
	r.start(t, n)
	r.monitor(t, n, 10)
	run(t, n, "systemctl stop waits.socket")
	r.stop(t, n)
	bare(t, n)
}
