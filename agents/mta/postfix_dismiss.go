// SPDX-License-Identifier: Apache-2.0

package mta

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/mailha/mailha/agents"
	"github.com/mailha/mailha/agents/farewell"
	"github.com/mailha/mailha/agents/process"
	"github.com/mailha/mailha/agents/socket"
	"github.com/mailha/mailha/vip"
)

// Dismiss ends idle sessions of smtpd(8) that are outside of a transaction. The
// client is told to try again. One that speaks TLS, into which no other process
// can say a word, only sees the end of the connection: no more than it would see
// at the end of the drain, but soon, and not at the same time as all others.
func (p *Postfix) Dismiss(ctx context.Context, f agents.Facts, idle []vip.Session) (int, error) {
	if p.house == nil {
		house, err := p.readHouse(ctx)
		if err != nil {
			return 0, err
		}
		p.house = &house
	}
	ps, err := process.Find(f.Process)
	if err != nil {
		return 0, err
	}
	ps = slices.DeleteFunc(ps, func(q process.Process) bool { return q.Name != "smtpd" })
	guests, err := farewell.Find(ps, idle)
	if err != nil {
		return 0, err
	}
	ended := 0
	var errs []error
	for _, g := range guests {
		busy, err := p.house.inTransaction(ctx, g)
		if err == nil && !busy {
			err = p.house.dismiss(g)
			if err == nil {
				ended++
			}
		}
		if errors.Is(err, farewell.ErrRefused) {
			return ended, err
		}
		if err != nil && !errors.Is(err, farewell.ErrBusy) {
			errs = append(errs, err)
		}
	}
	return ended, errors.Join(errs...)
}

// house is what has to be known of an instance to part from its clients.
type house struct {
	name    string // postconf(5) myhostname
	proxied bool   // a service has a before-queue filter: postconf(5) smtpd_proxy_filter
}

func (p *Postfix) readHouse(ctx context.Context) (house, error) {
	main, err := p.postconf(ctx, "-h", "myhostname", "smtpd_proxy_filter", "smtpd_proxy_options")
	if err != nil {
		return house{}, err
	}
	// What master.cf has instead, per service.
	services, err := p.postconf(ctx, "-P", "*/*/smtpd_proxy_filter", "*/*/smtpd_proxy_options")
	if err != nil {
		return house{}, err
	}
	return parseHouse(main, services)
}

// parseHouse reads the values of myhostname, smtpd_proxy_filter and
// smtpd_proxy_options, a line each, and postconf -P's lines for the latter two.
func parseHouse(main, services string) (house, error) {
	lines := strings.Split(strings.TrimSuffix(main, "\n"), "\n")
	if len(lines) != 3 {
		return house{}, fmt.Errorf("%w: postconf printed %d lines for 3 parameters", agents.ErrNode, len(lines))
	}
	h := house{name: lines[0], proxied: lines[1] != ""}
	late := lines[2] != ""
	for line := range strings.Lines(services) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		set := strings.TrimSpace(value) != ""
		h.proxied = h.proxied || set && strings.HasSuffix(strings.TrimSpace(name), "/smtpd_proxy_filter")
		late = late || set && strings.HasSuffix(strings.TrimSpace(name), "/smtpd_proxy_options")
	}
	if h.proxied && late {
		return house{}, errors.New("smtpd_proxy_options is set (speed_adjust): nothing tells then which sessions are within a transaction")
	}
	return h, nil
}

// inTransaction says whether smtpd has begun to hand a message on, which it does
// when it takes the first recipient (with smtpd_delay_open_until_valid_rcpt=no,
// the sender): to cleanup(8), which has one of the instance's public sockets, as
// nobody else has that smtpd stays connected to, or to a before-queue filter.
func (h house) inTransaction(ctx context.Context, g farewell.Guest) (bool, error) {
	fds, err := socket.Of(g.Host)
	if err != nil {
		return false, err
	}
	all, err := socket.AllUnix(ctx)
	if err != nil {
		return false, err
	}
	if h.handsOn(fds, all) || !h.proxied {
		return h.handsOn(fds, all), nil
	}
	delete(fds, g.Inode)
	tcp, err := socket.AllTCP(ctx)
	return slices.ContainsFunc(tcp, func(s socket.TCP) bool {
		_, own := fds[s.Inode]
		return own && !s.Listening
	}), err
}

// handsOn looks at the unix sockets.
func (h house) handsOn(own map[uint32]int, all []socket.Unix) bool {
	names := map[uint32]string{}
	for _, s := range all {
		names[s.Inode] = s.Name
	}
	return slices.ContainsFunc(all, func(s socket.Unix) bool {
		if _, ours := own[s.Inode]; !ours || !s.Stream {
			return false
		}
		// Whoever has closed its end, or not taken it up yet, is not in the list. A
		// client cannot have the word before cleanup(8) has answered.
		peer := names[s.Peer]
		return strings.HasPrefix(peer, "public/") ||
			h.proxied && peer != "" && !strings.HasPrefix(peer, "private/")
	})
}

func (h house) dismiss(g farewell.Guest) error {
	line, err := g.Open()
	if err != nil {
		return err
	}
	defer line.Close()
	// Postfix waits in read(2) for plain text, but turns that off for good before
	// the first byte of TLS: single_server.c, tls_server.c.
	tls, err := line.NonBlocking()
	if err != nil {
		return err
	}
	if tls {
		return line.HangUp()
	}
	return line.Say(farewell.SMTP(h.name))
}
