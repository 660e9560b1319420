// SPDX-License-Identifier: Apache-2.0

package smtp

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestReadReply(t *testing.T) {
	long := strings.Repeat("x", maxReplyLine)
	for _, tt := range []struct {
		in   string
		want Reply
		rest string
		err  error
	}{
		{in: "220 ok\r\n", want: Reply{220, "ok"}},
		{in: "250\r\n", want: Reply{250, ""}},
		{in: "250 \r\n250 next\r\n", want: Reply{250, ""}, rest: "250 next\r\n"},
		{in: "250-a\r\n250-\r\n250 b\r\n", want: Reply{250, "a; ; b"}},
		{in: "250-a\r\n250\r\n", want: Reply{250, "a; "}},
		{in: "250-a\r\n354 b\r\n", err: ErrMalformedReply},
		{in: "250 ok\n", err: ErrMalformedReply},
		{in: "250 o\rk\r\n", err: ErrMalformedReply},
		{in: "25\r\n", err: ErrMalformedReply},
		{in: "250ok\r\n", err: ErrMalformedReply},
		{in: "150 ok\r\n", err: ErrMalformedReply},
		{in: "660 ok\r\n", err: ErrMalformedReply},
		{in: "2x0 ok\r\n", err: ErrMalformedReply},
		{in: "\r\n", err: ErrMalformedReply},
		{in: "250 " + long + "\r\n", err: ErrMalformedReply},
		{in: strings.Repeat("250-a\r\n", maxReplyLines) + "250 b\r\n", err: ErrMalformedReply},
		{in: "", err: io.EOF},
		{in: "250 ok", err: io.EOF},
		{in: "250 ok\r", err: io.EOF},
		{in: "250-ok\r\n", err: io.EOF},
	} {
		br := bufio.NewReader(strings.NewReader(tt.in))
		got, err := ReadReply(br)
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
		r, err := ReadReply(bufio.NewReader(bytes.NewReader(b)))
		if err != nil {
			return
		}
		if r.Code < 200 || r.Code > 559 || !bytes.HasPrefix(b, []byte(r.String()[:3])) || strings.ContainsAny(r.Text, "\r\n") {
			t.Errorf("%q gave %v", b, r)
		}
	})
}
