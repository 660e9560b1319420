// SPDX-License-Identifier: Apache-2.0

package labtests

import (
	"bufio"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mailha/mailha/internal/lab"
	"github.com/mailha/mailha/internal/lab/cluster"
)

// killAll kills all of Dovecot's processes at once, as a power cut does.
const killAll = `systemctl kill -s KILL '` + storeUnit + `'; while pgrep -x '` + "dovecot|anvil|imap|imap-login|lmtp" + `' >/dev/null; do sleep 0.02; done`

// upload has messages stored by IMAP.
func upload(t testing.TB, h *lab.Host, user, mailbox string, n int) {
	t.Helper()
	k := imapSession(t, h, "143", user)
	defer k.conn.Close()
	if mailbox != "INBOX" {
		k.say("b CREATE "+mailbox, "b ")
	}
	for i := range n {
		text := strings.ReplaceAll(letter(fmt.Sprintf("%s %d", mailbox, i), 200), "\n", "\r\n")
		k.write("c APPEND " + mailbox + " {" + itoa(len(text)) + "+}\n")
		k.write(strings.ReplaceAll(text, "\r\n", "\n") + "\n")
		k.until("c OK")
	}
}

// contents is what a client sees of a mailbox at its first look: UIDs and subjects.
func contents(t testing.TB, h *lab.Host, user, mailbox string) (lines []string, uidValidity string) {
	t.Helper()
	k := imapSession(t, h, "143", user)
	defer k.conn.Close()
	k.write("b SELECT " + mailbox + "\n")
	for {
		line := k.line()
		if _, rest, ok := strings.Cut(line, "[UIDVALIDITY "); ok {
			uidValidity, _, _ = strings.Cut(rest, "]")
		}
		if strings.HasPrefix(line, "b ") {
			if !strings.HasPrefix(line, "b OK") {
				t.Errorf("SELECT %s: %s", mailbox, line)
				return nil, ""
			}
			break
		}
	}
	k.write("c UID FETCH 1:* (BODY.PEEK[HEADER.FIELDS (SUBJECT)] BODY.PEEK[TEXT])\n")
	uid := ""
	for {
		line := k.line()
		if _, rest, ok := strings.Cut(line, "(UID "); ok {
			uid, _, _ = strings.Cut(rest, " ")
		}
		if subject, ok := strings.CutPrefix(line, "Subject: "); ok {
			lines = append(lines, uid+" "+subject)
		}
		if strings.HasPrefix(line, "c ") {
			if !strings.HasPrefix(line, "c OK") {
				t.Errorf("FETCH from %s: %s", mailbox, line)
			}
			return lines, uidValidity
		}
	}
}

