// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// response is what an IMAP server says in one piece: RFC 9051 section 2.2.2. The
// literals that it had are apart, and their announcements left in the text.
type response struct {
	text     string
	literals [][]byte
}

// response reads one.
func (m *IMAP) response() (response, error) {
	const mostLiterals, mostBytes = 10, 1 << 20
	var r response
	room := mostBytes
	for {
		line, err := m.line()
		if err != nil {
			return response{}, err
		}
		r.text += line
		size, ok := announced(line)
		if !ok {
			return r, nil
		}
		if size > room || len(r.literals) == mostLiterals {
			return response{}, fmt.Errorf("a response of more than %d bytes or %d literals", mostBytes, mostLiterals)
		}
		room -= size
		literal := make([]byte, size)
		if _, err := io.ReadFull(m.r, literal); err != nil {
			return response{}, err
		}
		r.literals = append(r.literals, literal)
	}
}

// announced is the size of the literal that follows a line: "{4711}".
func announced(line string) (size int, ok bool) {
	text, ok := strings.CutSuffix(line, "}")
	open := strings.LastIndexByte(text, '{')
	if !ok || open < 0 {
		return 0, false
	}
	n, err := strconv.ParseUint(text[open+1:], 10, 31)
	return int(n), err == nil
}

// untagged is the rest of an untagged response of that name, such as "SEARCH".
func (r response) untagged(name string) (rest string, ok bool) {
	text, ok := strings.CutPrefix(r.text, "* ")
	word, rest, _ := strings.Cut(text, " ")
	return rest, ok && strings.EqualFold(word, name)
}

// numbers reads those that a SEARCH response has.
func numbers(text string) ([]uint32, error) {
	var list []uint32
	for field := range strings.FieldsSeq(text) {
		n, err := strconv.ParseUint(field, 10, 32)
		if err != nil || n == 0 {
			return nil, fmt.Errorf("%q among the numbers of messages", field)
		}
		list = append(list, uint32(n))
	}
	return list, nil
}

// quoted is a string in quotes: RFC 9051 section 4.3. What would need a literal is
// refused.
func quoted(s string) (string, error) {
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) {
		return "", errors.New("has other characters than printable ASCII in it")
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`, nil
}
