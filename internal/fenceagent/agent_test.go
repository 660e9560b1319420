// SPDX-License-Identifier: Apache-2.0

package fenceagent

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mailha/mailha/fencing"
	"github.com/mailha/mailha/internal/kinds"
	"github.com/mailha/mailha/internal/poison"
	"github.com/mailha/mailha/internal/quorum/quorumtest"
	"github.com/mailha/mailha/internal/suite"
)

// called is what came of a call.
type called struct {
	code     int
	out, err string
}

func call(t *testing.T, stdin string, args ...string) called {
	t.Helper()
	var out, errs bytes.Buffer
	a := Agent{Version: "1.2.3", Kinds: kinds.Of(suite.Types())}
	code := a.Run(t.Context(), args, strings.NewReader(stdin), &out, &errs)
	return called{code, out.String(), errs.String()}
}

// config is that of a cluster whose etcd is at a URL. It has no groups: Pacemaker has.
func config(t *testing.T, url string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "mailha.toml")
	text := fmt.Sprintf(`[cluster]
name = "test"

[etcd]
endpoints = [%q]

[[node]]
name = "n1"
address = "192.0.2.1"

[[node]]
name = "n2"
address = "192.0.2.2"

[[node]]
name = "w"
address = "192.0.2.3"
witness = true
`, url)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestActions(t *testing.T) {
	t.Parallel()
	m := quorumtest.Single(t)
	file := config(t, m.Client().Endpoints()[0])
	store := poison.Open(m.Client(), "test")
	lines := func(more ...string) string {
		return strings.Join(append([]string{"# of a cluster manager", "", "config=" + file}, more...), "\n") + "\n"
	}
	expect := func(what string, got called, code int, out, err string) {
		t.Helper()
		if got.code != code || !strings.Contains(got.out, out) || !strings.Contains(got.err, err) || err == "" && got.err != "" {
			t.Errorf("%s: got %+v, want %d, %q, %q", what, got, code, out, err)
		}
	}
	expect("monitor", call(t, lines("action=monitor")), ExitOK, "", "")
	expect("an empty list", call(t, lines("action=list")), ExitOK, "", "")
	expect("validate-all", call(t, lines("action=validate-all")), ExitOK, "", "")
	expect("status of who keeps no slot", call(t, lines("action=status", "plug=n1")), ExitFailed, "", "mailha-fenced has not armed")
	expect("off of who keeps no slot", call(t, lines("action=off", "plug=n1")), ExitFailed, "", "mailha-fenced has not armed")
	expect("which node", call(t, lines("action=off")), ExitFailed, "", "which node")
	expect("another node", call(t, lines("action=off", "plug=n9")), ExitFailed, "", `no node "n9"`)
	expect("a witness", call(t, lines("action=off", "plug=w")), ExitFailed, "", "witness")
	expect("another action", call(t, lines("action=dance", "plug=n1")), ExitFailed, "", `no action "dance"`)

	seen, err := store.Look(t.Context(), "n1")
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Keep(t.Context(), "n1", poison.Slot{Life: "boot1", Limit: time.Second}, seen); err != nil {
		t.Fatal(err)
	}
	expect("status", call(t, "", "-o", "status", "-n", "n1", "-c", file), ExitOK, "Status: ON", "")
	expect("list", call(t, lines("action=list")), ExitOK, "n1,\n", "")
	expect("list-status", call(t, lines("action=list-status")), ExitOK, "n1,on\n", "")
	expect("too short a time", call(t, lines("action=reboot", "port=n1", "power_timeout=1")), ExitFailed, "", "raise power_timeout")
	began := time.Now()
	expect("reboot", call(t, lines("action=reboot", "nodename=n1", "pcmk_of=another", "power_timeout=30s")), ExitOK, "n1 is off: its watchdog", "pcmk_of")
	if took := time.Since(began); took < time.Second {
		t.Errorf("it was called off after %s", took)
	}
	expect("status after it", call(t, lines("action=status", "plug=n1")), ExitOff, "Status: OFF", "")
	expect("list-status after it", call(t, "", "--action=list-status", "--config", file), ExitOK, "n1,off\n", "")
	expect("off after it", call(t, lines("action=off", "plug=n1", "delay=0")), ExitOK, "n1 is off: that was known", "")
	expect("on", call(t, lines("action=on", "plug=n1")), ExitOK, "taken back", "")
	// What was proved stays so: the node itself says that it is on.
	expect("status after on", call(t, lines("action=status", "plug=n1")), ExitOff, "", "")
}

// Without a majority of etcd nobody is off.
func TestNoEtcd(t *testing.T) {
	t.Parallel()
	file := config(t, "http://"+quorumtest.Port(t).String())
	for _, action := range []string{"monitor", "list", "status", "off"} {
		got := call(t, fmt.Sprintf("action=%s\nplug=n1\nconfig=%s\npower_timeout=1\n", action, file))
		if got.code != ExitFailed || !strings.Contains(got.err, "etcd") {
			t.Errorf("%s: got %+v", action, got)
		}
	}
}

