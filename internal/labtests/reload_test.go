// SPDX-License-Identifier: Apache-2.0

package labtests

import (
	"slices"
	"strings"
	"testing"

	"github.com/mailha/mailha/internal/lab"
	"github.com/mailha/mailha/internal/lab/cluster"
)

// A reload changes parameters that need no restart, and so restarts nothing.
func TestReload(t *testing.T) {
	p := newStore(t, lab.Config{})
	n := p.node
	for _, tt := range []struct{ before, after resource }{
		{mta(), mta("drain_timeout", "30s", "gate_mode", "hold", "probe", "false", "refresh_interval", "0", "check_recipient", "x@example.test")},
		{localStore(), localStore("drain_timeout", "30s", "gate_mode", "hold", "cert_days", "0")},
		{service("plain.service"), service("plain.service", "drain_timeout", "30s", "gate_mode", "hold")},
		{vip(), vip("probe_count", "1", "refresh_interval", "0")},
	} {
		t.Run(tt.before.agent, func(t *testing.T) {
			tt.before.start(t, n)
			before := left(t, n)
			tt.after.must(t, n, "reload-agent", call{}, success)
			after := left(t, n)
			if !slices.Equal(processes(before), processes(after)) {
				t.Errorf("before\n%s\nafter\n%s", strings.Join(before, "\n"), strings.Join(after, "\n"))
			}
			tt.after.monitor(t, n, 10)
			tt.after.stop(t, n)
			bare(t, n)
		})
	}
}

// Pacemaker itself has to make out of the metadata that it need not restart.
func TestPacemakerReloads(t *testing.T) {
	p := newPlace(t, lab.Config{})
	n := p.node
	c, err := cluster.Form(t.Context(), p.Lab, cluster.Options{NoFencing: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Crm(t.Context(), `primitive p_mta ocf:mailha:mta \
		params config_dir=`+configDir+` ip="`+vip4+`" drain_timeout=20s \
		op start timeout=60s interval=0 op stop timeout=60s interval=0 op monitor interval=10s timeout=20s`); err != nil {
		t.Fatal(err)
	}
	if err := c.WaitResource(t.Context(), "p_mta", n); err != nil {
		t.Fatal(err)
	}
	// Just after it has forked, a child still has its name.
	pid := func() string { return run(t, n, "cat /srv/mail/queue/pid/master.pid") }
	master := pid()
	history := func() string {
		return run(t, n, "crm_resource --resource p_mta --list-all-operations 2>/dev/null || true")
	}
	for _, tt := range []struct {
		name, param, value string
		restarts           bool
	}{
		{"reloadable", "drain_timeout", "10s", false},
		{"not reloadable", "iflabel", "mx", true},
	} {
		if _, err := c.Output(t.Context(), "crm_resource", "--resource", "p_mta", "--set-parameter", tt.param, "--parameter-value", tt.value); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Output(t.Context(), "crm_resource", "--wait", "--timeout=60"); err != nil {
			t.Fatal(err)
		}
		now := pid()
		if (master == now) == tt.restarts {
			t.Errorf("%s: master was %q and is %q\n%s", tt.name, master, now, history())
		}
		master = now
	}
	log, err := n.Journal(t.Context(), 1000)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log+run(t, n, "cat /var/log/pacemaker/pacemaker.log"), "reload-agent") {
		t.Error("Pacemaker never called reload-agent")
	}
}
