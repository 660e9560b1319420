// SPDX-License-Identifier: Apache-2.0

package letter

import (
	"bytes"
	"testing"
	"time"
)

func TestMessage(t *testing.T) {
	e := Envelope{Run: "r", From: "f@load.test", Domain: "sink.test", Seed: 7}
	dots, sizes := 0, make(map[int]bool)
	for seq := range 200 {
		m := e.Message(seq, time.Unix(0, 0))
		if again := e.Message(seq, time.Unix(0, 0)); again.Hash != m.Hash || !bytes.Equal(again.Data, m.Data) {
			t.Fatalf("message %d is another when it is made again", seq)
		}
		_, body, _ := bytes.Cut(m.Data, []byte("\r\n\r\n"))
		if len(body) < minBody || len(body) > maxBody+MaxTextLine+4 {
			t.Errorf("message %d has a body of %d octets", seq, len(body))
		}
		sizes[len(body)] = true
		if bytes.Contains(body, []byte("\r\n.\r\n")) {
			dots++
		}
		if id, hash := Inspect(m.Data); id != m.ID || hash != m.Hash {
			t.Errorf("message %d is seen as %s, hash %s", seq, id, hash)
		}
	}
	if dots < 100 || len(sizes) < 150 {
		t.Errorf("only %d of 200 messages have a line of one dot, and only %d sizes", dots, len(sizes))
	}
	if a, b := e.Message(1, time.Now()), (Envelope{Run: "r", Seed: 8}).Message(1, time.Now()); a.Hash == b.Hash {
		t.Error("the seed makes no difference")
	}
}

func TestRecipientsInTurn(t *testing.T) {
	e := Envelope{Run: "r", Rcpts: []string{"a@x", "b@x"}, Domain: "y"}
	for seq, want := range []string{"a@x", "b@x", "a@x"} {
		if got := e.Message(seq, time.Now()).Rcpt; got != want {
			t.Errorf("message %d is for %s, want %s", seq, got, want)
		}
	}
}

func TestInspect(t *testing.T) {
	for _, tt := range []struct{ data, id, body string }{
		{"", "", ""},
		{"X-Mailha-Test-Id: r/1", "r/1", ""},
		{"A: b\r\nx-mailha-test-id:r/1\r\nX-Mailha-Test-Id: r/2\r\n\r\nbody\r\n", "r/1", "body\r\n"},
		{"A: b\r\n\r\nX-Mailha-Test-Id: r/1\r\n\r\n", "", "X-Mailha-Test-Id: r/1\r\n\r\n"},
		{"X-Mailha-Test-Id: r/01\r\n\r\n", "", ""},
	} {
		if id, hash := Inspect([]byte(tt.data)); id != tt.id || hash != Hash([]byte(tt.body)) {
			t.Errorf("%q: id %q, want %q; hash %s", tt.data, id, tt.id, hash)
		}
	}
}
