// SPDX-License-Identifier: Apache-2.0

package labtests

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/mailha/mailha/internal/lab"
	"github.com/mailha/mailha/internal/lab/cluster"
)

// shipped loads a parameter set of contrib/pacemaker as it is, with each of the
// tools, and sees the resources come, work and go.
func shipped(t *testing.T, p *place, set string, resources []string, works func()) {
	t.Helper()
	n := p.node
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	c, err := cluster.Form(ctx, p.Lab, cluster.Options{NoFencing: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, load := range []string{"crm -F configure load update /root/contrib/pacemaker/" + set + ".crm", "sh /root/contrib/pacemaker/" + set + ".pcs"} {
		for line := range strings.Lines(run(t, n, load+" 2>&1")) {
			if (strings.Contains(line, "ERROR") || strings.Contains(line, "WARNING")) && !strings.Contains(line, "fencing") {
				t.Errorf("%s: %s", load, line)
			}
		}
		for _, r := range resources {
			if err := c.WaitResource(ctx, r, n); err != nil {
				t.Fatal(err)
			}
		}
		works()
		if failed := run(t, n, "crm_mon --one-shot --inactive --failcounts | grep -i fail || true"); strings.Contains(failed, "=") {
			t.Errorf("%s: %s", load, failed)
		}
		for i := range resources { // the last one depends on those before it
			run(t, n, "pcs resource disable --wait=60 "+resources[len(resources)-1-i])
		}
		for _, r := range resources {
			run(t, n, "pcs resource delete --force "+r)
		}
		if err := c.WaitIdle(ctx); err != nil {
			t.Fatal(err)
		}
	}
}

func TestNewsSet(t *testing.T) {
	p := newPlace(t, lab.Config{Disk: true})
	n := p.node
	run(t, n, "umount "+mailDir)
	furnishNews(t, n)
	// What is an administrator's own in the set.
	run(t, n, `mkdir -p /dev/disk/by-label; ln -s `+lab.DiskPath+` /dev/disk/by-label/news
		ip addr add 192.0.2.11/24 dev eth0; ip addr add 2001:db8::11/64 dev eth0 nodad`)
	shipped(t, p, "news", []string{"p_news_fs", "p_news"}, func() {
		for _, addr := range []string{"192.0.2.119", "2001:db8::119"} {
			if out := run(t, n, "nc -d -w 5 "+addr+" 119"); !strings.HasPrefix(out, "502 ") { // it knows no readers
				t.Errorf("%s says %q", addr, out)
			}
		}
		run(t, n, "grep -q '.clean.:false' /srv/news/mailha/mailha-run")
	})
	if found := left(t, n); holding(found, "listener") && strings.Contains(strings.Join(found, "\n"), ":119") {
		t.Errorf("left: %q", found)
	}
}

func TestAttendantSet(t *testing.T) {
	p := newPlace(t, lab.Config{})
	n := p.node
	contrib(t, n)
	run(t, n, `printf '[Service]\nExecStart=/bin/sleep infinity\n' >/etc/systemd/system/attendant.service; systemctl daemon-reload`)
	shipped(t, p, "attendant", []string{"p_attendant", "p_policy"}, func() {
		// Who depends on the attendant is started anew with it.
		before := run(t, n, "systemctl show -P InvocationID postgrey.service attendant.service")
		run(t, n, "systemctl kill -s KILL attendant.service")
		await(t, time.Minute, "both to have been started anew", func() bool {
			after := run(t, n, "systemctl show -P InvocationID postgrey.service attendant.service; systemctl is-active postgrey attendant || true")
			return strings.Count(after, "active\nactive") == 1 && !strings.Contains(after, strings.Fields(before)[0]) && !strings.Contains(after, strings.Fields(before)[1])
		})
		run(t, n, "pcs resource cleanup >/dev/null 2>&1; crm_resource --wait")
	})
	if found := left(t, n); strings.Contains(strings.Join(found, "\n"), "postgrey") {
		t.Errorf("left: %q", found)
	}
}
