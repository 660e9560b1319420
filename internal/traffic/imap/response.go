// SPDX-License-Identifier: Apache-2.0

package imap

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
)

// Bounds of a response.
const (
	maxLine    = 64 << 10
	maxLiteral = 64 << 20
	maxPieces  = 1000 // literals in one response
)

var errMalformed = errors.New("malformed IMAP response")

// Response is one of a server: RFC 9051 section 9, response.
type Response struct {
	Tag      string   // of the command that it completes; "*" untagged, "+" go on
	Text     string   // without the tag; of literals only their {SIZE} is here
	Literals [][]byte // in order
}

// ReadResponse reads one response with its literals. A response that breaks off is none.
func ReadResponse(br *bufio.Reader) (Response, error) {
	var text strings.Builder
	var literals [][]byte
	for range maxPieces {
		line, err := readLine(br, maxLine-text.Len())
		if err != nil {
			return Response{}, err
		}
		text.WriteString(line)
		size, ok := literalSize(line)
		if !ok {
			tag, rest, _ := strings.Cut(text.String(), " ")
			if tag == "" {
				return Response{}, fmt.Errorf("%w: no tag in %.80q", errMalformed, text.String())
			}
			return Response{Tag: tag, Text: rest, Literals: literals}, nil
		}
		if !strings.Contains(text.String(), " ") {
			return Response{}, fmt.Errorf("%w: a literal for a tag", errMalformed)
		}
		if size > maxLiteral {
			return Response{}, fmt.Errorf("%w: a literal of %d octets", errMalformed, size)
		}
		literal := make([]byte, size)
		if _, err := io.ReadFull(br, literal); err != nil {
			return Response{}, err
		}
		literals = append(literals, literal)
	}
	return Response{}, fmt.Errorf("%w: more than %d literals", errMalformed, maxPieces)
}

// readLine gives a line without its CRLF.
func readLine(br *bufio.Reader, limit int) (string, error) {
	var line []byte
	for {
		b, err := br.ReadByte()
		if err != nil {
			return "", err
		}
		if b == '\n' && len(line) > 0 && line[len(line)-1] == '\r' {
			return string(line[:len(line)-1]), nil
		}
		if line = append(line, b); len(line) > limit {
			return "", fmt.Errorf("%w: line too long", errMalformed)
		}
	}
}

// literalSize reads the {SIZE} at the end of a line, after which SIZE octets follow.
func literalSize(line string) (int, bool) {
	head, isLiteral := strings.CutSuffix(line, "}")
	at := strings.LastIndexByte(head, '{')
	if !isLiteral || at < 0 {
		return 0, false
	}
	size, err := strconv.ParseUint(head[at+1:], 10, 32)
	return int(size), err == nil
}

// Status gives the response code's word of a status response (OK, NO, BAD, BYE, PREAUTH), and nothing for others.
func (r Response) Status() string {
	word, _, _ := strings.Cut(r.Text, " ")
	switch word = strings.ToUpper(word); word {
	case "OK", "NO", "BAD", "BYE", "PREAUTH":
		return word
	}
	return ""
}

// String gives the response as it was read, without its literals.
func (r Response) String() string { return r.Tag + " " + r.Text }

// number finds "WORD n" in the text, such as UIDVALIDITY 5 or UID 7.
func (r Response) number(word *regexp.Regexp) (uint32, bool) {
	found := word.FindStringSubmatch(r.Text)
	if found == nil {
		return 0, false
	}
	n, err := strconv.ParseUint(found[1], 10, 32)
	return uint32(n), err == nil
}
