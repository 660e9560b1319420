// SPDX-License-Identifier: Apache-2.0

package ldap

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	ber "github.com/go-asn1-ber/asn1-ber"
)

// Tags of RFC 4511, appendix B.
const (
	bindRequest       = 0
	bindResponse      = 1
	unbindRequest     = 2
	searchRequest     = 3
	searchEntry       = 4
	searchDone        = 5
	modifyRequest     = 6
	modifyResponse    = 7
	addRequest        = 8
	addResponse       = 9
	delRequest        = 10
	delResponse       = 11
	searchReference   = 19
	extendedRequest   = 23
	extendedResponse  = 24
	intermediateReply = 25
)

const (
	// maxMessage is far more than the largest answer to anything asked here.
	maxMessage = 1 << 20
	// maxDepth is more than any message of LDAP nests.
	maxDepth = 12
)

var errMessage = errors.New("the server's answer is no LDAP message")

// readMessage reads one message's bytes. A message is a sequence of definite
// length: RFC 4511 section 5.1.
func readMessage(r *bufio.Reader) ([]byte, error) {
	head, err := r.Peek(2)
	if err != nil {
		return nil, ended(err, len(head))
	}
	const sequence = 0x30
	if head[0] != sequence {
		return nil, fmt.Errorf("%w: it begins with 0x%02x", errMessage, head[0])
	}
	header, length := 2, int(head[1])
	if more := length & 0x7f; length&0x80 != 0 {
		const most = 4
		if more == 0 || more > most {
			return nil, fmt.Errorf("%w: it has no definite length", errMessage)
		}
		header += more
		if head, err = r.Peek(header); err != nil {
			return nil, ended(err, 1)
		}
		length = 0
		for _, b := range head[2:] {
			length = length<<8 | int(b)
		}
	}
	if length > maxMessage-header {
		return nil, fmt.Errorf("%w: it would have %d bytes", errMessage, length)
	}
	message := make([]byte, header+length)
	if _, err := io.ReadFull(r, message); err != nil {
		return nil, ended(err, 1)
	}
	return message, nil
}

// ended tells an end between two messages from one within a message.
func ended(err error, got int) error {
	if errors.Is(err, io.EOF) && got > 0 {
		return io.ErrUnexpectedEOF
	}
	return err
}

// message is an LDAPMessage: RFC 4511 section 4.1.1.
type message struct {
	id   int64
	op   ber.Tag
	body *ber.Packet
}

func parseMessage(data []byte) (message, error) {
	if err := shallow(data, maxDepth); err != nil {
		return message{}, err
	}
	p, err := ber.DecodePacketErr(data)
	if err != nil {
		return message{}, fmt.Errorf("%w: %w", errMessage, err)
	}
	if len(p.Children) < 2 {
		return message{}, errMessage
	}
	id, ok := integer(p.Children[0], ber.TagInteger)
	body := p.Children[1]
	if !ok || body.ClassType != ber.ClassApplication {
		return message{}, errMessage
	}
	return message{id: id, op: body.Tag, body: body}, nil
}

// shallow refuses what nests deeper than messages do, before anything is made
// of it: the library's work grows with size times depth.
func shallow(data []byte, depth int) error {
	if depth == 0 {
		return fmt.Errorf("%w: it nests too deep", errMessage)
	}
	for len(data) > 0 {
		content, rest, constructed, ok := element(data)
		if !ok {
			return errMessage
		}
		if constructed {
			if err := shallow(content, depth-1); err != nil {
				return err
			}
		}
		data = rest
	}
	return nil
}

// element splits data behind its first element: X.690 section 8.1. LDAP has
// neither tags above 30 nor indefinite lengths.
func element(data []byte) (content, rest []byte, constructed, ok bool) {
	if len(data) < 2 || data[0]&0x1f == 0x1f {
		return nil, nil, false, false
	}
	length, header := int(data[1]), 2
	if length&0x80 != 0 {
		const most = 4
		more := length & 0x7f
		if more == 0 || more > most || len(data) < header+more {
			return nil, nil, false, false
		}
		length = 0
		for _, b := range data[header : header+more] {
			length = length<<8 | int(b)
		}
		header += more
	}
	if length > len(data)-header {
		return nil, nil, false, false
	}
	return data[header : header+length], data[header+length:], data[0]&0x20 != 0, true
}

func integer(p *ber.Packet, tag ber.Tag) (int64, bool) {
	n, ok := p.Value.(int64)
	return n, ok && p.ClassType == ber.ClassUniversal && p.Tag == tag
}

// octets is a string of bytes, whatever tag it has.
func octets(p *ber.Packet) (string, bool) {
	if p.TagType != ber.TypePrimitive {
		return "", false
	}
	return p.Data.String(), true
}
