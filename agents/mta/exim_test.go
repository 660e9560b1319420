// SPDX-License-Identifier: Apache-2.0

package mta

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mailha/mailha/agents"
)

func TestEximList(t *testing.T) {
	for text, want := range map[string][]string{
		"":                              nil,
		" : : ":                         nil,
		"25":                            {"25"},
		"25 : 465:587":                  {"25", "465", "587"},
		"<; ::0 ; 0.0.0.0":              {"::0", "0.0.0.0"},
		"127.0.0.1 : ::::1":             {"127.0.0.1", "::1"},
		"<; 127.0.0.1 ;; x":             {"127.0.0.1 ; x"},
		"<":                             {"<"},
		"<;":                            nil,
		"10.0.0.1.25 : 2001::db8::::25": {"10.0.0.1.25", "2001:db8::25"},
	} {
		if got := eximList(text); !slices.Equal(got, want) {
			t.Errorf("%q: want %q, got %q", text, want, got)
		}
	}
}

func TestEximListen(t *testing.T) {
	for _, tt := range []struct {
		interfaces, ports, tls string
		want                   string // ports, address, bound
		fails                  bool
	}{
		{interfaces: "<; ::0 ; 0.0.0.0", ports: "25", want: "[25] 127.0.0.1 []"},
		{interfaces: "<; ::0 ; 0.0.0.0", ports: "465 : 25 : 587", tls: "465", want: "[25 587 465] 127.0.0.1 []"},
		{interfaces: "<; ::0", ports: "smtp", want: "[25] 127.0.0.1 []"},
		{interfaces: "192.0.2.25", ports: "25", want: "[25] 192.0.2.25 [192.0.2.25]"},
		{interfaces: "<; 127.0.0.1 ; ::1", ports: "25", want: "[25] 127.0.0.1 [127.0.0.1 ::1]"},
		{interfaces: "<; 192.0.2.25.2525 ; [2001:db8::25]:2525 ; 2001:db8::25.26", ports: "25", want: "[25 2525 26] 192.0.2.25 [192.0.2.25 2001:db8::25 2001:db8::25]"},
		{interfaces: "<; 192.0.2.25 ; 0.0.0.0.587", ports: "25", want: "[25 587] 127.0.0.1 []"},
		{interfaces: "", ports: "25", want: "[25] 127.0.0.1 []"},
		{interfaces: "0.0.0.0", ports: "no-such-service", fails: true},
		{interfaces: "0.0.0.0", ports: "0", fails: true},
		{interfaces: "mx.example.org", ports: "25", fails: true},
		{interfaces: "192.0.2.25.", ports: "25", fails: true},
		{interfaces: "[::1", ports: "25", fails: true},
	} {
		var f agents.Facts
		err := eximListen(&f, map[string]string{"local_interfaces": tt.interfaces, "daemon_smtp_ports": tt.ports, "tls_on_connect_ports": tt.tls})
		got := fmt.Sprint(f.Ports, " ", f.Listen, " ", f.Bound)
		if (err != nil) != tt.fails || err == nil && got != tt.want {
			t.Errorf("%+v: got %s, %v", tt, got, err)
		}
	}
}

func FuzzEximListen(f *testing.F) {
	f.Add("<; ::0 ; 0.0.0.0", "25")
	f.Add("[::1]:25 : 10.0.0.1.25", "<, 25,587")
	f.Fuzz(func(t *testing.T, interfaces, ports string) {
		if strings.ContainsFunc(ports+interfaces, func(r rune) bool { return r >= 'a' && r <= 'z' }) {
			return // names are looked up in a file
		}
		var facts agents.Facts
		if err := eximListen(&facts, map[string]string{"local_interfaces": interfaces, "daemon_smtp_ports": ports}); err != nil {
			return
		}
		if slices.Contains(facts.Ports, 0) || !facts.Listen.IsValid() {
			t.Errorf("%+v", facts)
		}
		for _, addr := range facts.Bound {
			if !addr.IsValid() || addr.IsUnspecified() {
				t.Errorf("%+v", facts)
			}
		}
	})
}

