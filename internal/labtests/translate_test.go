// SPDX-License-Identifier: Apache-2.0

package labtests

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/mailha/mailha/internal/kinds"
	"github.com/mailha/mailha/internal/lab"
	"github.com/mailha/mailha/internal/lab/cluster"
	"github.com/mailha/mailha/internal/pacemaker"
	"github.com/mailha/mailha/internal/suite"
	"github.com/mailha/mailha/resources"
)

// small is a file whose groups have every shape, of services that the node has.
const small = `
[cluster]
name = "lab"
[[node]]
name = "NODE"
address = "192.0.2.11"
[[group]]
name = "row"
[[resource]]
name = "row-ip"
kind = "vip"
group = "row"
params = { ip = ["192.0.2.119/24", "2001:db8::119/64"], nic = "eth0" }
[[resource]]
name = "greylist"
kind = "service"
group = "row"
after = ["row-ip"]
params = { unit = "postgrey.service", ports = "10023", shared_ip = ["192.0.2.119", "2001:db8::119"], description = "it's \"grey\" $HOME" }
[[group]]
name = "loose"
apart_from = ["row"]
[[resource]]
name = "one"
kind = "service"
group = "loose"
params = { unit = 'sleep-a\x2db.service' }
[[resource]]
name = "two"
kind = "service"
group = "loose"
params = { unit = "sleep-c.service" }
`

// fenced has a node hang on one device and then on two others.
const fenced = `
[cluster]
name = "lab"
[[node]]
name = "NODE"
address = "192.0.2.11"
[[fence]]
name = "1st"
agent = "fence_lab"
nodes = "NODE"
secrets = { password = "/etc/mailha/a--b" }
delay_random = "2s"
attempts = 3
[[fence]]
name = "a"
agent = "fence_lab"
level = 2
action = "off"
ports = { NODE = "3" }
[[fence]]
name = "b"
agent = "fence_lab"
level = 2
ports = { NODE = "outlet 5" }
`

// What "mailhactl config pacemaker" prints is loaded by both tools without a
// complaint, and runs.
func TestTranslatedConfigurationRuns(t *testing.T) {
	p := newPlace(t, lab.Config{})
	n := p.node
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	run(t, n, `for u in 'sleep-a\x2db' sleep-c; do printf '[Service]\nExecStart=/bin/sleep infinity\n' >"/etc/systemd/system/$u.service"; done
		systemctl daemon-reload; ip addr add 192.0.2.11/24 dev eth0 2>/dev/null || true; ip addr add 2001:db8::11/64 dev eth0 nodad || true`)
	c, err := cluster.Form(ctx, p.Lab, cluster.Options{NoFencing: true})
	if err != nil {
		t.Fatal(err)
	}
	empty := run(t, n, "cibadmin --query")
	whole, err := os.ReadFile("../pacemaker/testdata/system.toml")
	if err != nil {
		t.Fatal(err)
	}
	// Its nodes are not there, which is told; nothing else is.
	quiet := func(what, out string) {
		t.Helper()
		for line := range strings.Lines(out) {
			low := strings.ToLower(line)
			if (strings.Contains(low, "error") || strings.Contains(low, "warn") || strings.Contains(low, "deprecated")) && !strings.Contains(low, "node existence") && !strings.Contains(low, "referenced node") &&
				!strings.Contains(low, "fencing") && !strings.Contains(low, "stonith") {
				t.Errorf("%s: %s", what, line)
			}
		}
	}
	for _, form := range []pacemaker.Form{pacemaker.Crmsh, pacemaker.PCS} {
		// All of it is taken, though nobody here could run it.
		push(t, n, "/root/whole", translated(t, string(whole), form))
		push(t, n, "/root/whole.xml", empty)
		load := "CIB_file=/root/whole.xml crm -F configure load update /root/whole 2>&1"
		if form == pacemaker.PCS {
			load = "sh /root/whole /root/whole.xml 2>&1"
		}
		quiet(load, run(t, n, load))
		quiet("crm_verify", run(t, n, "crm_verify --verbose --xml-file /root/whole.xml 2>&1 || true"))
		if out := run(t, n, "grep -c '<primitive' /root/whole.xml"); strings.TrimSpace(out) != "10" {
			t.Errorf("%s: %s resources", form, out)
		}
		// So are fence devices, in levels.
		push(t, n, "/root/fenced", translated(t, strings.ReplaceAll(fenced, "NODE", n.Name()), form))
		push(t, n, "/root/fenced.xml", empty)
		load = strings.ReplaceAll(load, "/root/whole", "/root/fenced")
		run(t, n, load)
		run(t, n, "sed -i 's/name=\"stonith-enabled\" value=\"false\"/name=\"stonith-enabled\" value=\"true\"/' /root/fenced.xml; crm_verify --verbose --xml-file /root/fenced.xml 2>&1")
		for what, count := range map[string]string{"<primitive.*class=.stonith": "3", "<fencing-level ": "2", `devices="fence-a,fence-b"`: "1", `value="` + n.Name() + `:3"`: "1"} {
			if out := run(t, n, "grep -c '"+what+"' /root/fenced.xml || true"); strings.TrimSpace(out) != count {
				t.Errorf("%s: %s has %s of %s\n%s", form, "fenced.xml", out, what, run(t, n, "cat /root/fenced.xml"))
			}
		}
		// And this runs.
		push(t, n, "/root/small", translated(t, strings.ReplaceAll(small, "NODE", n.Name()), form))
		load = "crm -F configure load update /root/small 2>&1"
		if form == pacemaker.PCS {
			load = "pcs cluster cib /root/small.xml && sh /root/small /root/small.xml 2>&1 && pcs cluster cib-push /root/small.xml 2>&1"
		}
		quiet(load, run(t, n, load))
		all := []string{"row-ip", "greylist", "loose", "one", "two"}
		for _, r := range all {
			if err := c.WaitResource(ctx, r, n); err != nil {
				t.Fatal(err)
			}
		}
		if got := run(t, n, "crm_resource --resource greylist --get-parameter description"); strings.TrimSpace(got) != `it's "grey" $HOME` {
			t.Errorf("%s: a parameter arrived as %q", form, got)
		}
		// One can be stopped without the other.
		run(t, n, "pcs resource disable --wait=60 one")
		if out := run(t, n, `systemctl is-active sleep-c.service 'sleep-a\x2db.service' || true`); strings.Join(strings.Fields(out), " ") != "active inactive" {
			t.Errorf("%s: one was stopped, and now: %s", form, out)
		}
		run(t, n, "pcs resource enable --wait=60 one")
		for _, r := range all {
			run(t, n, "pcs resource disable --wait=60 "+r)
		}
		for i := range all {
			run(t, n, "pcs resource delete --force "+all[len(all)-1-i])
		}
		if err := c.WaitIdle(ctx); err != nil {
			t.Fatal(err)
		}
	}
}

func translated(t *testing.T, text string, form pacemaker.Form) string {
	t.Helper()
	c, err := resources.Parse("x.toml", []byte(text), kinds.Of(suite.Types()))
	if err != nil {
		t.Fatal(err)
	}
	out, err := pacemaker.Write(c, suite.Types(), form)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func push(t *testing.T, n *lab.Node, path, text string) {
	t.Helper()
	if err := n.Push(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
