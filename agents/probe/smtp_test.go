// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"context"
	"strings"
	"testing"
)

const ehlo = "250-mx.example.test\n250 SIZE"

func TestSMTP(t *testing.T) {
	for _, d := range []dialogue{
		{"all is well", None, []string{"220 mx.example.test ESMTP", ehlo, "250 ok", "250 ok", "250 ok", "250 ok", "354 go on", "250 2.0.0 Ok: queued as 4ABCDEF", "221 bye"}, ""},
		{"greets in several lines", None, []string{"220-mx.example.test ESMTP\n220 welcome", ehlo, "250 ok", "250 ok", "250 ok", "250 ok", "354 go on", "250 2.0.0 Ok: queued as 4ABCDEF", "221 bye"}, ""},
		{"does not want to", None, []string{"421 4.3.2 too busy"}, "greeting: 421 4.3.2"},
		{"speaks another protocol", None, []string{"* OK IMAP4 ready"}, "greeting"},
		{"greets without a name", None, []string{"220 <script>"}, "is no host name"},
		{"hangs up", None, []string{hangUp}, "greeting: EOF"},
		{"says nothing", None, []string{silence}, "no answer to greeting in time"},
		{"never ends its greeting", None, []string{"220-" + strings.Repeat("x\n220-", 200)}, "more than"},
		{"never ends a line", None, []string{strings.Repeat("x", longestLine+1)}, "a line of more than"},
		{"changes its mind", None, []string{"220-mx.example.test\n421 no"}, "421 within a reply of 220"},
		{"refuses EHLO", None, []string{"220 mx.example.test", "502 no"}, "EHLO: 502"},
		{"has no room", None, []string{"220 mx.example.test", ehlo, "452 4.3.1 no space"}, "MAIL: 452"},
		{"does not like the test's sender", None, []string{"220 mx.example.test", ehlo, "550 no", "250 ok", "250 ok", "554 5.7.1 no relay"}, "RCPT: 554"},
		{"refuses the recipient", None, []string{"220 mx.example.test", ehlo, "250 ok", "250 ok", "250 ok", "554 5.7.1 no relay"}, "RCPT: 554"},
		{"takes the message without a queue ID", None, []string{"220 mx.example.test", ehlo, "250 ok", "250 ok", "250 ok", "250 ok", "354 go on", "250 fine"}, "no queue ID"},
		{"gives an ID that is a path", None, []string{"220 mx.example.test", ehlo, "250 ok", "250 ok", "250 ok", "250 ok", "354 go on", "250 queued as ../../etc"}, "no queue ID"},
		{"refuses the message", None, []string{"220 mx.example.test", ehlo, "250 ok", "250 ok", "250 ok", "250 ok", "354 go on", "452 4.3.1 no space"}, "end of DATA: 452"},
	} {
		d.run(t, func(ctx context.Context, target Target) error {
			c, err := DialSMTP(ctx, target)
			if err != nil {
				return err
			}
			defer c.Close()
			if !c.Offers("size") || c.Offers("STARTTLS") || c.Offers("SIZ") {
				t.Errorf("offers %q", c.offers)
			}
			if err := c.TakesMail(); err != nil {
				return err
			}
			m, err := c.Submit("double-bounce@"+c.Greeter, afterQueued)
			if err != nil {
				return err
			}
			if m.QueueID != "4ABCDEF" || m.ID == "" {
				t.Errorf("submitted %+v", m)
			}
			return c.Quit()
		})
	}
}

func TestSMTPWithTLS(t *testing.T) {
	const offer = "250-mx.example.test\n250 StartTLS"
	for _, d := range []dialogue{
		{"STARTTLS", StartTLS, []string{"220 mx.example.test", offer, "220 go on" + start, ehlo, "221 bye"}, ""},
		{"not offered", StartTLS, []string{"220 mx.example.test", ehlo}, "STARTTLS: is not offered"},
		{"offered, but refused", StartTLS, []string{"220 mx.example.test", offer, "454 not now"}, "STARTTLS: 454"},
		{"agreed, but not held", StartTLS, []string{"220 mx.example.test", offer, "220 go on", "220 what?"}, "TLS handshake"},
		{"something was slipped in", StartTLS, []string{"220 mx.example.test", offer, "220 go on\n250 evil" + start}, "came before it"},
		{"from the first byte", Implicit, []string{start, "220 mx.example.test", ehlo, "221 bye"}, ""},
		{"not from the first byte", Implicit, []string{"220 mx.example.test"}, "TLS handshake"},
	} {
		d.run(t, func(ctx context.Context, target Target) error {
			certs, err := Greet(ctx, "smtp", target)
			if err == nil && (len(certs) != 1 || certs[0].Subject.CommonName != "store.example.test") {
				t.Errorf("certificates %v", certs)
			}
			return err
		})
	}
}

func TestSubmitRefusesWhatIsNoAddress(t *testing.T) {
	s := &SMTP{replies: replies{conn: &conn{}}}
	for _, to := range []string{"", "a@b>\r\nRCPT TO:<c@d", "a b@c", "<a@b>"} {
		if _, err := s.Submit(to, afterQueued); err == nil {
			t.Errorf("took %q", to)
		}
	}
}

func TestLMTP(t *testing.T) {
	for _, d := range []dialogue{
		{"all is well", None, []string{"220 store", "250-store\n250 PIPELINING", "250 ok", "250 ok", "354 go on", "250 2.0.0 saved", "221 bye"}, ""},
		{"user unknown", None, []string{"220 store", "250 store", "250 ok", "550 5.1.1 who?"}, "RCPT: 550"},
		{"disk full", None, []string{"220 store", "250 store", "250 ok", "250 ok", "354 go on", "452 4.2.2 full"}, "end of DATA: 452"},
		{"speaks SMTP", None, []string{"220 mx", "502 use EHLO"}, "LHLO: 502"},
		{"shuts down", None, []string{"421 4.3.2 shutting down"}, "greeting: 421"},
		{"hangs", None, []string{"220 store", "250 store", silence}, "no answer to MAIL in time"},
	} {
		d.run(t, func(ctx context.Context, target Target) error {
			l, err := DialLMTP(ctx, target)
			if err != nil {
				return err
			}
			defer l.Close()
			if err := l.Deliver("check", "Subject: x\r\n\r\n.\r\n"); err != nil {
				return err
			}
			return l.Quit()
		})
	}
}

func TestDotted(t *testing.T) {
	for message, want := range map[string]string{
		"":                 "",
		"a":                "a\r\n",
		"a\r\n":            "a\r\n",
		".":                "..\r\n",
		"a\r\n.\r\nb\r\n":  "a\r\n..\r\nb\r\n",
		"a\r\n..b":         "a\r\n...b\r\n",
		"\r\n.\r\n.\r\n":   "\r\n..\r\n..\r\n",
		"a\r\n\r\n.end.\r": "a\r\n\r\n..end.\r\r\n",
	} {
		if got := dotted(message); got != want {
			t.Errorf("dotted(%q) = %q, want %q", message, got, want)
		}
	}
}

// afterQueued is how one server puts it.
func afterQueued(reply string) string {
	_, id, _ := strings.Cut(reply, "queued as ")
	if strings.Contains(id, "/") {
		return ""
	}
	return id
}

func FuzzParseReply(f *testing.F) {
	f.Add("220-mx.example.test")
	f.Add("250")
	f.Fuzz(func(t *testing.T, line string) {
		code, text, _, err := parseReply(line)
		if err == nil && (code < 0 || code > 999 || !strings.HasSuffix(line, text)) {
			t.Errorf("%q: %d, %q", line, code, text)
		}
	})
}
