// SPDX-License-Identifier: Apache-2.0

package letter

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

// MaxTextLine is the longest line of a message without its CRLF (RFC 5321 section 4.5.3.1.6).
const MaxTextLine = 998

// Envelope is what all messages of a load have in common.
type Envelope struct {
	Run  string
	From string
	// Rcpts get the messages in turn. Without any, message N is for tN@Domain.
	Rcpts  []string
	Domain string
	Seed   uint64
}

// Message is one that a load sends.
type Message struct {
	ID   string // "run/sequence"
	Rcpt string
	Hash string // of the body: SHA-256 in hexadecimal digits
	Data []byte // with CRLF line ends, before dot-stuffing
}

// Message makes a message. The same envelope and sequence number always give the same body, so that a retry needs no
// memory of it.
func (e Envelope) Message(seq int, created time.Time) Message {
	m := Message{ID: ID(e.Run, seq), Rcpt: fmt.Sprintf("t%d@%s", seq, e.Domain)}
	if len(e.Rcpts) > 0 {
		m.Rcpt = e.Rcpts[seq%len(e.Rcpts)]
	}
	body := randomBody(rand.New(rand.NewPCG(e.Seed, uint64(seq))))
	m.Hash = Hash(body)
	m.Data = fmt.Appendf(nil, "From: <%s>\r\nTo: <%s>\r\nSubject: test message %s\r\nDate: %s\r\nMessage-ID: <%d.%s@load.test>\r\n%s: %s\r\n\r\n%s",
		e.From, m.Rcpt, m.ID, created.Format(time.RFC1123Z), seq, e.Run, idHeader, m.ID, body)
	return m
}

// Wire gives what follows the 354: the message dot-stuffed and ended (RFC 5321 section 4.5.2).
func (m Message) Wire() []byte {
	out := make([]byte, 0, len(m.Data)+len(m.Data)/64+8)
	for line := range bytes.SplitAfterSeq(m.Data, []byte("\r\n")) {
		if bytes.HasPrefix(line, []byte(".")) {
			out = append(out, '.')
		}
		out = append(out, line...)
	}
	return append(out, ".\r\n"...)
}

// Hash gives what ledgers say of a body.
func Hash(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

// Inspect gives the id and the hash of a message that came in one piece. The id is empty if it is none of a load.
func Inspect(data []byte) (id, hash string) {
	header, body, _ := bytes.Cut(data, []byte("\r\n\r\n"))
	for line := range bytes.SplitSeq(header, []byte("\r\n")) {
		if id == "" {
			id = IDFromHeader(string(line))
		}
	}
	return id, Hash(body)
}

// IDFromHeader gives the message id if the line is the header that carries one.
func IDFromHeader(line string) string {
	name, value, _ := strings.Cut(line, ":")
	value = strings.TrimSpace(value)
	if !strings.EqualFold(name, idHeader) || !ValidID(value) {
		return ""
	}
	return value
}

// randomBody makes lines that a careless relay would damage: dots at their start, none at all in them, spaces at their
// end, and the longest that are allowed.
func randomBody(rng *rand.Rand) []byte {
	size := minBody + rng.IntN(maxBody-minBody+1)
	body := make([]byte, 0, size+MaxTextLine+2)
	for len(body) < size {
		length := rng.IntN(78)
		switch rng.IntN(24) {
		case 0:
			length = 0
			body = append(body, '.')
		case 1:
			body = append(body, '.', '.')
		case 2:
			length = min(MaxTextLine, size-len(body))
		}
		for range length {
			body = append(body, byte(' '+rng.IntN('~'-' '+1)))
		}
		body = append(body, '\r', '\n')
	}
	return body
}

// ValidRun reports whether s can name a run: 1 to 64 letters, digits, dots, hyphens and underscores.
func ValidRun(s string) bool {
	return s != "" && len(s) <= 64 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == ""
}

// splitID takes "run/sequence" apart. There is one way to write an id.
func splitID(id string) (run string, seq int, ok bool) {
	run, digits, _ := strings.Cut(id, "/")
	seq, err := strconv.Atoi(digits)
	return run, seq, err == nil && seq >= 0 && strconv.Itoa(seq) == digits && ValidRun(run)
}

// ID names the message with that sequence number in a run.
func ID(run string, seq int) string { return run + "/" + strconv.Itoa(seq) }

// ValidID reports whether s is what [ID] gives for a valid run and a number from 0.
func ValidID(id string) bool {
	_, _, ok := splitID(id)
	return ok
}

// Compare orders valid ids by run and by number.
func Compare(a, b string) int {
	runA, seqA, _ := splitID(a)
	runB, seqB, _ := splitID(b)
	return cmp.Or(cmp.Compare(runA, runB), cmp.Compare(seqA, seqB))
}
