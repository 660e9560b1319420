// SPDX-License-Identifier: Apache-2.0

package imap

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReadResponse(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want Response
		rest string
		err  error
	}{
		{in: "* OK ready\r\n", want: Response{Tag: "*", Text: "OK ready"}},
		{in: "+ \r\n", want: Response{Tag: "+"}},
		{in: "+\r\n", want: Response{Tag: "+"}},
		{in: "c1 OK done\r\nc2", want: Response{Tag: "c1", Text: "OK done"}, rest: "c2"},
		{in: "* 1 FETCH (UID 7 BODY[] {4}\r\na\r\n})\r\n", want: Response{Tag: "*", Text: "1 FETCH (UID 7 BODY[] {4})", Literals: [][]byte{[]byte("a\r\n}")}}},
		{in: "* X {0}\r\n {1}\r\nb\r\n", want: Response{Tag: "*", Text: "X {0} {1}", Literals: [][]byte{{}, []byte("b")}}},
		{in: "* a {x}\r\n", want: Response{Tag: "*", Text: "a {x}"}},
		{in: "* a\nb\r\n", want: Response{Tag: "*", Text: "a\nb"}},
		{in: "\r\n", err: errMalformed},
		{in: " x\r\n", err: errMalformed},
		{in: "* {99999999}\r\n", err: errMalformed},
		{in: "*{1}\r\na b\r\n", err: errMalformed},
		{in: "* " + strings.Repeat("x", maxLine) + "\r\n", err: errMalformed},
		{in: "* " + strings.Repeat("{0}\r\n", maxPieces) + "\r\n", err: errMalformed},
		{in: "* OK", err: io.EOF},
		{in: "* {3}\r\nab", err: io.ErrUnexpectedEOF},
		{in: "* {3}\r\nabc", err: io.EOF},
	} {
		br := bufio.NewReader(strings.NewReader(tt.in))
		got, err := ReadResponse(br)
		if diff := cmp.Diff(tt.want, got); diff != "" || !errors.Is(err, tt.err) {
			t.Errorf("%.60q: %v, want %v\n%s", tt.in, err, tt.err, diff)
		}
		if rest, _ := io.ReadAll(br); tt.err == nil && string(rest) != tt.rest {
			t.Errorf("%.60q: left %q", tt.in, rest)
		}
	}
}

func TestStatus(t *testing.T) {
	for text, want := range map[string]string{"OK done": "OK", "no": "NO", "BYE": "BYE", "OKAY": "", "5 EXISTS": "", "": ""} {
		if got := (Response{Text: text}).Status(); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestQuote(t *testing.T) {
	if got, want := quote(`a"b\c`), `"a\"b\\c"`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// What was read is as long as what it was read from.
func FuzzReadResponse(f *testing.F) {
	for _, s := range []string{"* OK ready\r\n", "c1 NO {3}\r\nabc\r\n", "* {0}\r\n{1}\r\n\r\n\r\n", "+ go\r\n", "* a{1}\r\n", "{1}\r\n0 00\r\n", "\x00 \r\r\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		br := bufio.NewReader(bytes.NewReader(b))
		r, err := ReadResponse(br)
		if err != nil {
			return
		}
		rest, _ := io.ReadAll(br)
		length := len(r.Tag) + len(" ") + len(r.Text) + len("\r\n")
		if !bytes.HasPrefix(b, []byte(r.Tag+" ")) {
			length -= len(" ")
		}
		for _, l := range r.Literals {
			length += len("\r\n") + len(l)
		}
		if length+len(rest) != len(b) {
			t.Errorf("%q: read %d octets as %q, left %d", b, length, r, len(rest))
		}
	})
}
