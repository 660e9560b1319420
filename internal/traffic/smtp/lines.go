// SPDX-License-Identifier: Apache-2.0

package smtp

import (
	"bufio"
	"errors"
)

// Errors about a line that was read to its LF and is of no use.
var (
	ErrBareLineEnd = errors.New("line end other than CRLF")
	ErrLongLine    = errors.New("line too long")
)

// LineReader reads lines that end in CRLF and nothing else (RFC 5321 section 2.3.8); a lenient reader and a strict one
// that see different message ends is how mail is smuggled.
type LineReader struct {
	Reader *bufio.Reader
	CRLF   bool // the line read last ended in CRLF

	buf []byte
}

// Next returns a line without its CRLF, valid until the next call. ErrLongLine and ErrBareLineEnd tell of a line that
// was read to its LF and is of no use; any other error is the connection's.
func (r *LineReader) Next(limit int) ([]byte, error) {
	r.buf = r.buf[:0]
	var prev byte
	long, bare := false, false
	for {
		b, err := r.Reader.ReadByte()
		if err != nil {
			return nil, err
		}
		if b == '\n' {
			break
		}
		if prev == '\r' {
			bare = true
		}
		if len(r.buf) <= limit {
			r.buf = append(r.buf, b)
		} else {
			long = true
		}
		prev = b
	}
	r.CRLF = prev == '\r'
	switch {
	case bare || !r.CRLF:
		return nil, ErrBareLineEnd
	case long:
		return nil, ErrLongLine
	}
	return r.buf[:len(r.buf)-1], nil
}
