// SPDX-License-Identifier: Apache-2.0

package labtests

import (
	"errors"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mailha/mailha/internal/lab"
)

// shutPort is shut for one port. It looks at the gate before it knocks: a knock that
// came too early would count as one more client.
func shutPort(t testing.TB, p *place, port string) {
	t.Helper()
	await(t, patience, "the gate", func() bool {
		return strings.Contains(run(t, p.node, "nft list tables"), " mailha_gate_")
	})
	await(t, patience, "port "+port+" to close", func() bool {
		conn, err := dial(p.Client(), net.JoinHostPort(vip4, port), 300*time.Millisecond)
		if err == nil {
			conn.Close()
		}
		return errors.Is(err, syscall.ECONNREFUSED)
	})
}

// mailbox formats of Dovecot.
func formats() []string { return []string{"sdbox:~/mail", "mdbox:~/mdbox", "maildir:~/Maildir"} }

func setFormat(t testing.TB, n *lab.Node, format string) {
	t.Helper()
	run(t, n, "sed -i 's,^mail_location.*,mail_location = "+format+",' "+storeConfig+"/dovecot.conf")
}

// A drain ends idle sessions politely, TLS or not, and lets uploads and deliveries
// finish, however long their clients pause.
func TestStoreDrain(t *testing.T) {
	t.Parallel()
	for _, format := range formats() {
		t.Run(format, func(t *testing.T) {
			p := newStore(t, lab.Config{Disk: true})
			n, client := p.node, p.Client()
			setFormat(t, n, format)
			const drain = 12 * time.Second
			r := store("drain_timeout", drain.String())
			r.start(t, n)
			// mdbox keeps its storage file open after this.
			first := imapSession(t, client, "143", "u1")
			text := strings.ReplaceAll(letter("first", 500), "\n", "\r\n")
			first.write("b APPEND INBOX {" + itoa(len(text)) + "+}\n")
			first.write(strings.ReplaceAll(text, "\r\n", "\n") + "\n")
			first.until("b OK")
			first.say("c SELECT INBOX", "c OK")
			first.say("d FETCH 1 BODY.PEEK[]", "d OK")

			idle := map[string]*talk{
				"IMAP, after an upload":  first,
				"IMAP":                   idling(t, client, "143", "u1"),
				"IMAP with TLS":          idling(t, client, "993", "u2"),
				"IMAP, nothing selected": imapSession(t, client, "143", "u2"),
				"IMAP, not logged in":    talkTo(t, client, "143"),
				"TLS, not logged in":     talkTo(t, client, "993"),
			}
			pop := pop3Session(t, client, "110", "u3")
			upload := imapSession(t, client, "143", "u1")
			upload.write("c APPEND INBOX {" + itoa(len(text)) + "+}\n" + text[:40])
			waiting := imapSession(t, client, "993", "u2")
			waiting.say("c APPEND INBOX {"+itoa(len(text))+"}", "+ ")
			delivery := lmtpUntilData(t, client, "u3", "delivered")

			began := time.Now()
			stop := r.background(t, n, "stop", call{})
			shutPort(t, p, "143")
			for what, k := range idle {
				words := "* BYE "
				if err := k.farewell(words, drain/2); err != nil {
					t.Errorf("%s: %v", what, err)
				}
			}
			within(t, "idle sessions were gone", time.Since(began), 0, drain/2)
			time.Sleep(time.Until(began.Add(5 * time.Second))) // those that are busy seem to idle by then
			upload.write(strings.ReplaceAll(text[40:], "\r\n", "\n") + "\n")
			upload.until("c OK")
			waiting.write(strings.ReplaceAll(text, "\r\n", "\n") + "\n")
			waiting.until("c OK")
			delivery.say("second half\n.", "250")
			for what, k := range map[string]*talk{"upload": upload, "upload with TLS": waiting} {
				if err := k.farewell("* BYE ", drain/2); err != nil {
					t.Errorf("%s, when it was done: %v", what, err)
				}
			}
			delivery.say("QUIT", "221")
			if err := pop.farewell("-ERR ", drain); err != nil {
				t.Errorf("POP3: %v", err)
			}
			a := succeeded(t, stop)
			within(t, "stopped", a.took, 5*time.Second, drain+3*time.Second)
			dismissed(t, a, 10, 9, 0)
			bare(t, n)

			r.start(t, n)
			for user, want := range map[string][]string{"u1": {"first", "first"}, "u2": {"first"}, "u3": {"delivered"}} {
				if got := subjects(t, client, user, "INBOX"); !slices.Equal(got, want) {
					t.Errorf("%s has %q, want %q", user, got, want)
				}
			}
			r.stop(t, n)
		})
	}
}

