// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/mailha/mailha/internal/traffic/ledger"
	"github.com/mailha/mailha/internal/traffic/letter"
	"github.com/mailha/mailha/internal/traffic/smtp"
)

func TestParseCommand(t *testing.T) {
	for _, tt := range []struct {
		line string
		want any // command or refusal
	}{
		{"EHLO client.test", command{verb: "EHLO"}},
		{"ehlo a", command{verb: "EHLO"}},
		{"HELO [192.0.2.1]", command{verb: "HELO"}},
		{"EHLO [IPv6:2001:db8::1]", command{verb: "EHLO"}},
		{"EHLO [2001:db8::1]", badArgument},
		{"EHLO [IPv6:192.0.2.1]", badArgument},
		{"EHLO [IPv6:fe80::1%eth0]", badArgument},
		{"EHLO", badArgument},
		{"EHLO a b", badArgument},
		{"EHLO a..b", badArgument},
		{"EHLO -a", badArgument},
		{"MAIL FROM:<a@b.test>", command{verb: "MAIL", mailbox: "a@b.test"}},
		{"mail from:<a@b.test>  ", command{verb: "MAIL", mailbox: "a@b.test"}},
		{"MAIL FROM:<>", command{verb: "MAIL"}},
		{"MAIL FROM:<a@b> SIZE=10 BODY=8bitmime", command{verb: "MAIL", mailbox: "a@b", params: true, size: 10}},
		{"MAIL FROM:<a@b> SIZE=99999999999999999999", badArgument},
		{"MAIL FROM:<a@b> SIZE=-1", badArgument},
		{"MAIL FROM:<a@b> SIZE", badArgument},
		{"MAIL FROM:<a@b> SIZE=1 SIZE=1", badArgument},
		{"MAIL FROM:<a@b> BODY=BINARYMIME", badArgument},
		{"MAIL FROM:<a@b> SMTPUTF8", badParameter},
		{"MAIL FROM:<a@b>  SIZE=1", badParameter},
		{"MAIL FROM: <a@b>", badPath},
		{"MAIL FROM:a@b", badPath},
		{"MAIL FROM:<a@b", badPath},
		{"MAIL FROM:<a@b>SIZE=1", badPath},
		{"MAIL FROM:<@x:a@b>", badPath},
		{"MAIL FROM:<postmaster>", badPath},
		{"MAIL <a@b>", badPath},
		{"MAIL", badPath},
		{"RCPT TO:<postMaster>", command{verb: "RCPT", mailbox: "postMaster"}},
		{"RCPT TO:<>", badPath},
		{"RCPT TO:<a>", badPath},
		{"RCPT TO:<@b>", badPath},
		{"RCPT TO:<a@>", badPath},
		{"RCPT TO:<a@b@c>", badPath},
		{"RCPT TO:<.a@b>", badPath},
		{"RCPT TO:<a.@b>", badPath},
		{"RCPT TO:<a..a@b>", badPath},
		{"RCPT TO:<a b@c>", badPath},
		{`RCPT TO:<"a>@\" b"@c.test>`, command{verb: "RCPT", mailbox: `"a>@\" b"@c.test`}},
		{`RCPT TO:<"a@c.test>`, badPath},
		{`RCPT TO:<"a\`, badPath},
		{"RCPT TO:<a+b=c@[192.0.2.1]>", command{verb: "RCPT", mailbox: "a+b=c@[192.0.2.1]"}},
		{"RCPT TO:<" + strings.Repeat("a", 64) + "@b>", command{verb: "RCPT", mailbox: strings.Repeat("a", 64) + "@b"}},
		{"RCPT TO:<" + strings.Repeat("a", 65) + "@b>", badPath},
		{"RCPT TO:<a@" + strings.Repeat("b.", 130) + "c>", badPath},
		{"RCPT TO:<a@b> NOTIFY=NEVER", badParameter},
		{"DATA", command{verb: "DATA"}},
		{"DATA now", badArgument},
		{"RSET 1", badArgument},
		{"QUIT ", command{verb: "QUIT"}},
		{"NOOP whatever", command{verb: "NOOP"}},
		{"VRFY", badArgument},
		{"VRFY a", command{verb: "VRFY"}},
		{"", badSyntax},
		{" EHLO a", badSyntax},
		{"STARTTLS", badSyntax},
		{"EHLO\ta", badSyntax},
		{"MAIL FROM:<\xc3\xa4@b>", badSyntax},
		{"NOOP \x00", badSyntax},
	} {
		got, err := parseCommand(tt.line)
		switch want := tt.want.(type) {
		case command:
			if err != nil || got != want {
				t.Errorf("%q: %+v, %v; want %+v", tt.line, got, err, want)
			}
		case refusal:
			if !errors.Is(err, want) {
				t.Errorf("%q: %+v, %v; want %v", tt.line, got, err, want)
			}
		}
	}
}

func FuzzParseCommand(f *testing.F) {
	for _, s := range []string{
		"EHLO client.test", "HELO [IPv6:::1]", "MAIL FROM:<a@b.test> SIZE=1 BODY=8BITMIME", `RCPT TO:<"a\"b"@c>`,
		"RCPT TO:<postmaster>", "DATA", "NOOP x", "MAIL FROM:<>", "RCPT TO:<@a:b@c>", "\r\n", "MAIL FROM:<a@[1.2.3.4]>",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		c, err := parseCommand(line)
		if err != nil {
			bad, ok := errors.AsType[refusal](err)
			if _, rerr := smtp.ReadReply(bufio.NewReader(strings.NewReader(string(bad) + "\r\n"))); !ok || rerr != nil {
				t.Errorf("error %v is no reply: %v", err, rerr)
			}
			return
		}
		if strings.ContainsAny(line, "\r\n\x00") {
			t.Errorf("accepted a control character in %q", line)
		}
		var again string
		switch c.verb {
		case "MAIL":
			again = "MAIL FROM:<" + c.mailbox + ">"
		case "RCPT":
			again = "RCPT TO:<" + c.mailbox + ">"
		default:
			return
		}
		back, err := parseCommand(again)
		if err != nil || back.mailbox != c.mailbox {
			t.Errorf("%q gave mailbox %q, which gives %q, %v", line, c.mailbox, back.mailbox, err)
		}
	})
}

// receiveAll gives what the sink makes of input after its 354, and what it leaves of it.
func receiveAll(t *testing.T, input []byte) (ledger.Arrival, []byte, error) {
	t.Helper()
	conn, other := net.Pipe()
	defer conn.Close()
	defer other.Close()
	s := &sinkSession{conn: conn}
	s.lines.Reader = bufio.NewReader(bytes.NewReader(input))
	rec, err := s.receive(t.Context())
	rest, _ := io.ReadAll(s.lines.Reader)
	return rec, rest, err
}

func TestReceive(t *testing.T) {
	tooLong, lineEnd := refusal("554 5.6.0 Line longer than 998 octets"), refusal("554 5.6.0 Line end other than CRLF")
	longest := strings.Repeat("x", letter.MaxTextLine)
	for _, tt := range []struct {
		name, in, id, body, rest string
		err                      error
	}{
		{name: "empty", in: ".\r\n"},
		{name: "header only", in: "X-Mailha-Test-Id: r/1\r\n.\r\n", id: "r/1"},
		{name: "stuffed", in: "a: b\r\n\r\n..\r\n...x\r\n.y\r\n\r\n.\r\nQUIT\r\n", body: ".\r\n..x\r\ny\r\n\r\n", rest: "QUIT\r\n"},
		{name: "id in the body is none", in: "a: b\r\n\r\nX-Mailha-Test-Id: r/1\r\n.\r\n", body: "X-Mailha-Test-Id: r/1\r\n"},
		{name: "first id counts", in: "x-mailha-test-id:r/1\r\nX-Mailha-Test-Id: r/2\r\n.\r\n", id: "r/1"},
		{name: "malformed id", in: "X-Mailha-Test-Id: r 1/1\r\nX-Mailha-Test-Id: r/01\r\n.\r\n"},
		{name: "lone dot after bare LF does not end it", in: "\r\na\n.\r\nRSET\r\n.\r\nQUIT\r\n", rest: "QUIT\r\n", err: lineEnd},
		{name: "dot with bare LF does not end it", in: "\r\n.\nRSET\r\n.\r\nQUIT\r\n", rest: "QUIT\r\n", err: lineEnd},
		{name: "dot with bare CR does not end it", in: "\r\n.\rRSET\r\n.\r\nQUIT\r\n", rest: "QUIT\r\n", err: lineEnd},
		{name: "dot with two CR does not end it", in: "\r\n.\r\r\nRSET\r\n.\r\nQUIT\r\n", rest: "QUIT\r\n", err: lineEnd},
		{name: "longest line", in: "\r\n" + longest + "\r\n." + "." + longest[1:] + "\r\n.\r\n", body: longest + "\r\n." + longest[1:] + "\r\n"},
		{name: "line too long", in: "\r\nx" + longest + "\r\n.\r\nQUIT\r\n", rest: "QUIT\r\n", err: tooLong},
		{name: "line much too long, with dots", in: "\r\n" + strings.Repeat(".", 5000) + "\r\n.\r\nQUIT\r\n", rest: "QUIT\r\n", err: tooLong},
		{name: "cut", in: "a: b\r\n\r\nfoo\r\n.", err: io.EOF},
		{name: "cut at the last LF", in: "a: b\r\n\r\nfoo\r\n.\r", err: io.EOF},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rec, rest, err := receiveAll(t, []byte(tt.in))
			if !errors.Is(err, tt.err) || string(rest) != tt.rest {
				t.Fatalf("error %v, left %q; want %v, %q", err, rest, tt.err, tt.rest)
			}
			if err == nil && (rec.ID != tt.id || rec.Hash != letter.Hash([]byte(tt.body))) {
				t.Errorf("id %q, hash %s; want %q, %s", rec.ID, rec.Hash, tt.id, letter.Hash([]byte(tt.body)))
			}
		})
	}
}

// FuzzReceive holds the sink to the one definition of a message's end, and to giving back what a client stuffed.
func FuzzReceive(f *testing.F) {
	for _, s := range []string{".\r\n", "a\r\n.\r\n", "a\n.\n.\r\n.\r\n", "\r\n..\r\n.\r\nQUIT\r\n", "\r.\r\n\r\n.\r\n", ".\r.\r\n", "\r\r\n.\r\n"} {
		f.Add([]byte(s))
	}
	end := []byte("\r\n.\r\n")
	f.Fuzz(func(t *testing.T, in []byte) {
		_, rest, err := receiveAll(t, in)
		// The CRLF of the DATA command counts as the first half of an end.
		at := bytes.Index(append([]byte("\r\n"), in...), end)
		switch {
		case at < 0 && !errors.Is(err, io.EOF):
			t.Errorf("%q has no end, but: %v", in, err)
		case at >= 0 && !bytes.Equal(rest, in[at-2+len(end):]):
			t.Errorf("%q: left %q", in, rest)
		}

		body := bytes.ReplaceAll(bytes.ReplaceAll(in, []byte("\r"), nil), []byte("\n"), []byte("\r\n"))
		body = append(body, "\r\n"...)
		m := letter.Message{Data: append([]byte("a: b\r\n\r\n"), body...)}
		rec, rest, err := receiveAll(t, m.Wire())
		if _, isRefusal := errors.AsType[refusal](err); isRefusal {
			return // a line too long
		}
		if err != nil || len(rest) > 0 || rec.Hash != letter.Hash(body) || rec.Size != len(m.Data) {
			t.Errorf("%q came back as %d octets with another hash, left %q, error %v", body, rec.Size, rest, err)
		}
	})
}

// What the load sends is what the sink writes down.
func TestMessageIsReceived(t *testing.T) {
	e := letter.Envelope{Run: "r", From: "f@load.test", Domain: "sink.test", Seed: 7}
	for seq := range 200 {
		m := e.Message(seq, time.Unix(0, 0))
		rec, rest, err := receiveAll(t, m.Wire())
		if err != nil || len(rest) > 0 || rec.ID != m.ID || rec.Hash != m.Hash || rec.Size != len(m.Data) {
			t.Fatalf("message %d was received as %+v, %v", seq, rec, err)
		}
	}
}
