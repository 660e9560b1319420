// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/mailha/mailha/resources"
)

// Where mailhad listens by default, and whose members may use it beside root.
const (
	Socket      = "/run/mailha/mailhad.sock"
	SocketGroup = "mailha"
)

// Listen makes the unix socket, in the place of one that a former daemon left:
// for root and the group, if there is such a one. The caller sees to it that
// there is one daemon at a time.
func Listen(ctx context.Context, path, group string) (net.Listener, error) {
	fail := func(err error) (net.Listener, error) { return nil, fmt.Errorf("listen on %s: %w", path, err) }
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fail(err)
	}
	// Under another name until nobody else can use it.
	fresh := path + ".new"
	if err := os.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fail(err)
	}
	var cfg net.ListenConfig
	l, err := cfg.Listen(ctx, "unix", fresh)
	if err != nil {
		return fail(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := admit(fresh, path, group); err != nil {
		l.Close()
		return fail(err)
	}
	return limit(&socket{Listener: l, path: path}, maxConns), nil
}

// admit sets who may use a socket, and gives it its name.
func admit(fresh, path, group string) error {
	mode := fs.FileMode(0o600)
	if g, err := user.LookupGroup(group); err == nil {
		gid, err := strconv.Atoi(g.Gid)
		if err != nil {
			return fmt.Errorf("group %s has the ID %q", group, g.Gid)
		}
		if err := os.Chown(fresh, -1, gid); err != nil {
			return err
		}
		mode = 0o660
	}
	if err := os.Chmod(fresh, mode); err != nil {
		return err
	}
	return os.Rename(fresh, path)
}

// socket removes its file when it is closed.
type socket struct {
	net.Listener
	path string
}

func (s *socket) Close() error {
	err := s.Listener.Close()
	if gone := os.Remove(s.path); gone != nil && !errors.Is(gone, fs.ErrNotExist) {
		return errors.Join(err, gone)
	}
	return err
}

// ListenTLS listens where the configuration says, for those who have a
// certificate that its CA has signed. The files are read for each connection,
// so that renewed ones need no restart; that they can be read is seen at once.
func ListenTLS(ctx context.Context, a resources.API) (net.Listener, error) {
	fail := func(err error) (net.Listener, error) { return nil, fmt.Errorf("listen on %s: %w", a.Listen, err) }
	if _, err := serverTLS(a); err != nil {
		return fail(err)
	}
	var cfg net.ListenConfig
	l, err := cfg.Listen(ctx, "tcp", a.Listen.String())
	if err != nil {
		return fail(err)
	}
	return tls.NewListener(limit(l, maxConns), &tls.Config{
		MinVersion:         tls.VersionTLS13,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return serverTLS(a) },
	}), nil
}

func serverTLS(a resources.API) (*tls.Config, error) {
	cert, err := tls.LoadX509KeyPair(a.CertFile, a.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("the API's certificate: %w", err)
	}
	clients, err := pool(a.ClientCAFile)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{cert},
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients,
		NextProtos: []string{"http/1.1"},
	}, nil
}

func pool(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("the CA's certificate: %w", err)
	}
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("the CA's certificate: %s has none", file)
	}
	return p, nil
}

// limit bounds how many connections are open at once: more wait.
func limit(l net.Listener, most int) net.Listener {
	return &limited{Listener: l, room: make(chan struct{}, most), closed: make(chan struct{})}
}

type limited struct {
	net.Listener
	room   chan struct{}
	closed chan struct{}
	once   sync.Once
}

func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.room <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.room
		return nil, err
	}
	return &counted{Conn: c, leave: sync.OnceFunc(func() { <-l.room })}, nil
}

func (l *limited) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

type counted struct {
	net.Conn
	leave func()
}

func (c *counted) Close() error {
	defer c.leave()
	return c.Conn.Close()
}
