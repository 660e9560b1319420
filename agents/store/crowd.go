// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/mailha/mailha/agents"
	"github.com/mailha/mailha/agents/process"
	"github.com/mailha/mailha/vip"
)

// dismissCrowds ends idle sessions of login processes that pass on many clients
// (service_count = 0). Nothing tells then which process serves which of them, but
// Dovecot knows from which address each one's client comes. Where all clients from an
// address have logged in and are idle, any of them may go.
func (d *Dovecot) dismissCrowds(ctx context.Context, f agents.Facts, h *house, idle []vip.Session) (int, error) {
	offered, logins := map[place]int{}, map[int]process.Process{}
	for _, s := range idle {
		if hosts := h.hosts[s.Inode]; len(hosts) == 1 && len(h.clients[hosts[0].PID]) > 1 {
			offered[place{hosts[0].PID, s.Remote.Addr()}]++
			logins[hosts[0].PID] = hosts[0]
		}
	}
	if len(offered) == 0 {
		return 0, nil
	}
	from, err := whereFrom(ctx, f)
	if err != nil {
		return 0, err
	}
	all, err := vip.Sessions(ctx, nil, f.Ports)
	if err != nil {
		return 0, err
	}
	waits := map[uint32]bool{}
	for _, s := range all {
		waits[s.Inode] = s.Idle() > 0
	}
	ended := 0
	var errs []error
	for where, n := range offered {
		for _, p := range h.anyOf(where, from, waits) {
			if n == 0 {
				break
			}
			parted, err := d.part(p)
			if parted {
				ended, n = ended+1, n-1
				d.sent(logins[where.login])
			}
			errs = append(errs, err)
		}
	}
	return ended, errors.Join(errs...)
}

// place is a login process, and an address from which some of its clients come.
type place struct {
	login  int
	remote netip.Addr
}

// anyOf lists the IMAP processes that serve clients from there, if all of these
// clients have one and are idle.
func (h *house) anyOf(where place, from map[int]netip.Addr, waits map[uint32]bool) []process.Process {
	var hosts []process.Process
	for _, p := range h.behind[where.login] {
		if from[p.PID] == where.remote {
			hosts = append(hosts, p)
		}
	}
	clients := 0
	for _, c := range h.clients[where.login] {
		if c.Remote.Addr() == where.remote {
			clients++
			if !waits[c.Inode] {
				return nil
			}
		}
	}
	if clients != len(hosts) || slices.ContainsFunc(hosts, func(p process.Process) bool { return p.Name != imap }) {
		return nil
	}
	return hosts
}

// whereFrom asks Dovecot's anvil process from which address the client of each
// process comes: what "doveadm who" shows, but without the configuration.
func whereFrom(ctx context.Context, f agents.Facts) (map[int]netip.Addr, error) {
	if f.RunDir == "" {
		return nil, errors.New("nobody knows where Dovecot's own sockets are")
	}
	const most = 1 << 20 // sessions
	lines, err := ask(ctx, filepath.Join(f.RunDir, "anvil"), "VERSION\tanvil\t1\t0\nCONNECT-DUMP\n", most)
	if err != nil {
		return nil, fmt.Errorf("ask Dovecot who is there: %w", err)
	}
	from := map[int]netip.Addr{}
	for _, line := range lines {
		if pid, addr, ok := parseWho(line); ok {
			from[pid] = addr
		}
	}
	return from, nil
}

// parseWho reads a line such as "imap/192.0.2.7/user<TAB>4711<TAB>1".
func parseWho(line string) (pid int, addr netip.Addr, ok bool) {
	fields := strings.Split(line, "\t")
	if len(fields) < 2 {
		return 0, netip.Addr{}, false
	}
	_, rest, _ := strings.Cut(fields[0], "/")
	text, _, _ := strings.Cut(rest, "/")
	addr, err := netip.ParseAddr(text)
	pid, pidErr := strconv.Atoi(fields[1])
	return pid, addr.Unmap(), err == nil && pidErr == nil && pid > 0
}
