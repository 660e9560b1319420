// SPDX-License-Identifier: Apache-2.0

package smtp

import (
	"bufio"
	"errors"
	"fmt"
	"strings"
)

// Bounds of a reply: RFC 5321 section 4.5.3.1.5 has lines of 512 octets, servers in the wild are more talkative.
const (
	maxReplyLine  = 2048
	maxReplyLines = 128
)

// CodeClosing is sent by a server that shuts down (RFC 5321 section 3.8): the polite end of a session.
const CodeClosing = 421

// ErrMalformedReply is wrapped by errors about what is no reply.
var ErrMalformedReply = errors.New("malformed SMTP reply")

// Reply is a server's answer; text has the lines joined with "; ".
type Reply struct {
	Code int
	Text string
}

// String gives the code and the text.
func (r Reply) String() string { return fmt.Sprintf("%d %s", r.Code, r.Text) }

// ReadReply reads one reply of one or more lines (RFC 5321 section 4.2). A reply that breaks off is no reply.
func ReadReply(br *bufio.Reader) (Reply, error) {
	lr := LineReader{Reader: br}
	var texts []string
	first := 0
	for range maxReplyLines {
		line, err := lr.Next(maxReplyLine)
		if errors.Is(err, ErrBareLineEnd) || errors.Is(err, ErrLongLine) {
			return Reply{}, fmt.Errorf("%w: %w", ErrMalformedReply, err)
		}
		if err != nil {
			return Reply{}, err
		}
		code, text, last, ok := parseReplyLine(string(line))
		if !ok || first != 0 && code != first {
			return Reply{}, fmt.Errorf("%w: %.80q", ErrMalformedReply, line)
		}
		first = code
		texts = append(texts, text)
		if last {
			return Reply{code, strings.Join(texts, "; ")}, nil
		}
	}
	return Reply{}, fmt.Errorf("%w: more than %d lines", ErrMalformedReply, maxReplyLines)
}

func parseReplyLine(line string) (code int, text string, last, ok bool) {
	if len(line) < 3 || line[0] < '2' || line[0] > '5' || line[1] < '0' || line[1] > '5' || line[2] < '0' || line[2] > '9' {
		return 0, "", false, false
	}
	code = int(line[0]-'0')*100 + int(line[1]-'0')*10 + int(line[2]-'0')
	if len(line) == 3 {
		return code, "", true, true
	}
	return code, line[4:], line[3] == ' ', line[3] == ' ' || line[3] == '-'
}