// What is left at the end of the drain is told, also through TLS, and cut; nothing
// of it is half done.
func TestStoreDrainWithoutTime(t *testing.T) {
	p := newStore(t, lab.Config{Disk: true})
	n, client := p.node, p.Client()
	r := store("drain_timeout", "0")
	r.start(t, n)
	plain, encrypted := idling(t, client, "143", "u1"), idling(t, client, "993", "u1")
	pop := pop3Session(t, client, "995", "u2")
	upload := imapSession(t, client, "993", "u3")
	upload.write("c APPEND INBOX {1000+}\nSubject: half\n\n")
	delivery := lmtpUntilData(t, client, "u3", "half")
	a := r.stop(t, n)
	within(t, "stopped", a.took, 0, 3*time.Second)
	for what, k := range map[string]*talk{"IMAP": plain, "IMAP with TLS": encrypted, "upload with TLS": upload} {
		if err := k.farewell("* BYE ", patience); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := pop.farewell("-ERR ", patience); err != nil {
		t.Errorf("POP3 with TLS: %v", err)
	}
	if err := delivery.farewell("421 ", patience); err != nil {
		t.Errorf("LMTP: %v", err)
	}
	bare(t, n)
	// Cut sessions are no unclean end.
	if a := r.start(t, n); !strings.Contains(a.log, "ended cleanly") {
		t.Errorf("after a stop that cut sessions: %s", a)
	}
	if got := subjects(t, client, "u3", "INBOX"); len(got) > 0 {
		t.Errorf("half a message: %q", got)
	}
	r.stop(t, n)
}

// The MTA on the same node is a client like any other: its deliveries are waited for,
// by TCP and by unix socket, and new ones do not begin.
func TestStoreDrainOfLocalDeliveries(t *testing.T) {
	p := newStore(t, lab.Config{})
	n := p.node
	const drain = 10 * time.Second
	r := localStore("drain_timeout", drain.String())
	r.start(t, n)
	// Delivers as told: how, to whom, and a file that has it finish. It says what it
	// is told in the end.
	run(t, n, `cat >/usr/local/bin/deliverer <<'EOS'
#!/usr/bin/python3
import os, socket, sys, time
where, user, go = sys.argv[1:]
if where.startswith("/"):
    s = socket.socket(socket.AF_UNIX)
    s.connect(where)
else:
    s = socket.create_connection((where, 24))
f = s.makefile("rw", newline="\r\n")
f.readline()
def say(line):
    f.write(line + "\n"); f.flush()
    while True:
        answer = f.readline()
        if answer[3:4] != "-":
            return answer.strip()
say("LHLO node1"); say("MAIL FROM:<>"); say("RCPT TO:<" + user + "@example.test>"); say("DATA")
f.write("Subject: " + where + "\n\nfirst half\n"); f.flush()
print("begun", flush=True)
while not os.path.exists(go):
    time.sleep(0.02)
print(say("second half\n."), flush=True)
print(say("QUIT"), flush=True)
EOS
chmod 755 /usr/local/bin/deliverer`)
	// Deliveries that make the same mailbox at the same time get into each other's way.
	if got := subjects(t, p.Client(), "u1", "INBOX"); len(got) > 0 {
		t.Fatalf("u1 has %q", got)
	}
	ways := []string{vip4, "127.0.0.1", "/run/dovecot-mail/lmtp"}
	for i, way := range ways {
		run(t, n, "deliverer "+way+" u1 /root/go >/root/said"+itoa(i)+" 2>&1 </dev/null & until grep -q begun /root/said"+itoa(i)+"; do sleep 0.02; done")
	}
	stop := r.background(t, n, "stop", call{})
	shutPort(t, p, "143")
	for _, way := range ways {
		await(t, patience, "new deliveries by "+way+" to be refused", func() bool {
			res, err := n.Exec(t.Context(), "timeout", "2", "deliverer", way, "u2", "/")
			return err == nil && res.ExitCode == 1 && !strings.Contains(res.Stdout, "begun")
		})
	}
	run(t, n, "sleep 2; touch /root/go")
	a := succeeded(t, stop)
	within(t, "stopped", a.took, 2*time.Second, drain)
	if !strings.Contains(a.log, " left=0 ") {
		t.Errorf("work was left: %s", a)
	}
	for i, way := range ways {
		if said := run(t, n, "cat /root/said"+itoa(i)); !strings.Contains(said, "250 2.0.0") || !strings.Contains(said, "221") {
			t.Errorf("by %s: %q", way, said)
		}
	}
	bare(t, n)
	r.start(t, n)
	got := subjects(t, p.Client(), "u1", "INBOX")
	slices.Sort(got)
	if want := []string{ways[2], vip4, "127.0.0.1"}; !slices.Equal(got, want) {
		t.Errorf("delivered %q, want %q", got, want)
	}
	// The ways in are open again.
	for i, way := range ways {
		run(t, n, "deliverer "+way+" u2 / >/root/again"+itoa(i)+"; grep -q 2.0.0 /root/again"+itoa(i))
	}
	r.stop(t, n)
	bare(t, n)
}

// Login processes that serve many clients: whoever comes from where nobody is busy
// is parted from.
func TestStoreDrainOfCrowds(t *testing.T) {
	p := newStore(t, lab.Config{})
	n, client := p.node, p.Client()
	run(t, n, `printf 'service imap-login {\n service_count = 0\n process_min_avail = 1\n}\n' >>`+storeConfig+`/dovecot.conf`)
	other, err := p.AddHost(t.Context(), "other", hostAddr)
	if err != nil {
		t.Fatal(err)
	}
	const drain = 8 * time.Second
	r := localStore("drain_timeout", drain.String())
	r.start(t, n)
	var crowd []*talk
	for range 7 {
		crowd = append(crowd, idling(t, client, "993", "u1"))
	}
	busy := imapSession(t, other, "993", "u2")
	time.Sleep(50 * time.Millisecond) // the kernel's clock must see who spoke last
	busy.write("c APPEND INBOX {1000+}\nSubject: half\n\n")
	beside := idling(t, other, "993", "u2") // nothing tells the two apart
	if got := pids(t, n, "imap-login"); len(got) != 1 {
		t.Fatalf("login processes %q", got)
	}
	began := time.Now()
	stop := r.background(t, n, "stop", call{})
	for i, k := range crowd {
		if err := k.farewell("* BYE ", drain-time.Second); err != nil {
			t.Errorf("%d of the crowd: %v", i, err)
		}
	}
	within(t, "the crowd was gone", time.Since(began), 0, drain-time.Second)
	a := succeeded(t, stop)
	within(t, "stopped", a.took, drain-time.Second, drain+3*time.Second)
	dismissed(t, a, 9, 7, 2)
	for what, k := range map[string]*talk{"the busy one": busy, "the one beside it": beside} {
		if err := k.farewell("* BYE ", patience); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	bare(t, n)
}
