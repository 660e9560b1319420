// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"bufio"
	"context"
	"slices"
	"strings"
	"testing"
)

const (
	imapReady = "* OK ready"
	imapCaps  = "* CAPABILITY IMAP4rev1 UIDPLUS SASL-IR\nTAG OK done"
)

func TestIMAP(t *testing.T) {
	const secret = "tru\"st no1"
	mailbox := func(more ...string) []string {
		return append([]string{imapReady, imapCaps, "TAG OK welcome"}, more...)
	}
	for _, d := range []dialogue{
		{"all is well", None, mailbox("* 2 EXISTS\n* OK [UIDVALIDITY 7] x\nTAG OK [READ-WRITE] done", "* SEARCH 4 17\n* 3 EXISTS\nTAG OK done",
			"* 1 FETCH (UID 4 BODY[] {7}\nab}{9}\n)\nTAG OK done", "* 1 FETCH (FLAGS ())\nTAG OK", "* 1 EXPUNGE\nTAG OK done", "* BYE bye\nTAG OK done"), ""},
		{"without an initial response", None, []string{imapReady, "* CAPABILITY IMAP4rev2\nTAG OK", "+ ", "m2 NO [AUTHENTICATIONFAILED] no"}, "AUTHENTICATE: \"NO [AUTHENTICATIONFAILED] no\""},
		{"does not want the initial response", None, []string{imapReady, "* CAPABILITY IMAP4rev2\nTAG OK", "TAG BAD what?"}, "AUTHENTICATE"},
		{"no such mechanism", None, []string{imapReady, imapCaps, "TAG NO [CANNOT] no"}, "AUTHENTICATE: \"NO [CANNOT] no\""},
		{"shuts down", None, []string{"* BYE too busy"}, "greeting: \"* BYE too busy\""},
		{"shuts down later", None, []string{imapReady, "* BYE shutting down" + hangUp}, "BYE shutting down"},
		{"speaks SMTP", None, []string{"220 mx"}, "greeting"},
		{"cannot do anything", None, []string{imapReady, "* CAPABILITY FOO\nTAG OK"}, "neither IMAP4rev1"},
		{"hangs", None, []string{imapReady, silence}, "no answer to CAPABILITY in time"},
		{"read-only", None, mailbox("TAG OK [READ-ONLY] done"), "SELECT: \"OK [READ-ONLY] done\""},
		{"index broken", None, mailbox("TAG NO [SERVERBUG] internal error"), "SELECT: \"NO [SERVERBUG]"},
		{"nonsense for numbers", None, mailbox("TAG OK", "* SEARCH 4 x\nTAG OK"), "\"x\" among"},
		{"a message without a text", None, mailbox("TAG OK", "* SEARCH 4\nTAG OK", "TAG OK"), "no text of message 4"},
		{"a literal without an end", None, mailbox("TAG OK", "* SEARCH 4\nTAG OK", "* 1 FETCH (BODY[] {2147483647}\nx"), "more than 1048576 bytes"},
		{"talks on and on", None, []string{imapReady, strings.Repeat("* NO x\n", 1001)}, "more than 1000 responses"},
	} {
		d.run(t, func(ctx context.Context, target Target) error {
			m, err := DialIMAP(ctx, target)
			if err != nil {
				return err
			}
			defer m.Close()
			err = read(t, m, secret)
			if err != nil && (strings.Contains(err.Error(), "no1") || strings.Contains(err.Error(), "AHRydQ")) {
				t.Errorf("a password is shown: %v", err)
			}
			return err
		})
	}
}

