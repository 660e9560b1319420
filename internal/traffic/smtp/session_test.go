// SPDX-License-Identifier: Apache-2.0

package smtp

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/mailha/mailha/internal/traffic/ledger"
	"github.com/mailha/mailha/internal/traffic/letter"
)

// polite is a server for one connection that says yes to everything.
func polite(t *testing.T) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		say := "220 polite\r\n"
		for br := bufio.NewReader(conn); ; {
			if _, err := io.WriteString(conn, say); err != nil {
				return
			}
			line, err := br.ReadString('\n')
			if err != nil {
				return
			}
			say = "250 ok\r\n"
			if line == "DATA\r\n" {
				say = "354 go\r\n"
			}
		}
	}()
	return l.Addr().String()
}

// halfDeaf is a connection that breaks in the middle of a long write.
type halfDeaf struct {
	net.Conn
	broken error
}

func (c halfDeaf) Write(b []byte) (int, error) {
	if len(b) < 500 {
		return c.Conn.Write(b)
	}
	n, _ := c.Conn.Write(b[:len(b)-1])
	c.Conn.Close()
	return n, c.broken
}

// TestMessageCutBeforeItsEnd: all but the last octet was sent, so that the server can't have taken the message.
func TestMessageCutBeforeItsEnd(t *testing.T) {
	for _, broken := range []error{errors.New("broken pipe"), os.ErrDeadlineExceeded} {
		d := Dialer{To: polite(t), ConnectTimeout: 5 * time.Second, ReplyTimeout: 5 * time.Second}
		s, err := d.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		s.conn = halfDeaf{s.conn, broken}
		out, answer, err := s.Send(t.Context(), "a@b", letter.Envelope{Run: "r", Domain: "d"}.Message(1, time.Now()))
		if out != ledger.Refused || err == nil {
			t.Errorf("outcome %s (%s), %v; want it refused and the session ended", out, answer, err)
		}
		s.Close()
	}
}