func TestInput(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		in   string
		want request
		err  string
	}{
		{"", request{action: Reboot, config: defaultConfig, timeout: time.Minute}, ""},
		{" action=OFF \nplug=n1\nport=n2\nnodename=n3\n", request{action: Off, node: "n1", config: defaultConfig, timeout: time.Minute}, ""},
		{"nodename=n3\nport=n2", request{action: Reboot, node: "n2", config: defaultConfig, timeout: time.Minute}, ""},
		{"option=status\nnodename=n3", request{action: Status, node: "n3", config: defaultConfig, timeout: time.Minute}, ""},
		{"delay=5\npower_timeout=1.5s\nverbose=yes", request{action: Reboot, config: defaultConfig, delay: 5 * time.Second, timeout: 1500 * time.Millisecond, verbose: true}, ""},
		{"config=/a=b", request{action: Reboot, config: "/a=b", timeout: time.Minute}, ""},
		{"unknown=1\n#plug=n1", request{action: Reboot, config: defaultConfig, timeout: time.Minute}, ""},
		{"action", request{}, "no name=value"},
		{"delay=-1", request{}, "delay"},
		{"delay=soon\npower_timeout=3601", request{}, "power_timeout"},
		{"verbose=perhaps", request{}, "verbose"},
		{"plug=" + strings.Repeat("n", 300), request{}, "253"},
		{strings.Repeat("# much\n", 10_000), request{}, "65536"},
	} {
		v, err := parseInput(strings.NewReader(tt.in), func(string) {})
		var got request
		if err == nil {
			got, err = v.request()
		}
		switch {
		case tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)):
			t.Errorf("%.40q: got %v, want something about %q", tt.in, err, tt.err)
		case tt.err == "" && err != nil:
			t.Errorf("%.40q: %v", tt.in, err)
		case tt.err == "":
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(request{})); diff != "" {
				t.Errorf("%.40q (-want +got)\n%s", tt.in, diff)
			}
		}
	}
}

func TestCommandLine(t *testing.T) {
	t.Parallel()
	if got := call(t, "", "-V"); got.code != ExitOK || got.out != "1.2.3\n" {
		t.Errorf("got %+v", got)
	}
	help := call(t, "", "-h")
	if help.code != ExitOK || !strings.Contains(help.out, "--power-timeout=[power_timeout]") {
		t.Errorf("got %+v", help)
	}
	for line := range strings.Lines(help.out) {
		if len(line) > 140 {
			t.Errorf("a line has %d characters: %s", len(line), line)
		}
	}
	for _, args := range [][]string{{"--nothing"}, {"-o"}, {"stray"}} {
		if got := call(t, "", args...); got.code != ExitFailed || !strings.Contains(got.err, "fence_mailha -h") {
			t.Errorf("%q: got %+v", args, got)
		}
	}
	if got := call(t, "", "-o", "monitor", "-c", "/nowhere.toml"); got.code != ExitFailed || !strings.Contains(got.err, "/nowhere.toml") {
		t.Errorf("got %+v", got)
	}
}

// What managers are told is what mailhad understands, and complete.
func TestMetadata(t *testing.T) {
	t.Parallel()
	got := call(t, "action=metadata\n")
	if got.code != ExitOK || got.err != "" {
		t.Fatalf("got %+v", got)
	}
	m, err := fencing.ParseMetadata([]byte(got.out))
	if err != nil {
		t.Fatal(err)
	}
	if m.Name != "fence_mailha" || m.Unfences() {
		t.Errorf("got %+v", m)
	}
	for _, name := range actions() {
		if _, ok := m.Action(name); !ok {
			t.Errorf("action %s is missing", name)
		}
	}
	page, err := os.ReadFile("../../man/fence_mailha.8")
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range options() {
		if p, ok := m.Param(o.name); !ok || p.Content.Type != o.kind {
			t.Errorf("parameter %s: got %+v", o.name, p)
		}
		if !strings.Contains(string(page), o.name) {
			t.Errorf("the manual page says nothing of %s", o.name)
		}
	}
	for _, name := range actions() {
		if !strings.Contains(string(page), name) {
			t.Errorf("the manual page says nothing of action %s", name)
		}
	}
}

func FuzzInput(f *testing.F) {
	f.Add("action=off\nplug=n1\n")
	f.Add("=\n==\n\x00=1\nverbose=1")
	f.Fuzz(func(t *testing.T, in string) {
		v, err := parseInput(strings.NewReader(in), func(string) {})
		if err != nil {
			return
		}
		r, err := v.request()
		if err == nil && (r.delay < 0 || r.timeout < 0 || len(r.node) > maxNode) {
			t.Errorf("%+v", r)
		}
	})
}
