// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// idHeader carries "run/sequence" through the MTA.
const idHeader = "X-Mailha-Test-Id"

// Sizes of a body in octets.
const (
	minBody = 1 << 10
	maxBody = 20 << 10
)

// maxTextLine is the longest line of a message without its CRLF (RFC 5321 section 4.5.3.1.6).
const maxTextLine = 998

// envelope is what all messages of a load have in common.
type envelope struct {
	run, from, domain string
	seed              uint64
}

// message is one that a load sends. The same envelope and sequence number always give the same body, so that a retry
// needs no memory of it.
type message struct {
	id, rcpt, hash string
	data           []byte // with CRLF line ends, before dot-stuffing
}

func (e envelope) message(seq int, created time.Time) message {
	m := message{
		id:   fmt.Sprintf("%s/%d", e.run, seq),
		rcpt: fmt.Sprintf("t%d@%s", seq, e.domain),
	}
	body := randomBody(rand.New(rand.NewPCG(e.seed, uint64(seq))))
	sum := sha256.Sum256(body)
	m.hash = hex.EncodeToString(sum[:])
	m.data = fmt.Appendf(nil, "From: <%s>\r\nTo: <%s>\r\nSubject: test message %s\r\nDate: %s\r\nMessage-ID: <%d.%s@load.test>\r\n%s: %s\r\n\r\n%s",
		e.from, m.rcpt, m.id, created.Format(time.RFC1123Z), seq, e.run, idHeader, m.id, body)
	return m
}

// randomBody makes lines that a careless relay would damage: dots at their start, none at all in them, spaces at their
// end, and the longest that are allowed.
func randomBody(rng *rand.Rand) []byte {
	size := minBody + rng.IntN(maxBody-minBody+1)
	body := make([]byte, 0, size+maxTextLine+2)
	for len(body) < size {
		length := rng.IntN(78)
		switch rng.IntN(24) {
		case 0:
			length = 0
			body = append(body, '.')
		case 1:
			body = append(body, '.', '.')
		case 2:
			length = min(maxTextLine, size-len(body))
		}
		for range length {
			body = append(body, byte(' '+rng.IntN('~'-' '+1)))
		}
		body = append(body, '\r', '\n')
	}
	return body
}

// wire gives what follows the 354: the message dot-stuffed and ended (RFC 5321 section 4.5.2).
func (m message) wire() []byte {
	out := make([]byte, 0, len(m.data)+len(m.data)/64+8)
	for line := range bytes.SplitAfterSeq(m.data, []byte("\r\n")) {
		if bytes.HasPrefix(line, []byte(".")) {
			out = append(out, '.')
		}
		out = append(out, line...)
	}
	return append(out, ".\r\n"...)
}

// validRun reports whether s can name a run: 1 to 64 letters, digits, dots, hyphens and underscores.
func validRun(s string) bool {
	return s != "" && len(s) <= 64 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == ""
}

// splitID takes "run/sequence" apart. There is one way to write an id.
func splitID(id string) (run string, seq int, ok bool) {
	run, digits, _ := strings.Cut(id, "/")
	seq, err := strconv.Atoi(digits)
	return run, seq, err == nil && seq >= 0 && strconv.Itoa(seq) == digits && validRun(run)
}

func validID(id string) bool {
	_, _, ok := splitID(id)
	return ok
}

// compareIDs orders valid ids by run and by number.
func compareIDs(a, b string) int {
	runA, seqA, _ := splitID(a)
	runB, seqB, _ := splitID(b)
	return cmp.Or(cmp.Compare(runA, runB), cmp.Compare(seqA, seqB))
}
