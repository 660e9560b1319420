// SPDX-License-Identifier: Apache-2.0

// Package farewell ends idle sessions of another process politely: it says the
// protocol's last words through a duplicate of that process's own socket, and
// hangs up. The process sees that the client is gone, and cleans up by itself.
//
// It must never speak into a session in which the client or the server has the
// word, and never into one that is encrypted: that is for the caller to find out.
package farewell

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/mailha/mailha/agents/process"
	"github.com/mailha/mailha/agents/socket"
	"github.com/mailha/mailha/vip"
)

var (
	// ErrBusy says that a session was not idle any more, or had ended.
	ErrBusy = errors.New("session is not idle any more")
	// ErrRefused says that the kernel lets nobody reach the sockets of other
	// processes: no session can be ended in this way.
	ErrRefused = errors.New("the kernel does not let us reach the sockets of other processes")
)

// Guest is a session and the process that serves it.
type Guest struct {
	vip.Session
	Host process.Process

	fd int // in Host
}

// Find says which of the processes serves which of the sessions. Sessions that
// none of them has are left out. So are those that several have: nothing tells
// which of these is in charge.
func Find(ps []process.Process, sessions []vip.Session) ([]Guest, error) {
	found := map[uint32][]Guest{}
	for _, p := range ps {
		fds, err := socket.Of(p)
		if err != nil {
			return nil, err
		}
		for _, s := range sessions {
			if fd, ok := fds[s.Inode]; ok {
				found[s.Inode] = append(found[s.Inode], Guest{s, p, fd})
			}
		}
	}
	var guests []Guest
	for _, s := range sessions {
		if hosts := found[s.Inode]; len(hosts) == 1 {
			guests = append(guests, hosts[0])
		}
	}
	return guests, nil
}

// Open gets a duplicate of the session's socket: pidfd_getfd(2), Linux 5.6. It
// returns [ErrBusy] if the session has ended meanwhile, and [ErrRefused] if the
// kernel lets no socket be had.
func (g Guest) Open() (*Line, error) {
	pid, err := g.Host.Open()
	if errors.Is(err, process.ErrGone) {
		return nil, fmt.Errorf("%w: %w", ErrBusy, err)
	}
	if err != nil {
		return nil, err
	}
	defer unix.Close(pid)
	fd, err := unix.PidfdGetfd(pid, g.fd, 0)
	switch {
	case errors.Is(err, unix.EBADF), errors.Is(err, unix.ESRCH):
		return nil, fmt.Errorf("%w: %w", ErrBusy, err)
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.ENOSYS):
		return nil, fmt.Errorf("%w: pidfd_getfd: %w (see kernel.yama.ptrace_scope, CAP_SYS_PTRACE and seccomp filters)", ErrRefused, err)
	case err != nil:
		return nil, fmt.Errorf("duplicate a socket of %s: %w", g.Host, err)
	}
	l := &Line{fd: fd, guest: g}
	if err := l.same(); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return l, nil
}

// same sees that the number still stands for the session's socket.
func (l *Line) same() error {
	var st unix.Stat_t
	if err := unix.Fstat(l.fd, &st); err != nil {
		return fmt.Errorf("session with %s: %w", l.guest.Remote, err)
	}
	if uint32(st.Ino) != l.guest.Inode || st.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return ErrBusy
	}
	return nil
}