// After a crash that has torn indexes, the first client sees all of its messages,
// with their numbers, and no error.
func TestStoreRecoversIndexes(t *testing.T) {
	t.Parallel()
	const (
		cut   = `truncate -s -4`
		empty = `truncate -s 0`
		zeros = `sh -c 'for f; do head -c 512 /dev/zero >>$f; done' -`
		gone  = `rm`
	)
	for _, format := range formats() {
		t.Run(format, func(t *testing.T) {
			p := newStore(t, lab.Config{Disk: true})
			n, client := p.node, p.Client()
			setFormat(t, n, format)
			r := store()
			r.start(t, n)
			upload(t, client, "u1", "INBOX", 120) // enough to have a summary beside the log
			upload(t, client, "u1", "Sub", 5)
			upload(t, client, "u2", "INBOX", 3)
			want := map[string][]string{}
			validity := map[string]string{}
			boxes := [][2]string{{"u1", "INBOX"}, {"u1", "Sub"}, {"u2", "INBOX"}}
			for _, b := range boxes {
				want[b[0]+b[1]], validity[b[0]+b[1]] = contents(t, client, b[0], b[1])
			}
			if len(want["u1INBOX"]) != 120 {
				t.Fatalf("%d messages", len(want["u1INBOX"]))
			}
			r.stop(t, n)
			run(t, n, "cp -a "+storeDir+" /root/good")
			type damage struct{ name, how, files string }
			damages := []damage{
				{"log cut", cut, logFiles("u1")},
				{"logs of all cut", cut, logFiles("*")},
				{"log with zeros", zeros, logFiles("u1")},
				{"log empty", empty, logFiles("u1")},
				{"summary empty", empty, `$(find ` + storeDir + `/u1 -name dovecot.index)`},
			}
			switch {
			case strings.HasPrefix(format, "sdbox"):
				damages = append(damages, damage{"index gone", gone, logFiles("u1") + ` $(find ` + storeDir + `/u1 -name dovecot.index)`})
			case strings.HasPrefix(format, "mdbox"):
				damages = append(damages,
					damage{"map cut", cut, storeDir + "/u1/mdbox/storage/dovecot.map.index.log"},
					damage{"map empty", empty, storeDir + "/u1/mdbox/storage/dovecot.map.index.log"},
					damage{"map gone", gone, storeDir + "/u1/mdbox/storage/dovecot.map.index*"})
			}
			for _, d := range damages {
				run(t, n, "rm -rf "+storeDir+"/u*; cp -a /root/good/u* "+storeDir+"/")
				r.start(t, n)
				run(t, n, killAll)
				run(t, n, d.how+" "+d.files)
				a := r.start(t, n)
				if !strings.Contains(a.log, "rebuilt the indexes of u1") && !strings.Contains(a.log, "rebuilt the indexes of u2, u1") {
					t.Errorf("%s: %s", d.name, a)
				}
				for _, b := range boxes {
					got, v := contents(t, client, b[0], b[1])
					if !slices.Equal(got, want[b[0]+b[1]]) {
						t.Errorf("%s: %s of %s has %d messages, want %d: %q", d.name, b[1], b[0], len(got), len(want[b[0]+b[1]]), got)
					}
					if v != validity[b[0]+b[1]] {
						t.Logf("%s: %s of %s has UIDVALIDITY %s, had %s", d.name, b[1], b[0], v, validity[b[0]+b[1]])
					}
				}
				r.stop(t, n)
			}
			// What was repaired is well.
			if a := r.start(t, n); !strings.Contains(run(t, n, "journalctl -t mailha-ocf -n 20 -o cat"), "ended cleanly") {
				t.Errorf("after a stop: %s", a)
			}
			r.stop(t, n)
			bare(t, n)
		})
	}
}

// logFiles are those of all mailboxes of users.
func logFiles(users string) string {
	return `$(find ` + storeDir + `/` + users + ` -name dovecot.index.log)`
}

// A recovery looks at as much as there is time for, and says what it left.
func TestStoreRecoveryIsBounded(t *testing.T) {
	p := newStore(t, lab.Config{})
	n, r := p.node, localStore()
	// A good log of one, as often as there are mailboxes.
	r.start(t, n)
	upload(t, p.Client(), "u1", "INBOX", 1)
	r.stop(t, n)
	const mailboxes = 20_000
	run(t, n, `cd `+storeDir+`; python3 - <<'EOS'
import os
log = open("u1/mail/mailboxes/INBOX/dbox-Mails/dovecot.index.log", "rb").read()
for i in range(`+strconv.Itoa(mailboxes)+`):
    dir = "many/user%d/mail/mailboxes/INBOX/dbox-Mails" % i
    os.makedirs(dir)
    with open(dir + "/dovecot.index.log", "wb") as f:
        f.write(log)
EOS`)
	run(t, n, "rm "+storeDir+"/.mailha-run")
	for _, timeout := range []time.Duration{20 * time.Second, 6 * time.Second} {
		a := r.must(t, n, "start", call{timeout: timeout}, success)
		all := strings.Contains(a.log, "indexes of "+strconv.Itoa(mailboxes+1)+" mailboxes, 0 are torn")
		part := strings.Contains(a.log, "there was no time for the others")
		if all == part || !strings.Contains(a.log, "recovered before the start") {
			t.Errorf("neither all nor a part: %s", a)
		}
		within(t, "started", a.took, 0, timeout)
		t.Logf("within %s: %s\n%s", timeout, a.took, indent(a.log))
		run(t, n, killAll)
	}
	r.stop(t, n)
	bare(t, n)
}

