// SPDX-License-Identifier: Apache-2.0

package farewell

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Line is a duplicate of a session's socket. As long as it is open the client
// does not see that the server has closed its own.
type Line struct {
	fd    int
	guest Guest
}

// Close gives the duplicate up.
func (l *Line) Close() error { return unix.Close(l.fd) }

// NonBlocking says whether the server reads and writes the socket without
// waiting (O_NONBLOCK). Some servers do so in encrypted sessions only.
func (l *Line) NonBlocking() (bool, error) {
	flags, err := unix.FcntlInt(uintptr(l.fd), unix.F_GETFL, 0)
	if err != nil {
		return false, l.failed(err)
	}
	return flags&unix.O_NONBLOCK != 0, nil
}

// Say speaks the last words and hangs up: the client reads them and then that
// this was all, and so does the server without them. It does not wait. It returns
// [ErrBusy], and says nothing, if the session is not idle any more.
func (l *Line) Say(words []byte) error {
	if err := l.idle(); err != nil {
		return err
	}
	// The send buffer is nearly empty, and takes a line whole.
	if _, err := unix.SendmsgN(l.fd, words, nil, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL); err != nil {
		return l.failed(err)
	}
	return l.shut(unix.SHUT_RDWR)
}

// HangUp makes the server believe that the client has hung up, and leaves it to
// the server how the session ends. It returns [ErrBusy] if the session is not idle
// any more, or was hung up before: until the server has seen that, the kernel still
// lists it as established.
func (l *Line) HangUp() error {
	if err := l.idle(); err != nil {
		return err
	}
	return l.shut(unix.SHUT_RD)
}

func (l *Line) shut(how int) error {
	if err := unix.Shutdown(l.fd, how); err != nil {
		return l.failed(err)
	}
	return nil
}

// idle sees that nothing has come in or gone out since the session was listed.
func (l *Line) idle() error {
	// What was sent and is only not acknowledged yet has been said.
	for _, queue := range []uint{unix.SIOCINQ, unix.SIOCOUTQNSD} {
		n, err := unix.IoctlGetInt(l.fd, queue)
		if err != nil {
			return l.failed(err)
		}
		if n > 0 {
			return ErrBusy
		}
	}
	over, err := l.over()
	if err != nil {
		return err
	}
	if over {
		return ErrBusy
	}
	info, err := unix.GetsockoptTCPInfo(l.fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return l.failed(err)
	}
	if info.State != unix.BPF_TCP_ESTABLISHED ||
		int64(info.Last_data_recv) < l.guest.SinceReceived.Milliseconds() ||
		int64(info.Last_data_sent) < l.guest.SinceSent.Milliseconds() {
		return ErrBusy
	}
	return nil
}

// over says whether one of the two sides has hung up, or somebody did so for the
// client.
func (l *Line) over() (bool, error) {
	fds := []unix.PollFd{{Fd: int32(l.fd), Events: unix.POLLRDHUP}}
	for {
		_, err := unix.Poll(fds, 0)
		switch {
		case err == nil:
			return fds[0].Revents != 0, nil
		case !errors.Is(err, unix.EINTR):
			return false, l.failed(err)
		}
	}
}

func (l *Line) failed(err error) error {
	return fmt.Errorf("end the session with %s: %w", l.guest.Remote, err)
}