func TestEximOptions(t *testing.T) {
	got := eximOptions("spool_directory = /srv/mail/exim\ntls_on_connect_ports = \nno_queue_only\nlog_file_path = a = b\n")
	if got["spool_directory"] != "/srv/mail/exim" || got["tls_on_connect_ports"] != "" || got["log_file_path"] != "a = b" {
		t.Errorf("%q", got)
	}
}

func TestEximQueueID(t *testing.T) {
	for reply, want := range map[string]string{
		"OK id=1xUw2T-0000YZ-0e":             "1xUw2T-0000YZ-0e",
		"OK id=1rRxyz-00000000ABc-0DeF more": "1rRxyz-00000000ABc-0DeF", // since 4.97
		"OK id=1xUw2T-0000YZ":                "",
		"OK id=../../etc":                    "",
		"OK id=1xUw2T-0000YZ-":               "",
		"OK id=1xUw2T-0000YZ-*":              "",
		"OK":                                 "",
		"":                                   "",
	} {
		if got := new(Exim).QueueID(reply); got != want {
			t.Errorf("%q: want %q, got %q", reply, want, got)
		}
	}
}

const freshEnvelope = "1xUw6q-0000cZ-02-H\nDebian-exim 108 112\n<a@client.test>\n1795309872 0\n-received_time_usec .011959\n-body_linecount 1\n-deliver_firsttime\nXX\n1\nslow5@example.test\n\n203P Received: x\n-frozen 1\n"

func TestParseEnvelope(t *testing.T) {
	for text, want := range map[string]envelope{
		freshEnvelope: {fresh: true},
		strings.Replace(freshEnvelope, "-deliver_firsttime\n", "", 1):                       {},
		strings.Replace(freshEnvelope, "-deliver_firsttime\n", "-frozen 1795309872\n", 1):   {frozen: true},
		strings.Replace(freshEnvelope, "XX\n", "YN b@example.test\nNN a@example.test\n", 1): {fresh: true},
		strings.Replace(freshEnvelope, "XX\n", "-acl_m 3 9\n-frozen 1\n-deliverx\nXX\n", 1): {fresh: true, frozen: true},
		"": {},
	} {
		if got, err := parseEnvelope(strings.NewReader(text)); got != want || err != nil {
			t.Errorf("%q: want %+v, got %+v, %v", text, want, got, err)
		}
	}
}

func FuzzParseEnvelope(f *testing.F) {
	f.Add(freshEnvelope)
	f.Fuzz(func(t *testing.T, text string) {
		if e, err := parseEnvelope(strings.NewReader(text)); err == nil && e.fresh && !strings.Contains(text, "-deliver_firsttime") {
			t.Errorf("%+v", e)
		}
	})
}

// Daemon, receivers, runners and deliveries are told apart by what they have
// open, for some have the same arguments.
func TestEximJobs(t *testing.T) {
	daemon := []string{"-C", "/etc/exim-mx/exim.conf", "-bdf", "-q30m", "-oP", "/run/x.pid"}
	const message = "/srv/mail/exim/input/1xUw2T-0000YZ-0e-D"
	for _, tt := range []struct {
		name string
		job  job
		want int
	}{
		{"daemon", job{args: daemon, listens: true}, daemonJob},
		{"daemon in the background", job{args: []string{"-bd", "-q30m"}, listens: true}, daemonJob},
		{"receiver before a message", job{args: daemon}, receiver},
		{"receiver within a message", job{args: daemon, message: message}, receiver},
		{"delivery after a reception", job{args: []string{"-C", "x", "-Mc", "1xUw2T-0000YZ-0e"}, message: message}, delivery},
		{"queue runner", job{args: []string{"-C", "x", "-q"}}, runner},
		{"queue runner in two stages", job{args: []string{"-qqff"}}, runner},
		{"delivery of a queue runner", job{args: []string{"-C", "x", "-q"}, message: message}, delivery},
		{"something else", job{args: []string{"-C", "x", "-bp"}}, otherJob},
		{"gone", job{}, otherJob},
	} {
		if got := tt.job.kind(); got != tt.want {
			t.Errorf("%s: %d", tt.name, got)
		}
	}
}

