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

	"github.com/mailha/mailha/fencing"
	"github.com/mailha/mailha/internal/lab"
)

//go:embed fence.sh
var fenceSetup []byte

// agentIn is a program of this host that runs a fence agent in a node.
func agentIn(t *testing.T, n *lab.Node, agent string) string {
	t.Helper()
	pid, err := n.LeaderPID()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), agent)
	text := fmt.Sprintf("#!/bin/sh\nexec nsenter -t %d --all --root --wd -- /usr/sbin/%s\n", pid, agent)
	if err := os.WriteFile(file, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return file
}

// Debian's agents: IPMI against a management board that speaks it, and all others as far
// as they go without a device.
func TestRealFenceAgents(t *testing.T) {
	l := bareLab(t, 1)
	n := l.Nodes()[0]
	if err := execute(t.Context(), n, "fence.sh", fenceSetup); err != nil {
		t.Fatal(err)
	}
	password := filepath.Join(t.TempDir(), "password")
	put := func(text string) {
		t.Helper()
		if err := os.WriteFile(password, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("hunter2\n")
	ipmi := fencing.Device{
		Name: "board", Agent: agentIn(t, n, "fence_ipmilan"), Ports: map[string]string{"n1": "n1"}, Timeout: 20 * time.Second, Attempts: 1,
		// The board knows no other cipher suite, and takes long to say so.
		Parameters: map[string]string{"ip": "127.0.0.1", "ipport": "9001", "lanplus": "true", "username": "admin", "cipher": "3", "power_timeout": "3"},
		Secrets:    map[string]string{"password": password},
	}
	f, err := fencing.New(fencing.Config{Devices: []fencing.Device{ipmi}, Node: "n1"})
	if err != nil {
		t.Fatal(err)
	}
	runs := func() bool { return run(t, n, "systemctl is-active computer || :") == "active" }
	await(t, 10*time.Second, "the board", func() bool {
		c, err := f.Check(t.Context(), "board")
		return err == nil && c.OK && c.Ports[0].State == "on"
	})

	t.Run("reboot", func(t *testing.T) {
		told := false
		r := f.Fence(t.Context(), fencing.Order{Node: "n1", Confirmed: func(fencing.Result) {
			told = true
			if runs() {
				t.Error("it is called off, and runs")
			}
		}})
		if !r.Confirmed || !told || !runs() {
			t.Error(strings.Join(r.Lines(), "\n"))
		}
		t.Logf("off and proved in %v: %v", r.Took(), r.Lines())
	})
	t.Run("a board that says yes and does nothing", func(t *testing.T) {
		run(t, n, "touch /etc/bmc/deaf")
		r := f.Fence(t.Context(), fencing.Order{Node: "n1"})
		run(t, n, "rm /etc/bmc/deaf")
		if r.Confirmed || !runs() || !strings.Contains(r.Reason, "board failed to switch off: Failed: Timed out waiting to power OFF (exit code 1)") {
			t.Error(strings.Join(r.Lines(), "\n"))
		}
	})
	t.Run("a wrong password", func(t *testing.T) {
		put("not-hunter2")
		defer put("hunter2")
		c, err := f.Check(t.Context(), "board")
		if err != nil || c.OK || strings.Contains(c.Reason, "hunter2") {
			t.Errorf("%+v, %v", c, err)
		}
		if r := f.Fence(t.Context(), fencing.Order{Node: "n1"}); r.Confirmed || !runs() || strings.Contains(strings.Join(r.Lines(), ""), "hunter2") {
			t.Error(r.Lines())
		}
	})
	t.Run("a board that is gone", func(t *testing.T) {
		run(t, n, "systemctl kill -s STOP bmc")
		defer run(t, n, "systemctl kill -s CONT bmc")
		d := ipmi
		d.Timeout = 2 * time.Second
		f, err := fencing.New(fencing.Config{Devices: []fencing.Device{d}})
		if err != nil {
			t.Fatal(err)
		}
		if r := f.Fence(t.Context(), fencing.Order{Node: "n1"}); r.Confirmed || !runs() || !strings.HasSuffix(r.Reason, "board did not switch off within 2s") {
			t.Error(r.Lines())
		}
		if c, err := f.Check(t.Context(), "board"); err != nil || c.OK || !strings.Contains(c.Reason, "did not answer within 2s") {
			t.Errorf("%+v, %v", c, err)
		}
	})
	t.Run("fence_dummy", func(t *testing.T) {
		d := fencing.Device{Name: "dummy", Agent: agentIn(t, n, "fence_dummy"), Ports: map[string]string{"n1": "1"}, Action: fencing.Off, Attempts: 1,
			Parameters: map[string]string{"status_file": "/run/dummy"}}
		f, err := fencing.New(fencing.Config{Devices: []fencing.Device{d}})
		if err != nil {
			t.Fatal(err)
		}
		run(t, n, "printf on >/run/dummy")
		if c, err := f.Check(t.Context(), "dummy"); err != nil || !c.OK {
			t.Errorf("%+v, %v", c, err)
		}
		if r := f.Fence(t.Context(), fencing.Order{Node: "n1"}); !r.Confirmed || run(t, n, "cat /run/dummy") != "off" {
			t.Error(r.Lines())
		}
		d.Parameters = map[string]string{"type": "fail", "power_timeout": "1"}
		if err := f.Set([]fencing.Device{d}); err != nil {
			t.Fatal(err)
		}
		if r := f.Fence(t.Context(), fencing.Order{Node: "n1"}); r.Confirmed {
			t.Error(r.Lines())
		}
	})
	t.Run("what they say of themselves", func(t *testing.T) { describeAll(t, n) })
}

// describeAll reads the metadata of every agent that is installed.
func describeAll(t *testing.T, n *lab.Node) {
	good := 0
	var unusable, silent []string
	for _, agent := range strings.Fields(run(t, n, "cd /usr/sbin && ls -d fence_*")) {
		m, err := fencing.Describe(t.Context(), agentIn(t, n, agent))
		if err != nil {
			silent = append(silent, err.Error())
			continue
		}
		good++
		for _, p := range m.Problems(fencing.Device{Agent: agent, Action: fencing.Off}) {
			if p.Param == "" && strings.Contains(p.What, " cannot ") {
				unusable = append(unusable, p.What)
			}
		}
	}
	// Those that want libraries for clouds, which are left out here, say nothing.
	if good < 70 {
		t.Errorf("only %d agents describe themselves; %q", good, silent)
	}
	t.Logf("%d describe themselves; not usable: %q; silent: %q", good, unusable, silent)
	m, err := fencing.Describe(t.Context(), agentIn(t, n, "fence_ipmilan"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range m.Problems(fencing.Device{Agent: "fence_ipmilan", Action: fencing.Reboot, Parameters: map[string]string{"lanpuls": "1", "method": "cylce", "ipport": "x"}}) {
		got = append(got, p.String())
	}
	if s := strings.Join(got, "\n"); !strings.Contains(s, `did you mean "lanplus"?`) || !strings.Contains(s, `did you mean "cycle"?`) || !strings.Contains(s, `"x" is no whole number`) {
		t.Error(s)
	}
}
