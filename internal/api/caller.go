// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os/user"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// caller is who asks, as the kernel or a certificate says.
type caller struct {
	name string
	may  bool // change something
}

type callerKey struct{}

// withCaller notes who is at the other end of a unix socket.
func withCaller(ctx context.Context, c net.Conn) context.Context {
	if l, ok := c.(*counted); ok {
		c = l.Conn
	}
	local, ok := c.(*net.UnixConn)
	if !ok {
		return ctx // its certificate will tell
	}
	who, err := peer(local)
	if err != nil {
		return ctx
	}
	return context.WithValue(ctx, callerKey{}, caller{who, true})
}

// peer is the user at the other end: SO_PEERCRED of unix(7), as of connect(2).
func peer(c *net.UnixConn) (string, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return "", fmt.Errorf("ask who is connected: %w", err)
	}
	var cred *unix.Ucred
	var failed error
	err = raw.Control(func(fd uintptr) { cred, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err == nil {
		err = failed
	}
	if err != nil {
		return "", fmt.Errorf("ask who is connected: %w", err)
	}
	id := strconv.FormatUint(uint64(cred.Uid), 10)
	u, err := user.LookupId(id) // without cgo it reads /etc/passwd, and waits for nobody
	if err != nil {
		return "uid " + id, nil
	}
	return u.Username, nil
}

// caller is who sent a request.
func (s *Server) caller(r *http.Request) caller {
	if c, ok := r.Context().Value(callerKey{}).(caller); ok {
		return c
	}
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return caller{name: "somebody"}
	}
	name := r.TLS.PeerCertificates[0].Subject.CommonName
	c := s.Cluster()
	return caller{name: name, may: name != "" && c != nil && slices.Contains(c.API.Operators, name)}
}
