// SPDX-License-Identifier: Apache-2.0

package ldap

import (
	"errors"
	"fmt"
	"strconv"

	ber "github.com/go-asn1-ber/asn1-ber"
)

// Code is a result code of RFC 4511, appendix A. It is an error so that
// errors.Is finds it in what an operation returns.
type Code int

// Those that callers tell apart.
const (
	OperationsError    Code = 1
	SizeLimitExceeded  Code = 4
	NoSuchObject       Code = 32
	InvalidCredentials Code = 49
	InsufficientAccess Code = 50
	Busy               Code = 51
	Unavailable        Code = 52
	Unwilling          Code = 53
	AlreadyExists      Code = 68
	Other              Code = 80
)

func (c Code) Error() string {
	name := ""
	switch c {
	case OperationsError:
		name = "operations error"
	case SizeLimitExceeded:
		name = "size limit exceeded"
	case NoSuchObject:
		name = "no such object"
	case InvalidCredentials:
		name = "invalid credentials"
	case InsufficientAccess:
		name = "insufficient access"
	case Busy:
		name = "busy"
	case Unavailable:
		name = "unavailable"
	case Unwilling:
		name = "unwilling to perform"
	case AlreadyExists:
		name = "entry already exists"
	case Other:
		name = "other error"
	default:
		return "result code " + strconv.Itoa(int(c))
	}
	return name + " (" + strconv.Itoa(int(c)) + ")"
}

// ErrDisconnected says that the server has ended the session by a Notice of
// Disconnection: RFC 4511 section 4.4.1.
var ErrDisconnected = errors.New("the server ended the session")

// result is an LDAPResult: RFC 4511 section 4.1.9.
type result struct {
	code Code
	text string // for people
}

func parseResult(p *ber.Packet) (result, error) {
	if len(p.Children) < 3 {
		return result{}, errMessage
	}
	code, ok := integer(p.Children[0], ber.TagEnumerated)
	text, isText := octets(p.Children[2])
	if !ok || !isText {
		return result{}, errMessage
	}
	return result{Code(code), text}, nil
}

// err is nil after a success.
func (r result) err() error {
	switch {
	case r.code == 0:
		return nil
	case r.text == "":
		return r.code
	}
	return fmt.Errorf("%w: %q", r.code, r.text)
}
