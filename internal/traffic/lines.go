// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"bufio"
	"errors"
)

var (
	errBareLineEnd = errors.New("line end other than CRLF")
	errLongLine    = errors.New("line too long")
)

// lineReader reads lines that end in CRLF and nothing else (RFC 5321 section 2.3.8); a lenient reader and a strict one
// that see different message ends is how mail is smuggled.
type lineReader struct {
	br   *bufio.Reader
	buf  []byte
	crlf bool // the line read last ended in CRLF
}

// next returns a line without its CRLF, valid until the next call. errLongLine and errBareLineEnd tell of a line that
// was read to its LF and is of no use; any other error is the connection's.
func (r *lineReader) next(limit int) ([]byte, error) {
	r.buf = r.buf[:0]
	var prev byte
	long, bare := false, false
	for {
		b, err := r.br.ReadByte()
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
	r.crlf = prev == '\r'
	switch {
	case bare || !r.crlf:
		return nil, errBareLineEnd
	case long:
		return nil, errLongLine
	}
	return r.buf[:len(r.buf)-1], nil
}
