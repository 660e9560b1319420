// SPDX-License-Identifier: Apache-2.0

package labtests

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/mailha/mailha/internal/lab"
)

// entries are the lines of the node's journal about a resource. Values that are
// no texts fail the test.
func entries(t testing.TB, n *lab.Node, match ...string) []map[string]string {
	t.Helper()
	out := run(t, n, "journalctl --sync; journalctl --quiet --no-pager --output=json "+strings.Join(match, " "))
	var found []map[string]string
	for line := range strings.Lines(out) {
		entry := map[string]string{}
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		found = append(found, entry)
	}
	return found
}

// What an agent says can be found in the journal, whether an action failed or not.
func TestJournal(t *testing.T) {
	p := newPlace(t, lab.Config{})
	n, r := p.node, mta()
	r.must(t, n, "monitor", call{}, notRunning)
	staysQuiet(t, n)
	r.start(t, n)
	r.monitor(t, n, 20)
	connect(t, p.Client(), vip4).begin("half@example.test") // and stays
	stop := r.stop(t, n)
	run(t, n, "mv /etc/postfix-mx /root/")
	r.must(t, n, "monitor", call{}, notRunning) // it may lack anything here
	failed := r.must(t, n, "start", call{}, installed)

	var messages []string
	of := map[string]map[string]string{} // by the message's beginning
	for _, e := range entries(t, n, "MAILHA_RESOURCE=p_mta") {
		messages = append(messages, e["MAILHA_ACTION"]+": "+e["MESSAGE"])
		what, _, _ := strings.Cut(strings.TrimPrefix(e["MESSAGE"], "p_mta: "), ":")
		of[what] = e
		if e["SYSLOG_IDENTIFIER"] != "mailha-ocf" || e["MAILHA_AGENT"] != "mta" || !strings.HasPrefix(e["MESSAGE"], "p_mta: ") {
			t.Errorf("a line that cannot be found: %q", e)
		}
		if e["MAILHA_ACTION"] == "monitor" && e["PRIORITY"] > "4" {
			t.Errorf("a monitor with nothing to say says %q", e["MESSAGE"])
		}
	}
	all := strings.Join(messages, "\n")
	t.Log("the journal:\n" + indent(all))
	if d := of["drained"]; d["MAILHA_SESSIONS"] != "1" || d["MAILHA_CUT"] != "1" || d["MAILHA_LEFT"] != "0" || d["PRIORITY"] != "6" ||
		!strings.HasPrefix(d["MESSAGE"], `p_mta: drained: ip="10.77.0.50 fd77::50" sessions=1 dismissed=0 cut=1 left=0 took=`) {
		t.Errorf("of the drain: %q", d)
	}
	if !strings.Contains(stop.log, "drained") {
		t.Errorf("not on standard error: %s", stop)
	}
	for _, done := range []string{"start done", "stop done"} {
		if of[done]["MAILHA_TOOK"] == "" {
			t.Errorf("%s is not there", done)
		}
	}
	if f := of["start failed"]; f["MAILHA_EXIT_CODE"] != "5" || f["PRIORITY"] != "3" || f["MAILHA_REASON"] != failed.reason || !strings.HasSuffix(f["MESSAGE"], failed.reason) {
		t.Errorf("of the failure: %q, want the reason %q", f, failed.reason)
	}
	if strings.Contains(all, "monitor failed") {
		t.Error("what a probe may find is told as a failure")
	}
}

// staysQuiet sees that a probe has left nothing in the journal.
func staysQuiet(t testing.TB, n *lab.Node) {
	t.Helper()
	if found := entries(t, n, "-t", "mailha-ocf"); len(found) > 0 {
		t.Errorf("after a probe: %q", found)
	}
}

// Nothing hangs on the journal.
func TestJournalTakesNothing(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, before, after string }{
		{"gone", "systemctl stop systemd-journald.socket systemd-journald-dev-log.socket systemd-journald-audit.socket systemd-journald.service; rm -f /run/systemd/journal/socket", ""},
		{"hangs", "systemctl kill -s STOP systemd-journald.service; python3 -c '" + `
import socket
sent = 1
while sent: # by several: each may have so much under way
    s, sent = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM), 0
    s.connect("/run/systemd/journal/socket")
    s.setblocking(False)
    try:
        while True: sent += s.send(b"MESSAGE=fill\n")
    except BlockingIOError: pass
'`, "systemctl kill -s CONT systemd-journald.service"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlace(t, lab.Config{})
			n, r := p.node, mta()
			run(t, n, tt.before)
			r.start(t, n)
			r.monitor(t, n, 10)
			connect(t, p.Client(), vip4)
			const drain, slack = time.Second, 2 * time.Second
			if a := r.stop(t, n); a.took > drain+slack {
				t.Errorf("too long: %s", a)
			}
			bare(t, n)
			if tt.after != "" {
				run(t, n, tt.after)
			}
		})
	}
}
