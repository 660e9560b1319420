// SPDX-License-Identifier: Apache-2.0

package directory

import (
	"context"
	"errors"
	"slices"

	"github.com/mailha/mailha/agents"
	"github.com/mailha/mailha/agents/farewell"
	"github.com/mailha/mailha/agents/ldap"
	"github.com/mailha/mailha/agents/process"
	"github.com/mailha/mailha/vip"
)

// Dismiss ends idle sessions by a notice of disconnection, after which a client
// knows that it has to connect anew. Where the server speaks TLS, into which no
// other process can say a word, clients only see the end of the connection: on
// one port there may be those that use it and those that do not.
func (o *OpenLDAP) Dismiss(ctx context.Context, f agents.Facts, idle []vip.Session) (int, error) {
	if o.mute == nil {
		mute := o.speaksTLS(ctx, f)
		o.mute = &mute
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
		if g.Idle() == 0 {
			continue
		}
		err := dismiss(g, *o.mute)
		switch {
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

func dismiss(g farewell.Guest, mute bool) error {
	line, err := g.Open()
	if err != nil {
		return err
	}
	defer line.Close()
	if mute {
		return line.HangUp()
	}
	return line.Say(farewell.LDAP("this server's address moves, connect again"))
}

// speaksTLS is true if that cannot be found out.
func (o *OpenLDAP) speaksTLS(ctx context.Context, f agents.Facts) bool {
	for _, text := range f.URLs {
		if u, err := ldap.ParseURL(text); err != nil || u.Scheme == "ldaps" {
			return true
		}
	}
	c, err := o.control(ctx, f)
	if err != nil {
		return true
	}
	defer c.Close()
	dse, err := c.RootDSE()
	return err != nil || slices.Contains(dse.Values("supportedExtension"), startTLSOID)
}
