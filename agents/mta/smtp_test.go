// SPDX-License-Identifier: Apache-2.0

package mta

import (
	"bufio"
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// serve answers one session: each line that is read gets the next reply. A
// reply "" is silence, "!" ends the connection.
func serve(t *testing.T, replies ...string) netip.AddrPort {
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
		lines := bufio.NewScanner(conn)
		data := false
		for _, reply := range replies {
			if reply == "!" {
				return
			}
			if reply != "" {
				if _, err := conn.Write([]byte(reply + "\r\n")); err != nil {
					return
				}
			}
			data = strings.HasPrefix(reply, "354")
			for lines.Scan() && data && lines.Text() != "." {
			}
		}
	}()
	return netip.MustParseAddrPort(l.Addr().String())
}

const ehlo = "250-mx.example.test\r\n250 SIZE"

func TestDialogue(t *testing.T) {
	for _, tt := range []struct {
		name    string
		replies []string
		wantErr string // empty: none
	}{
		{"all is well", []string{"220 mx.example.test ESMTP", ehlo, "250 ok", "250 ok", "354 go on", "250 2.0.0 Ok: queued as 4ABCDEF", "221 bye"}, ""},
		{"greets in several lines", []string{"220-mx.example.test ESMTP\r\n220 welcome", ehlo, "250 ok", "250 ok", "354 go on", "250 2.0.0 Ok: queued as 4ABCDEF", "221 bye"}, ""},
		{"does not want to", []string{"421 4.3.2 too busy"}, "greeting: 421"},
		{"speaks another protocol", []string{"* OK IMAP4 ready"}, "greeting"},
		{"greets without a name", []string{"220 <script>"}, "is no host name"},
		{"hangs up", []string{"!"}, "greeting: EOF"},
		{"says nothing", []string{""}, "no answer to greeting in time"},
		{"refuses EHLO", []string{"220 mx.example.test", "502 no"}, "EHLO: 502"},
		{"refuses the recipient", []string{"220 mx.example.test", ehlo, "250 ok", "554 5.7.1 no relay"}, "RCPT: 554"},
		{"takes the message without a queue ID", []string{"220 mx.example.test", ehlo, "250 ok", "250 ok", "354 go on", "250 fine"}, "no queue ID"},
		{"gives an ID that is a path", []string{"220 mx.example.test", ehlo, "250 ok", "250 ok", "354 go on", "250 queued as ../../etc"}, "no queue ID"},
		{"refuses the message", []string{"220 mx.example.test", ehlo, "250 ok", "250 ok", "354 go on", "452 4.3.1 no space"}, "end of DATA: 452"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			err := transact(ctx, serve(t, tt.replies...))
			switch {
			case tt.wantErr == "" && err != nil:
				t.Errorf("failed: %v", err)
			case tt.wantErr != "" && (err == nil || !strings.Contains(err.Error(), tt.wantErr)):
				t.Errorf("got %v, want an error with %q", err, tt.wantErr)
			}
		})
	}
}

func transact(ctx context.Context, target netip.AddrPort) error {
	c, err := dialSMTP(ctx, target)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.Submit("double-bounce@" + c.Greeter); err != nil {
		return err
	}
	return c.Quit()
}

func TestSubmitRefusesWhatIsNoAddress(t *testing.T) {
	c := &smtpClient{}
	for _, to := range []string{"a@b>\r\nRCPT TO:<c@d", "a b@c", "<a@b>"} {
		if _, err := c.Submit(to); err == nil {
			t.Errorf("took %q", to)
		}
	}
}

func FuzzQueueID(f *testing.F) {
	f.Add("2.0.0 Ok: queued as 4Zx1yT0gqHz9sK")
	f.Add("queued as ../../etc")
	f.Fuzz(func(t *testing.T, reply string) {
		if id := queueID(reply); strings.ContainsAny(id, "/.*?[\x00") {
			t.Errorf("%q gave %q", reply, id)
		}
	})
}
