// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"slices"
	"strings"

	"github.com/mailha/mailha/agents"
	"github.com/mailha/mailha/agents/process"
	"github.com/mailha/mailha/agents/socket"
	"github.com/mailha/mailha/vip"
)

// house is who serves whom: in the clear, the process of a session has the client's
// socket itself; with TLS, a login process has it, and passes on what is said by a
// socket of its own.
type house struct {
	hosts   map[uint32][]process.Process // by the inodes of clients' sockets
	mail    map[uint32]process.Process   // imap and pop3 processes by the inodes of their unix sockets
	clients map[int][]socket.TCP         // sockets of a login process on the service's ports
	others  map[int]int                  // how many others it has: to a server that it passes its client on to
	behind  map[int][]process.Process    // processes that a login process passes its clients on to
}

func visit(ctx context.Context, f agents.Facts) (*house, error) {
	ps, err := process.Find(f.Process)
	if err != nil {
		return nil, err
	}
	tcp, err := socket.AllTCP(ctx)
	if err != nil {
		return nil, err
	}
	unix, err := socket.AllUnix(ctx)
	if err != nil {
		return nil, err
	}
	fds := map[int]map[uint32]int{}
	for _, p := range ps {
		if !serves(p) && !isLogin(p) {
			continue
		}
		if fds[p.PID], err = socket.Of(p); err != nil {
			return nil, err
		}
	}
	return furnish(f.Ports, ps, fds, tcp, unix), nil
}

// serves says whether a process has one session, of a user who has logged in.
func serves(p process.Process) bool { return p.Name == imap || p.Name == pop3 }

func isLogin(p process.Process) bool { return strings.HasSuffix(p.Name, "-login") }

func furnish(ports []uint16, ps []process.Process, fds map[int]map[uint32]int, tcp []socket.TCP, unix []socket.Unix) *house {
	h := &house{
		hosts: map[uint32][]process.Process{}, mail: map[uint32]process.Process{},
		clients: map[int][]socket.TCP{}, others: map[int]int{}, behind: map[int][]process.Process{},
	}
	ours := map[uint16]bool{}
	for _, port := range ports {
		ours[port] = true
	}
	connected, peers := map[uint32]socket.TCP{}, map[uint32]uint32{}
	for _, s := range tcp {
		if !s.Listening && s.Inode != 0 {
			connected[s.Inode] = s
		}
	}
	for _, s := range unix {
		peers[s.Inode] = s.Peer
	}
	for _, p := range ps {
		for inode := range fds[p.PID] {
			s, isTCP := connected[inode]
			switch {
			case !isTCP && serves(p):
				h.mail[inode] = p
			case !isTCP:
			case ours[s.Local.Port()]:
				h.hosts[inode] = append(h.hosts[inode], p)
				if isLogin(p) {
					h.clients[p.PID] = append(h.clients[p.PID], s)
				}
			case isLogin(p):
				h.others[p.PID]++
			}
		}
	}
	for _, p := range ps {
		for inode := range fds[p.PID] {
			if host, ok := h.mail[peers[inode]]; ok && isLogin(p) {
				h.behind[p.PID] = append(h.behind[p.PID], host)
			}
		}
	}
	return h
}

// host is the process that ends the session, and no other one, when it is asked to
// end. There may be none, and none that can be told for sure.
func (h *house) host(s vip.Session) (process.Process, bool) {
	if len(h.hosts[s.Inode]) != 1 {
		return process.Process{}, false
	}
	p := h.hosts[s.Inode][0]
	switch {
	case serves(p):
		return p, true
	case len(h.clients[p.PID]) != 1:
		return process.Process{}, false
	case len(h.behind[p.PID]) == 1:
		return h.behind[p.PID][0], true
	}
	// Nobody has logged in yet. Who is passed on to another server could not be told
	// anything.
	return p, len(h.behind[p.PID]) == 0 && h.others[p.PID] == 0
}

// passesOn says whether s is the socket of a client whose login process passes on what
// a process of its own session says.
func (h *house) passesOn(s socket.TCP) bool {
	hosts := h.hosts[s.Inode]
	return slices.ContainsFunc(hosts, func(p process.Process) bool { return isLogin(p) && len(h.behind[p.PID]) > 0 })
}
