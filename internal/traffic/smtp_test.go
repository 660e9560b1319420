// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
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
			if _, rerr := readReply(bufio.NewReader(strings.NewReader(string(bad) + "\r\n"))); !ok || rerr != nil {
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

func TestReadReply(t *testing.T) {
	long := strings.Repeat("x", maxReplyLine)
	for _, tt := range []struct {
		in   string
		want reply
		rest string
		err  error
	}{
		{in: "220 ok\r\n", want: reply{220, "ok"}},
		{in: "250\r\n", want: reply{250, ""}},
		{in: "250 \r\n250 next\r\n", want: reply{250, ""}, rest: "250 next\r\n"},
		{in: "250-a\r\n250-\r\n250 b\r\n", want: reply{250, "a; ; b"}},
		{in: "250-a\r\n250\r\n", want: reply{250, "a; "}},
		{in: "250-a\r\n354 b\r\n", err: errMalformedReply},
		{in: "250 ok\n", err: errMalformedReply},
		{in: "250 o\rk\r\n", err: errMalformedReply},
		{in: "25\r\n", err: errMalformedReply},
		{in: "250ok\r\n", err: errMalformedReply},
		{in: "150 ok\r\n", err: errMalformedReply},
		{in: "660 ok\r\n", err: errMalformedReply},
		{in: "2x0 ok\r\n", err: errMalformedReply},
		{in: "\r\n", err: errMalformedReply},
		{in: "250 " + long + "\r\n", err: errMalformedReply},
		{in: strings.Repeat("250-a\r\n", maxReplyLines) + "250 b\r\n", err: errMalformedReply},
		{in: "", err: io.EOF},
		{in: "250 ok", err: io.EOF},
		{in: "250 ok\r", err: io.EOF},
		{in: "250-ok\r\n", err: io.EOF},
	} {
		br := bufio.NewReader(strings.NewReader(tt.in))
		got, err := readReply(br)
		if !errors.Is(err, tt.err) || got != tt.want {
			t.Errorf("%.40q: %v, %v; want %v, %v", tt.in, got, err, tt.want, tt.err)
		}
		if rest, _ := io.ReadAll(br); tt.err == nil && string(rest) != tt.rest {
			t.Errorf("%.40q: left %q", tt.in, rest)
		}
	}
}

func FuzzReadReply(f *testing.F) {
	for _, s := range []string{"220 ok\r\n", "250-a\r\n250 b\r\n", "421 4.3.2 bye\r\n", "250\r\n", "250-a\r\n251 b\r\n", "250 a\n", "\r\n", "250 \xff\r\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := readReply(bufio.NewReader(bytes.NewReader(b)))
		if err != nil {
			return
		}
		if r.code < 200 || r.code > 559 || !bytes.HasPrefix(b, []byte(r.String()[:3])) || strings.ContainsAny(r.text, "\r\n") {
			t.Errorf("%q gave %v", b, r)
		}
	})
}

// receiveAll gives what the sink makes of input after its 354, and what it leaves of it.
func receiveAll(t *testing.T, input []byte) (deliveryRecord, []byte, error) {
	t.Helper()
	conn, other := net.Pipe()
	defer conn.Close()
	defer other.Close()
	s := &sinkSession{conn: conn}
	s.lines.br = bufio.NewReader(bytes.NewReader(input))
	rec, err := s.receive(t.Context())
	rest, _ := io.ReadAll(s.lines.br)
	return rec, rest, err
}

func TestReceive(t *testing.T) {
	tooLong, lineEnd := refusal("554 5.6.0 Line longer than 998 octets"), refusal("554 5.6.0 Line end other than CRLF")
	longest := strings.Repeat("x", maxTextLine)
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
			if err == nil && (rec.ID != tt.id || rec.Hash != hashOf([]byte(tt.body))) {
				t.Errorf("id %q, hash %s; want %q, %s", rec.ID, rec.Hash, tt.id, hashOf([]byte(tt.body)))
			}
		})
	}
}

func hashOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
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
		m := message{data: append([]byte("a: b\r\n\r\n"), body...)}
		rec, rest, err := receiveAll(t, m.wire())
		if _, isRefusal := errors.AsType[refusal](err); isRefusal {
			return // a line too long
		}
		if err != nil || len(rest) > 0 || rec.Hash != hashOf(body) || rec.Size != len(m.data) {
			t.Errorf("%q came back as %d octets with another hash, left %q, error %v", body, rec.Size, rest, err)
		}
	})
}

func TestMessage(t *testing.T) {
	e := envelope{run: "r", from: "f@load.test", domain: "sink.test", seed: 7}
	dots, sizes := 0, make(map[int]bool)
	for seq := range 200 {
		m := e.message(seq, time.Unix(0, 0))
		if again := e.message(seq, time.Unix(0, 0)); again.hash != m.hash || !bytes.Equal(again.data, m.data) {
			t.Fatalf("message %d is another when it is made again", seq)
		}
		_, body, _ := bytes.Cut(m.data, []byte("\r\n\r\n"))
		if len(body) < minBody || len(body) > maxBody+maxTextLine+4 {
			t.Errorf("message %d has a body of %d octets", seq, len(body))
		}
		sizes[len(body)] = true
		if bytes.Contains(body, []byte("\r\n.\r\n")) {
			dots++
		}
		rec, rest, err := receiveAll(t, m.wire())
		if err != nil || len(rest) > 0 || rec.ID != m.id || rec.Hash != m.hash || rec.Size != len(m.data) {
			t.Fatalf("message %d was received as %+v, %v", seq, rec, err)
		}
	}
	if dots < 100 || len(sizes) < 150 {
		t.Errorf("only %d of 200 messages have a line of one dot, and only %d sizes", dots, len(sizes))
	}
	if a, b := e.message(1, time.Now()), (envelope{run: "r", seed: 8}).message(1, time.Now()); a.hash == b.hash {
		t.Error("the seed makes no difference")
	}
}
