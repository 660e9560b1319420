// SPDX-License-Identifier: Apache-2.0

// Package ending says how a session ended, in the same words for all protocols.
//
// It must never take silence for an end: whoever waits says for how long.
package ending

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
)

// ErrAnnounced is wrapped by errors about a session that the server ended with a word, as protocols want it: 421 of
// SMTP (RFC 5321 section 3.8), BYE of IMAP (RFC 9051 section 7.1.5), notice of disconnection of LDAP (RFC 4511 section
// 4.4.1).
var ErrAnnounced = errors.New("server ends the session")

// Ending is how a session ended.
type Ending string

// The endings of sessions and of attempts to get one.
const (
	Announced   Ending = "announced" // by a word of the server
	EOF         Ending = "eof"       // closed without a word
	Reset       Ending = "reset"
	Timeout     Ending = "timeout"
	Refused     Ending = "refused"     // no listener, or a gate
	Unreachable Ending = "unreachable" // no host, or no route
	Stopped     Ending = "stopped"     // by us
	Other       Ending = "other"
)

// Of sorts the error that ended a session, or kept one from beginning.
func Of(err error) Ending {
	timeout := net.Error(nil)
	switch {
	case errors.Is(err, ErrAnnounced):
		return Announced
	case errors.Is(err, syscall.ECONNREFUSED):
		return Refused
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return Unreachable
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return Reset
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return EOF
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return Timeout
	case errors.Is(err, net.ErrClosed), errors.Is(err, context.Canceled):
		return Stopped
	}
	return Other
}
