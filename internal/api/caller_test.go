// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"io/fs"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mailha/mailha/internal/api"
	"github.com/mailha/mailha/internal/api/apitest"
	"github.com/mailha/mailha/internal/state"
	"github.com/mailha/mailha/resources"
)

// as sends a request of another user's. The thread that was that user ends.
func as(t *testing.T, uid int, socket, text string) string {
	t.Helper()
	answer := make(chan string)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread is of no use to others
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)); errno != 0 {
			answer <- errno.Error()
			return
		}
		c, err := net.Dial("unix", socket)
		if err != nil {
			answer <- err.Error()
			return
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(10 * time.Second))
		io.WriteString(c, text)
		data, err := io.ReadAll(c)
		if err != nil {
			data = append(data, err.Error()...)
		}
		answer <- string(data)
	}()
	return <-answer
}

const (
	askMove  = "POST /v1/groups/mx/move HTTP/1.0\r\nX-Remote-User: root\r\n\r\n"
	stranger = 54321
)

func TestSenderIsWhoTheKernelSays(t *testing.T) {
	c := apitest.Serve(t)
	if got := as(t, stranger, c.Socket, askMove); !strings.Contains(got, "permission denied") {
		t.Errorf("a stranger got %q", got)
	}
	if w := c.Wishes(); len(w) != 0 {
		t.Fatalf("a stranger changed something: %v", w)
	}
	if got := as(t, 0, c.Socket, askMove); !strings.Contains(got, "200 OK") || c.Wishes()[0].By != "root" {
		t.Errorf("root got %q, and asked as %+v", got, c.Wishes())
	}
	c.Change(func(s *state.Snapshot) { s.Wishes = nil })
	// Where everybody may connect, everybody goes by their own name.
	if err := os.Chmod(c.Socket, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(c.Socket), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(filepath.Dir(c.Socket)), 0o755); err != nil {
		t.Fatal(err)
	}
	if got := as(t, stranger, c.Socket, askMove); !strings.Contains(got, "200 OK") || c.Wishes()[0].By != "uid 54321" {
		t.Errorf("a stranger got %q, and asked as %+v", got, c.Wishes())
	}
}

func TestSocketIsForRootAndItsGroup(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run", "mailhad.sock")
	for range 2 { // the second time a former daemon has left it
		l, err := api.Listen(t.Context(), path, "daemon")
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		var st unix.Stat_t
		if err := unix.Stat(path, &st); err != nil {
			t.Fatal(err)
		}
		if info.Mode() != fs.ModeSocket|0o660 || st.Uid != 0 || st.Gid == 0 {
			t.Errorf("%s, of %d:%d", info.Mode(), st.Uid, st.Gid)
		}
		if _, err := os.Stat(path + ".new"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("it is there twice: %v", err)
		}
		_ = l // left as it is, as by a daemon that was killed
	}
	l, err := api.Listen(t.Context(), path, "no-such-group")
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("without the group: %v, %v", info, err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it stays: %v", err)
	}
}

// authority signs certificates for a test.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	next int64
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t, dir: t.TempDir(), next: 1}
	a.key = a.newKey()
	a.cert = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	a.write("ca", a.cert, a.key)
	return a
}

func (a *authority) newKey() *ecdsa.PrivateKey {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	return k
}

func (a *authority) write(name string, c *x509.Certificate, key *ecdsa.PrivateKey) {
	a.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{a.file(name): {Type: "CERTIFICATE", Bytes: der}, a.key_(name): {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name+".pem") }
func (a *authority) key_(name string) string { return filepath.Join(a.dir, name+"-key.pem") }

func (a *authority) sign(name string) {
	a.next++
	a.write(name, &x509.Certificate{
		SerialNumber: big.NewInt(a.next), Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a.newKey())
}

func (a *authority) client(name string) api.TLS {
	return api.TLS{CertFile: a.file(name), KeyFile: a.key_(name), CAFile: a.file("ca")}
}

func TestCertificates(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	for _, name := range []string{"server", "alice", "carol"} {
		a.sign(name)
		other.sign(name)
	}
	c := apitest.Serve(t)
	c.Configure(t, strings.Replace(apitest.Config, "[[node]]", `[api]
listen = "127.0.0.1:1"
cert_file = "/x"
key_file = "/x"
client_ca_file = "/x"
operators = ["alice"]
[[node]]`, 1))
	l, err := api.ListenTLS(t.Context(), resources.API{
		Listen: netip.MustParseAddrPort("127.0.0.1:0"), CertFile: a.file("server"), KeyFile: a.key_("server"), ClientCAFile: a.file("ca"),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Server.Serve(ctx, l) }()
	address := l.Addr().String()
	dial := func(files api.TLS) *api.Client {
		t.Helper()
		client, err := api.DialTLS(address, files)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(client.Close)
		return client
	}
	move := api.Path("groups", "mx", "move")
	var fault *api.Fault

	carol := dial(a.client("carol"))
	if s, err := carol.Status(t.Context()); err != nil || s.Cluster != "mail" {
		t.Errorf("carol looks: %+v, %v", s, err)
	}
	for what, ask := range map[string]func() error{
		"moves":  func() error { _, err := carol.Ask(t.Context(), move, api.Change{}); return err },
		"unbans": func() error { _, err := carol.Undo(t.Context(), api.Path("groups", "mx", "bans")); return err },
		"changes": func() error {
			_, err := carol.Apply(t.Context(), api.ConfigChange{TOML: apitest.Config, Revision: 5})
			return err
		},
		"releases": func() error {
			_, err := carol.Ask(t.Context(), api.Path("groups", "mx", "release"), api.Change{})
			return err
		},
	} {
		if err := ask(); !errors.As(err, &fault) || fault.Code != api.CodeForbidden {
			t.Errorf("carol %s: %v", what, err)
		}
	}
	if _, err := carol.Review(t.Context(), api.ConfigChange{TOML: apitest.Config}); err != nil {
		t.Errorf("carol reviews: %v", err)
	}
	if _, err := dial(a.client("alice")).Ask(t.Context(), move, api.Change{}); err != nil || c.Wishes()[0].By != "alice" {
		t.Errorf("alice moves: %v, %+v", err, c.Wishes())
	}
	// Of another authority, from either side.
	if _, err := dial(api.TLS{CertFile: other.file("alice"), KeyFile: other.key_("alice"), CAFile: a.file("ca")}).Status(t.Context()); !errors.Is(err, api.ErrUnreachable) {
		t.Errorf("another's alice: %v", err)
	}
	if _, err := dial(api.TLS{CertFile: a.file("alice"), KeyFile: a.key_("alice"), CAFile: other.file("ca")}).Status(t.Context()); !errors.Is(err, api.ErrUnreachable) {
		t.Errorf("another's server: %v", err)
	}
	// Without one, and without TLS.
	if conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true}); err == nil {
		conn.SetDeadline(time.Now().Add(10 * time.Second))
		io.WriteString(conn, "GET /v1/status HTTP/1.0\r\n\r\n")
		if data, err := io.ReadAll(conn); err == nil || len(data) > 0 {
			t.Errorf("nobody got %q, %v", data, err)
		}
		conn.Close()
	}
	// A renewed certificate is taken without a restart; a broken one ends nothing.
	a.sign("server")
	if _, err := dial(a.client("carol")).Status(t.Context()); err != nil {
		t.Errorf("after a renewal: %v", err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := api.ListenTLS(t.Context(), resources.API{Listen: netip.MustParseAddrPort("127.0.0.1:0"), CertFile: "/nonexistent"}); err == nil {
		t.Error("it listens without a certificate")
	}
}
