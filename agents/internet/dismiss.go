// SPDX-License-Identifier: Apache-2.0

package internet

import (
	"context"
	"errors"
	"slices"

	"github.com/mailha/mailha/agents"
	"github.com/mailha/mailha/agents/farewell"
	"github.com/mailha/mailha/agents/process"
	"github.com/mailha/mailha/vip"
)

// Dismiss asks the backend, if it can do it. For any other daemon the last words
// of each protocol are said on its socket; a session that may be encrypted is
// hung up for the daemon, which then ends it in its own way.
func (p *part) Dismiss(ctx context.Context, f agents.Facts, idle []vip.Session) (int, error) {
	if d, ok := p.backend.(agents.Dismisser); ok {
		return d.Dismiss(ctx, f, idle)
	}
	ps, err := process.Find(f.Process)
	if err != nil {
		return 0, err
	}
	guests, err := farewell.Find(ps, idle)
	if err != nil {
		return 0, err
	}
	ended := 0
	var errs []error
	for _, g := range guests {
		switch err := p.part(g); {
		case err == nil:
			ended++
		case errors.Is(err, farewell.ErrRefused):
			return ended, err
		case !errors.Is(err, farewell.ErrBusy):
			errs = append(errs, err)
		}
	}
	return ended, errors.Join(errs...)
}

// part parts from one client.
func (p *part) part(g farewell.Guest) error {
	line, err := g.Open()
	if err != nil {
		return err
	}
	defer line.Close()
	if words := p.lastWords(g.Local.Port()); words != nil {
		return line.Say(words)
	}
	return line.HangUp()
}

// lastWords are none where the session may be encrypted, and where the protocol
// has none, as POP3.
func (p *part) lastWords(port uint16) []byte {
	const text = "Server closing, come back in a moment"
	doors := p.protocols()
	i := slices.IndexFunc(doors, func(q protocol) bool { return q.port == port })
	if i < 0 || doors[i].tls != none {
		return nil
	}
	switch doors[i].name {
	case "imap":
		return farewell.IMAP(text)
	case "ldap":
		return farewell.LDAP(text)
	}
	return nil
}
