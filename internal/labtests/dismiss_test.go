// SPDX-License-Identifier: Apache-2.0

package labtests

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mailha/mailha/internal/lab"
)

// offerTLS gives the MTA a certificate of its own making.
func offerTLS(t testing.TB, n *lab.Node, days int) {
	t.Helper()
	run(t, n, fmt.Sprintf(`cd %s
		openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days %d -subj /CN=mx.example.test 2>/dev/null
		postconf -c . -e smtpd_tls_security_level=may smtpd_tls_cert_file=$PWD/cert.pem smtpd_tls_key_file=$PWD/key.pem`, configDir, days))
}

// encrypt goes on in TLS.
func (s *session) encrypt() *session {
	s.t.Helper()
	s.say("STARTTLS", 220)
	conn := tls.Client(s.conn, &tls.Config{InsecureSkipVerify: true})
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		s.t.Fatal(err)
	}
	if err := conn.Handshake(); err != nil {
		s.t.Fatal(err)
	}
	e := newSession(s.t, conn)
	e.say("EHLO client.test", 250)
	return e
}

// rest reads what the server says until it hangs up.
func (s *session) rest(within time.Duration) (string, error) {
	if err := s.conn.SetReadDeadline(time.Now().Add(within)); err != nil {
		return "", err
	}
	text, err := io.ReadAll(s.text.R)
	if errors.Is(err, io.ErrUnexpectedEOF) { // of TLS, which nobody has ended
		err = nil
	}
	return string(text), err
}

const goodbye = "421 4.3.2 mx.example.test Service closing, try again\r\n"

// dismissed says how a drain parted from its clients, by its own count.
func dismissed(t testing.TB, a answer, sessions, dismissed, cut int) {
	t.Helper()
	if want := fmt.Sprintf("sessions=%d dismissed=%d cut=%d ", sessions, dismissed, cut); !strings.Contains(a.log, want) {
		t.Errorf("want %q: %s", want, a)
	}
}

// A client that idles is told to try again; one that is slow in the middle of a
// message is left alone.
func TestDismiss(t *testing.T) {
	p := newPlace(t, lab.Config{})
	n, client := p.node, p.Client()
	sink := startSink(t, p, 0)
	offerTLS(t, n, 30)
	r := mta("drain_timeout", "12s")
	r.start(t, n)

	greeted, err := dial(client, vip4+":25", patience)
	if err != nil {
		t.Fatal(err)
	}
	defer greeted.Close()
	silent := newSession(t, greeted)
	silent.hear(220)
	idle := map[string]*session{
		"after the greeting": silent,
		"after EHLO":         connect(t, client, vip4),
		"after EHLO, IPv6":   connect(t, client, vip6),
		"after a message":    connect(t, client, vip4),
		"after MAIL":         connect(t, client, vip4),
		"after RSET":         connect(t, client, vip4),
		"in TLS":             connect(t, client, vip4).encrypt(),
		"about to begin TLS": connect(t, client, vip4),
	}
	slow := map[string]*session{ // named after their recipients
		"rcpt": connect(t, client, vip4),
		"data": connect(t, client, vip4),
		"body": connect(t, client, vip4),
		"tls":  connect(t, client, vip4).encrypt(),
	}
	for _, s := range slow {
		s.say("MAIL FROM:<sender@client.test>", 250)
	}
	for name, s := range slow {
		s.say("RCPT TO:<"+name+"@example.test>", 250)
	}
	for name, s := range slow {
		if name != "rcpt" {
			s.say("DATA", 354)
		}
	}
	slow["body"].write("Subject: test\n\nFirst half.\n")
	idle["after a message"].begin("message@example.test")
	idle["after a message"].finish()
	idle["after MAIL"].say("MAIL FROM:<sender@client.test>", 250)
	idle["after RSET"].say("MAIL FROM:<sender@client.test>", 250)
	idle["after RSET"].say("RCPT TO:<nobody@example.test>", 250)
	idle["after RSET"].say("RSET", 250)
	idle["about to begin TLS"].say("STARTTLS", 220)

	stopped := time.Now()
	stop := r.background(t, n, "stop", call{})
	var all sync.WaitGroup
	for name, s := range idle {
		all.Go(func() {
			said, err := s.rest(10 * time.Second)
			want := goodbye
			if strings.Contains(name, "TLS") {
				want = ""
			}
			const soon = 5 * time.Second
			if took := time.Since(stopped); err != nil || said != want || took > soon {
				t.Errorf("%s: after %s, heard %q (%v), want %q", name, took, said, err, want)
			}
		})
	}
	pause := time.NewTimer(4 * time.Second)
	<-pause.C
	slow["rcpt"].say("DATA", 354)
	for _, s := range slow {
		s.finish()
		s.say("QUIT", 221)
	}
	all.Wait()
	dismissed(t, succeeded(t, stop), len(idle)+len(slow), len(idle), 0)
	bare(t, n)

	r.start(t, n)
	empty(t, n)
	for _, name := range []string{"message", "rcpt", "data", "body", "tls"} {
		if got := sink.copies()[name+"@example.test"]; got != 1 {
			t.Errorf("%d copies of the mail to %s", got, name)
		}
	}
	r.stop(t, n)
}