// A killed master is repaired on the spot, with clients connected.
func TestStoreKilled(t *testing.T) {
	t.Parallel()
	for _, again := range []bool{false, true} {
		t.Run(fmt.Sprintf("restarted by systemd %t", again), func(t *testing.T) {
			p := newStore(t, lab.Config{Disk: true})
			n, client, r := p.node, p.Client(), store()
			if again {
				run(t, n, storeAgain)
			}
			r.start(t, n)
			upload(t, client, "u1", "INBOX", 3)
			for range 3 {
				idling(t, client, "143", "u1")
				idling(t, client, "993", "u2")
			}
			imapSession(t, client, "993", "u1").write("b APPEND INBOX {1000+}\nSubject: half\n\n")
			lmtpUntilData(t, client, "u3", "half")
			run(t, n, killMaster)
			if !again {
				await(t, patience, "the monitor to notice", func() bool { return r.do(t, n, "monitor", recurring).code == generic })
			}
			r.start(t, n) // Pacemaker would stop it first: see TestStopStore
			await(t, patience, "all to be well", func() bool {
				return r.do(t, n, "monitor", call{interval: recurring.interval, depth: 10}).code == success
			})
			if got := subjects(t, client, "u1", "INBOX"); len(got) != 3 {
				t.Errorf("messages: %q", got)
			}
			deliver(t, client, "u3", "whole")
			if got := subjects(t, client, "u3", "INBOX"); !slices.Equal(got, []string{"whole"}) {
				t.Errorf("messages: %q", got)
			}
			r.stop(t, n)
			bare(t, n)
		})
	}
}

// Pacemaker starts a store whose master was killed again on the same node.
func TestPacemakerRepairsStore(t *testing.T) {
	p := newStore(t, lab.Config{})
	n, client := p.node, p.Client()
	c, err := cluster.Form(t.Context(), p.Lab, cluster.Options{NoFencing: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Crm(t.Context(), `primitive p_store ocf:mailha:store \
		params config_dir=`+storeConfig+` mail_dir=`+storeDir+` mail_on_root=true ip="`+vip4+`" \
		op start timeout=60s interval=0 op stop timeout=60s interval=0 op monitor interval=2s timeout=20s`); err != nil {
		t.Fatal(err)
	}
	if err := c.WaitResource(t.Context(), "p_store", n); err != nil {
		t.Fatal(err)
	}
	upload(t, client, "u1", "INBOX", 3)
	idle := idling(t, client, "993", "u1")
	run(t, n, killMaster)
	began := time.Now()
	await(t, 30*time.Second, "the store to greet again", func() bool {
		conn, err := dial(client, vip4+":143", time.Second)
		if err != nil {
			return false
		}
		defer conn.Close()
		if err := conn.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			return false
		}
		line, err := bufio.NewReader(conn).ReadString('\n')
		return err == nil && strings.HasPrefix(line, "* OK")
	})
	t.Logf("greets again after %s", time.Since(began).Round(time.Millisecond))
	if err := idle.farewell("", patience); err != nil && !errors.Is(err, errCut) {
		t.Errorf("a session of the killed master's: %v", err)
	}
	if got := subjects(t, client, "u1", "INBOX"); len(got) != 3 {
		t.Errorf("messages: %q", got)
	}
	if on, err := c.Output(t.Context(), "crm_resource", "--resource", "p_store", "--locate"); err != nil || !strings.Contains(on, n.Name()) {
		t.Errorf("%q, %v", on, err)
	}
	if _, err := c.Output(t.Context(), "crm", "--wait", "resource", "stop", "p_store"); err != nil {
		t.Error(err)
	}
}

// A full disk keeps nobody from reading, nor the store from being moved.
func TestStoreStartsOnAFullDisk(t *testing.T) {
	p := newStore(t, lab.Config{Disk: true})
	n, client, r := p.node, p.Client(), store()
	r.start(t, n)
	upload(t, client, "u1", "INBOX", 3)
	for _, end := range []string{"true", killAll} {
		run(t, n, fillDisk)
		run(t, n, end)
		if end == "true" {
			r.stop(t, n)
		}
		r.must(t, n, "start", call{timeout: time.Minute}, success) // a full disk is slow
		if got := subjects(t, client, "u1", "INBOX"); len(got) != 3 {
			t.Errorf("after %s: messages %q", end, got)
		}
		r.must(t, n, "monitor", call{interval: recurring.interval, depth: 10}, degraded)
		run(t, n, "rm "+mailDir+"/full.*")
	}
	r.stop(t, n)
	bare(t, n)
	r.start(t, n)
	r.monitor(t, n, 10)
	r.stop(t, n)
	bare(t, n)
}
