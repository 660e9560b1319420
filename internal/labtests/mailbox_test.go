// SPDX-License-Identifier: Apache-2.0

package labtests

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mailha/mailha/internal/lab"
)

// talk is a client's session of a protocol that consists of lines.
type talk struct {
	t    testing.TB
	conn net.Conn
	in   *bufio.Reader
}

// talkTo connects to a port from a host outside of the nodes, and reads the
// greeting. The ports 993 and 995 speak TLS.
func talkTo(t testing.TB, h *lab.Host, port string) *talk {
	t.Helper()
	conn, err := dial(h, net.JoinHostPort(vip4, port), patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if port == "993" || port == "995" {
		conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
	}
	k := &talk{t, conn, bufio.NewReader(conn)}
	k.line()
	return k
}

func (k *talk) line() string {
	k.t.Helper()
	if err := k.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		k.t.Fatal(err)
	}
	text, err := k.in.ReadString('\n')
	if err != nil {
		k.t.Fatalf("session: %q, %v", text, err)
	}
	return strings.TrimSpace(text)
}

func (k *talk) write(text string) {
	k.t.Helper()
	if _, err := io.WriteString(k.conn, strings.ReplaceAll(text, "\n", "\r\n")); err != nil {
		k.t.Fatalf("session: %v", err)
	}
}

// until reads lines up to one that begins so.
func (k *talk) until(prefix string) string {
	k.t.Helper()
	for {
		line := k.line()
		if strings.HasPrefix(line, prefix) {
			return line
		}
		if strings.HasPrefix(line, "* BYE") || strings.HasPrefix(line, "-ERR") || len(line) > 3 && line[0] >= '4' && line[0] <= '5' && prefix[0] < '4' {
			k.t.Fatalf("session: want %q, got %q", prefix, line)
		}
	}
}

// say sends a line and reads up to an answer that begins so.
func (k *talk) say(line, answer string) string {
	k.t.Helper()
	k.write(line + "\n")
	return k.until(answer)
}

// end reads what is said until the server hangs up. It is an error if that takes
// longer.
func (k *talk) end(within time.Duration) (string, error) {
	if err := k.conn.SetReadDeadline(time.Now().Add(within)); err != nil {
		return "", err
	}
	text, err := io.ReadAll(k.in)
	if err != nil && !isTimeout(err) {
		err = nil // however it ended
	}
	return string(text), err
}

// imapSession logs in; that is all.
func imapSession(t testing.TB, h *lab.Host, port, user string) *talk {
	t.Helper()
	k := talkTo(t, h, port)
	k.say("a LOGIN "+user+" secret", "a OK")
	return k
}

// idling is a client that waits for mail: RFC 2177.
func idling(t testing.TB, h *lab.Host, port, user string) *talk {
	t.Helper()
	k := imapSession(t, h, port, user)
	k.say("b SELECT INBOX", "b OK")
	k.say("c IDLE", "+ ")
	return k
}

func pop3Session(t testing.TB, h *lab.Host, port, user string) *talk {
	t.Helper()
	k := talkTo(t, h, port)
	k.say("USER "+user, "+OK")
	k.say("PASS secret", "+OK")
	return k
}

// letter is a message with a subject and a text of about so many bytes.
func letter(subject string, size int) string {
	return "From: <sender@client.test>\nSubject: " + subject + "\n\n" + strings.Repeat("0123456789abcdef\n", size/17) + "end\n"
}

// lmtpUntilData goes up to the middle of a message.
func lmtpUntilData(t testing.TB, h *lab.Host, user, subject string) *talk {
	t.Helper()
	k := talkTo(t, h, "24")
	k.say("LHLO client.test", "250 ")
	k.say("MAIL FROM:<>", "250")
	k.say("RCPT TO:<"+user+"@example.test>", "250")
	k.say("DATA", "354")
	k.write("Subject: " + subject + "\n\nfirst half\n")
	return k
}

// deliver hands a message over by LMTP.
func deliver(t testing.TB, h *lab.Host, user, subject string) {
	t.Helper()
	k := lmtpUntilData(t, h, user, subject)
	k.say(".", "250")
	k.say("QUIT", "221")
}

// subjects lists those of the messages in a mailbox.
func subjects(t testing.TB, h *lab.Host, user, mailbox string) []string {
	t.Helper()
	k := imapSession(t, h, "993", user)
	defer k.conn.Close()
	k.say("b SELECT "+mailbox, "b OK")
	k.write("c FETCH 1:* (BODY.PEEK[HEADER.FIELDS (SUBJECT)])\n")
	var found []string
	for {
		line := k.line()
		if subject, ok := strings.CutPrefix(line, "Subject: "); ok {
			found = append(found, subject)
		}
		if strings.HasPrefix(line, "c ") {
			return found
		}
	}
}

// within fails the test if something takes another time.
func within(t testing.TB, what string, took, least, most time.Duration) {
	t.Helper()
	if took < least || took > most {
		t.Errorf("%s after %s, want %s to %s", what, took, least, most)
	}
}

var errCut = errors.New("cut without a word")

// farewell is nil if the server ended the session in time, with these words.
func (k *talk) farewell(words string, in time.Duration) error {
	text, err := k.end(in)
	switch {
	case err != nil:
		return err
	case text == "":
		return errCut
	case !strings.Contains(text, words):
		return fmt.Errorf("the last words were %q", text)
	}
	return nil
}

func itoa(n int) string { return strconv.Itoa(n) }

// hostAddr is that of another host outside of the nodes.
var hostAddr = netip.MustParseAddr("10.77.0.201")
