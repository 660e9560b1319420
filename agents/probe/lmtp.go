// SPDX-License-Identifier: Apache-2.0

package probe

import "context"

// LMTP is the client's side of one LMTP session: RFC 2033.
type LMTP struct{ replies }

// DialLMTP returns once the server has greeted and answered LHLO.
func DialLMTP(ctx context.Context, t Target) (*LMTP, error) {
	c, err := dial(ctx, "LMTP", t)
	if err != nil {
		return nil, err
	}
	l := &LMTP{replies{conn: c}}
	if _, err = l.hear(220, "greeting"); err == nil {
		err = l.hello(ctx, "LHLO")
	}
	if err == nil {
		err = l.begun(ctx)
	}
	if err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// Deliver returns nil once the server is responsible for the message to one
// recipient. The message has lines that end with CRLF, and no sender.
func (l *LMTP) Deliver(to, message string) error {
	if err := l.transaction(to, message); err != nil {
		return err
	}
	_, err := l.hear(250, "end of DATA") // one reply for each recipient that was taken
	return err
}
