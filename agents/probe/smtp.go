// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"
)

// SMTP is the client's side of one SMTP session: RFC 5321.
type SMTP struct {
	replies
	Greeter string // the name that the server greeted with
}

// DialSMTP returns once the server has greeted and answered EHLO.
func DialSMTP(ctx context.Context, t Target) (*SMTP, error) {
	c, err := dial(ctx, "SMTP", t)
	if err != nil {
		return nil, err
	}
	s := &SMTP{replies: replies{conn: c}}
	err = s.greet(ctx)
	if err == nil {
		err = s.begun(ctx)
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *SMTP) greet(ctx context.Context) error {
	lines, err := s.hear(220, "greeting")
	if err != nil {
		return err
	}
	name, _, _ := strings.Cut(lines[0], " ")
	if !isHostname(name) {
		return s.failed("greeting", fmt.Errorf("%q is no host name", name))
	}
	s.Greeter = name
	return s.hello(ctx, "EHLO")
}

func isHostname(s string) bool {
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._"
	return s != "" && len(s) <= 255 && strings.Trim(s, allowed) == ""
}

// TakesMail begins a transaction to see whether the server has room for mail
// (reply 452, RFC 5321 section 4.2.3), and gives it up. Other refusals may be
// meant for this sender alone.
func (s *SMTP) TakesMail() error {
	const noRoom = 452
	_, err := s.command(250, "MAIL", "MAIL FROM:<>")
	if reply := (*Refusal)(nil); errors.As(err, &reply) && reply.Code != noRoom {
		err = nil
	}
	if err != nil {
		return err
	}
	_, err = s.command(250, "RSET", "RSET")
	return err
}

// Submitted is a message that the server has taken.
type Submitted struct {
	QueueID string
	ID      string // in its header, unlike that of any other
}

// Submit hands over a test message. What the server says in the end is of its own
// making: queueID finds the ID in it, or returns an empty one.
func (s *SMTP) Submit(to string, queueID func(reply string) string) (Submitted, error) {
	m := Submitted{ID: rand.Text() + "@monitor.invalid"}
	err := s.transaction(to, fmt.Sprintf("From: <>\r\nTo: <%s>\r\nDate: %s\r\nMessage-ID: <%s>\r\nSubject: health check\r\nAuto-Submitted: auto-generated\r\n\r\nSent by the cluster to see that mail flows.\r\n",
		to, time.Now().Format(time.RFC1123Z), m.ID))
	if err != nil {
		return Submitted{}, err
	}
	lines, err := s.hear(250, "end of DATA")
	if err != nil {
		return Submitted{}, err
	}
	reply := strings.Join(lines, " ")
	if m.QueueID = queueID(reply); m.QueueID == "" {
		return Submitted{}, s.failed("end of DATA", fmt.Errorf("no queue ID in reply %q", reply))
	}
	return m, nil
}
