// SPDX-License-Identifier: Apache-2.0

package traffic

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

// codeClosing is sent by a server that shuts down (RFC 5321 section 3.8): the polite end of a session.
const codeClosing = 421

var errMalformedReply = errors.New("malformed SMTP reply")

// reply is a server's answer; text has the lines joined with "; ".
type reply struct {
	code int
	text string
}

func (r reply) String() string { return fmt.Sprintf("%d %s", r.code, r.text) }

// readReply reads one reply of one or more lines (RFC 5321 section 4.2). A reply that breaks off is no reply.
func readReply(br *bufio.Reader) (reply, error) {
	lr := lineReader{br: br}
	var texts []string
	first := 0
	for range maxReplyLines {
		line, err := lr.next(maxReplyLine)
		if errors.Is(err, errBareLineEnd) || errors.Is(err, errLongLine) {
			return reply{}, fmt.Errorf("%w: %w", errMalformedReply, err)
		}
		if err != nil {
			return reply{}, err
		}
		code, text, last, ok := parseReplyLine(string(line))
		if !ok || first != 0 && code != first {
			return reply{}, fmt.Errorf("%w: %.80q", errMalformedReply, line)
		}
		first = code
		texts = append(texts, text)
		if last {
			return reply{code, strings.Join(texts, "; ")}, nil
		}
	}
	return reply{}, fmt.Errorf("%w: more than %d lines", errMalformedReply, maxReplyLines)
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