// Clients do not all come back at once, and who never ends is cut in the end.
func TestDismissInBatches(t *testing.T) {
	p := newPlace(t, lab.Config{})
	n, client := p.node, p.Client()
	r := mta("drain_timeout", "12s")
	run(t, n, "postconf -c "+configDir+" -e default_process_limit=200")
	r.start(t, n)
	const many = 100
	var idle []*session
	for range many {
		idle = append(idle, connect(t, client, vip4))
	}
	stuck := connect(t, client, vip4) // longer idle than any of the next ones: it must not be in their way
	stuck.say("MAIL FROM:<sender@client.test>", 250)
	stuck.say("RCPT TO:<unfinished@example.test>", 250)

	stop := r.background(t, n, "stop", call{})
	ended := make([]time.Duration, many)
	began := time.Now()
	var all sync.WaitGroup
	for i, s := range idle {
		all.Go(func() {
			said, err := s.rest(15 * time.Second)
			ended[i] = time.Since(began)
			if err != nil || said != goodbye {
				t.Errorf("heard %q (%v)", said, err)
			}
		})
	}
	all.Wait()
	if err := stuck.cut(15 * time.Second); err != nil {
		t.Errorf("the session within a message lives on: %v", err)
	}
	dismissed(t, succeeded(t, stop), many+1, many, 1)
	slices.Sort(ended)
	// Any run of clients takes as long as its batches are apart, but for one that came late.
	const batch, apart, late = 5, 250 * time.Millisecond, 600 * time.Millisecond
	for i := range ended {
		for j := i + batch; j < many; j += batch {
			if span, least := ended[j]-ended[i], time.Duration((j-i)/batch)*apart-late; span < least {
				t.Fatalf("%d clients were sent away within %s, want %s at least", j-i+1, span, least)
			}
		}
	}
	t.Logf("from %s to %s after the stop began", ended[0], ended[many-1])
	bare(t, n)
}

// Behind a filter that takes each message at once, smtpd has no message of its
// own that would show that it is within a transaction.
func TestDismissBeforeQueueFilter(t *testing.T) {
	p := newPlace(t, lab.Config{})
	n, client := p.node, p.Client()
	sink := startSink(t, p, 0)
	run(t, n, "postconf -c "+configDir+" -P 'smtp/inet/smtpd_proxy_filter=["+sinkAddr+"]:25'")
	r := mta("drain_timeout", "8s")
	r.start(t, n)
	idle, slow := connect(t, client, vip4), connect(t, client, vip4)
	idle.begin("idle@example.test")
	idle.finish()
	slow.say("MAIL FROM:<sender@client.test>", 250)
	slow.say("RCPT TO:<slow@example.test>", 250)
	stop := r.background(t, n, "stop", call{})
	if said, err := idle.rest(patience); err != nil || said != goodbye {
		t.Errorf("heard %q (%v)", said, err)
	}
	pause := time.NewTimer(time.Second) // for several batches
	<-pause.C
	slow.say("DATA", 354)
	slow.write("Subject: test\n\nFirst half.\n")
	slow.finish()
	slow.say("QUIT", 221)
	dismissed(t, succeeded(t, stop), 2, 1, 0)
	bare(t, n)
	if got := sink.copies(); got["slow@example.test"] != 1 || got["idle@example.test"] != 1 {
		t.Errorf("the filter has got %v", got)
	}
}

// Where the kernel lets nobody speak for another process, sessions end with the
// drain, and the log says why once.
func TestDismissRefused(t *testing.T) {
	p := newPlace(t, lab.Config{})
	n := p.node
	r := mta("drain_timeout", "4s")
	r.start(t, n)
	idle := connect(t, p.Client(), vip4)
	a := r.must(t, n, "stop", call{under: []string{"systemd-run", "--quiet", "--pipe", "--wait",
		"--property=SystemCallFilter=~pidfd_getfd", "--property=SystemCallErrorNumber=EPERM"}}, success)
	if said, err := idle.rest(patience); err != nil || said != "" {
		t.Errorf("heard %q (%v)", said, err)
	}
	dismissed(t, a, 1, 0, 1)
	if got := strings.Count(a.log, "pidfd_getfd"); got != 1 {
		t.Errorf("said %d times: %s", got, a)
	}
	bare(t, n)
}
