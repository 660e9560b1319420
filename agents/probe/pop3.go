// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"context"
	"fmt"
	"strings"
)

// POP3 is the client's side of one POP3 session: RFC 1939.
type POP3 struct{ *conn }

// DialPOP3 returns once the server has greeted and told its capabilities (CAPA,
// RFC 2449).
func DialPOP3(ctx context.Context, t Target) (*POP3, error) {
	c, err := dial(ctx, "POP3", t)
	if err != nil {
		return nil, err
	}
	p := &POP3{c}
	err = p.greet(ctx)
	if err == nil {
		err = p.begun(ctx)
	}
	if err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

func (p *POP3) greet(ctx context.Context) error {
	if err := p.hear("greeting"); err != nil {
		return err
	}
	if p.target.TLS == StartTLS {
		if err := p.command("STLS"); err != nil {
			return err
		}
		if err := p.encrypt(ctx); err != nil {
			return err
		}
	}
	if err := p.command("CAPA"); err != nil {
		return err
	}
	const most = 100
	for range most {
		line, err := p.line()
		if err != nil {
			return p.failed("CAPA", err)
		}
		if line == "." {
			return nil
		}
	}
	return p.failed("CAPA", fmt.Errorf("more than %d lines", most))
}

func (p *POP3) hear(step string) error {
	line, err := p.line()
	if err == nil && line != "+OK" && !strings.HasPrefix(line, "+OK ") {
		err = fmt.Errorf("%q", line)
	}
	if err != nil {
		return p.failed(step, err)
	}
	return nil
}

func (p *POP3) command(verb string) error {
	if err := p.write(verb + "\r\n"); err != nil {
		return p.failed(verb, err)
	}
	return p.hear(verb)
}

// Quit ends the session politely.
func (p *POP3) Quit() error { return p.command("QUIT") }