func TestEximQueue(t *testing.T) {
	f := agents.Facts{DataDir: t.TempDir()}
	f.Process.Dir = f.DataDir
	e := NewExim(new(Instance))
	if _, _, err := e.Queued(agents.Facts{DataDir: "/no/such/spool"}, "1xUw2T-0000YZ-0e"); err == nil {
		t.Error("a spool that is not there holds nothing")
	}
	write := func(name, text string, ago time.Duration) {
		t.Helper()
		put(t, f, name, ago)
		rewrite(t, filepath.Join(f.DataDir, name), text, ago)
	}
	tried := strings.Replace(freshEnvelope, "-deliver_firsttime\n", "", 1)
	write("input/1aaaaa-000001-00-H", freshEnvelope, time.Second)
	write("input/1aaaaa-000001-00-D", "", time.Hour)
	write("input/1aaaaa-000002-00-H", freshEnvelope, 2*time.Hour)
	write("input/b/1aaaab-000003-00-H", tried, 3*time.Hour)
	write("input/1aaaaa-000004-00-H", strings.Replace(tried, "XX", "-frozen 1\nXX", 1), 4*time.Hour)
	write("input/1aaaaa-000005-00-J", "", 5*time.Hour)
	for id, want := range map[string]string{
		"1aaaaa-000001-00": "input", "1aaaab-000003-00": "deferred", "1aaaaa-000004-00": "frozen", "1aaaaa-000009-00": "",
	} {
		where, rests, err := e.Queued(f, id)
		if where != want || rests != (want == "deferred" || want == "frozen") || err != nil {
			t.Errorf("%s: %q, %t, %v", id, where, rests, err)
		}
	}
	if q, err := e.Look(t.Context(), f, 100); err != nil || q.Messages != 4 || q.DueID != "1aaaaa-000002-00" || len(q.Broken) > 0 {
		t.Errorf("%+v, %v", q, err)
	}
	if q, err := e.Look(t.Context(), f, 2); err != nil || q.Messages != 2 {
		t.Errorf("no more than two: %+v, %v", q, err)
	}
	if err := e.Withdraw(t.Context(), f, "1aaaaa-000001-00", "token@monitor.invalid"); err == nil || !strings.Contains(err.Error(), "another message") {
		t.Errorf("another message: %v", err)
	}
	if err := e.Storage(t.Context(), f); err != nil {
		t.Error(err)
	}
}

func TestEximInspect(t *testing.T) {
	e := NewExim(&Instance{Binary: "/no/such/exim"})
	e.Config = "/etc/exim-mx/exim.conf"
	facts, err := e.Inspect(t.Context())
	if want := `mailha-exim@etc-exim\x2dmx-exim.conf.service`; !errors.Is(err, agents.ErrInstalled) || facts.Unit != want ||
		facts.Process.ControlGroup != `/system.slice/system-mailha\x2dexim.slice/`+want {
		t.Errorf("%+v, %v", facts, err)
	}
	e = NewExim(&Instance{Binary: "/bin/true"})
	e.Config = "/no/such/file"
	if _, err := e.Inspect(t.Context()); !errors.Is(err, agents.ErrInstalled) {
		t.Errorf("without configuration: %v", err)
	}
	e.Config = "/dev/null"
	e.Binary = "/bin/false"
	if _, err := e.Inspect(t.Context()); !errors.Is(err, agents.ErrNode) {
		t.Errorf("with a configuration that Exim refuses: %v", err)
	}
}