func read(t *testing.T, m *IMAP, secret string) error {
	if err := m.Login("check", secret, ""); err != nil {
		return err
	}
	if err := m.Select("INBOX"); err != nil {
		return err
	}
	uids, err := m.Search("X-Check", "a b")
	if err != nil {
		return err
	}
	text, err := m.Fetch(uids[0])
	if err != nil {
		return err
	}
	if !slices.Equal(uids, []uint32{4, 17}) || string(text) != "ab}{9}\r" { // the double's lines have one byte more
		t.Errorf("found %v, read %q", uids, text)
	}
	if err := m.Delete(uids); err != nil {
		return err
	}
	if err := m.Delete(nil); err != nil {
		return err
	}
	return m.Logout()
}

func TestIMAPWithTLS(t *testing.T) {
	for _, d := range []dialogue{
		{"STARTTLS", StartTLS, []string{imapReady, "TAG OK go on" + start, imapCaps, "* BYE\nTAG OK"}, ""},
		{"refused", StartTLS, []string{imapReady, "TAG BAD no"}, "STARTTLS"},
		{"something was slipped in", StartTLS, []string{imapReady, "TAG OK go on\n* CAPABILITY IMAP4rev1" + start}, "came before it"},
		{"from the first byte", Implicit, []string{start, imapReady, imapCaps, "* BYE\nTAG OK"}, ""},
	} {
		d.run(t, func(ctx context.Context, target Target) error {
			certs, err := Greet(ctx, "imap", target)
			if err == nil && len(certs) != 1 {
				t.Errorf("certificates %v", certs)
			}
			return err
		})
	}
}

func TestPOP3(t *testing.T) {
	const capa = "+OK\nUIDL\n."
	for _, d := range []dialogue{
		{"all is well", None, []string{"+OK ready", capa, "+OK bye"}, ""},
		{"shuts down", None, []string{"-ERR shutting down"}, "greeting: \"-ERR shutting down\""},
		{"refuses", None, []string{"+OK", "-ERR what?"}, "CAPA: \"-ERR what?\""},
		{"talks on and on", None, []string{"+OK", "+OK" + strings.Repeat("\nX", 200)}, "more than 100 lines"},
		{"speaks another protocol", None, []string{"+OKAY"}, "greeting"},
		{"STLS", StartTLS, []string{"+OK", "+OK" + start, capa, "+OK"}, ""},
		{"no STLS", StartTLS, []string{"+OK", "-ERR no"}, "STLS"},
		{"from the first byte", Implicit, []string{start, "+OK", capa, "+OK"}, ""},
	} {
		d.run(t, func(ctx context.Context, target Target) error {
			_, err := Greet(ctx, "pop3", target)
			return err
		})
	}
}

func TestGreetUnknownProtocol(t *testing.T) {
	if _, err := Greet(t.Context(), "sieve", serve(t, `"IMPLEMENTATION" "x"`)); err != nil {
		t.Error(err)
	}
}

func TestQuoted(t *testing.T) {
	for s, want := range map[string]string{"": `""`, "INBOX": `"INBOX"`, `a"b\c`: `"a\"b\\c"`, "a\r\nb": "", "ä": "", "\x00": ""} {
		got, err := quoted(s)
		if (err != nil) != (want == "") || err == nil && got != want {
			t.Errorf("quoted(%q) = %q, %v", s, got, err)
		}
	}
}

// FuzzResponse reads whatever a server may say.
func FuzzResponse(f *testing.F) {
	f.Add("* 1 FETCH (BODY[] {3}\r\nabc)\r\n")
	f.Add("* SEARCH 1 2 3\r\n")
	f.Add("* {99999999999}\r\n{}\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		m := &IMAP{conn: &conn{r: bufio.NewReaderSize(strings.NewReader(text), longestLine)}}
		r, err := m.response()
		if err != nil {
			return
		}
		size := len(r.text)
		for _, l := range r.literals {
			size += len(l)
		}
		if size > len(text) {
			t.Errorf("%q: %+v", text, r)
		}
		if rest, ok := r.untagged("SEARCH"); ok {
			if list, err := numbers(rest); err == nil && slices.Contains(list, 0) {
				t.Errorf("%q: %v", text, list)
			}
		}
	})
}
