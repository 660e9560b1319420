// SPDX-License-Identifier: Apache-2.0

package trust

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// book keeps invitations as etcd does.
type book struct {
	mu   sync.Mutex
	kept map[string]Invitation
}

func (b *book) Invitation(_ context.Context, id string) (Invitation, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	i, found := b.kept[id]
	if !found {
		return Invitation{}, ErrToken
	}
	return i, nil
}

func (b *book) Redeem(_ context.Context, i Invitation) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, found := b.kept[i.ID]; !found {
		return ErrToken
	}
	delete(b.kept, i.ID)
	return nil
}

// house is a cluster's first node with its door open.
type house struct {
	t    *testing.T
	dir  Dir
	book *book
	at   netip.AddrPort
	log  *bytes.Buffer
	door *Door
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{t: t, dir: Dir(filepath.Join(t.TempDir(), "tls")), book: &book{kept: map[string]Invitation{}}, log: &bytes.Buffer{}}
	if err := h.dir.Found("c1", Subject{"n1", RoleNode, []netip.Addr{localhost()}}, time.Now()); err != nil {
		t.Fatal(err)
	}
	h.door = &Door{
		Dir: h.dir, Invitations: h.book, Log: slog.New(slog.NewTextHandler(h.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Admit: func(_ context.Context, i Invitation) (Welcome, error) {
			return Welcome{Config: "name = \"c1\"\n", Members: []Peer{{"n1", "https://127.0.0.1:1", "https://127.0.0.1:2"}}}, nil
		},
	}
	server, err := h.door.Server()
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h.at = netip.MustParseAddrPort(l.Addr().String())
	done := make(chan struct{})
	go func() { defer close(done); server.ServeTLS(l, "", "") }()
	t.Cleanup(func() { server.Close(); <-done })
	return h
}

func (h *house) invite(node string, witness bool) Token {
	h.t.Helper()
	a, err := h.dir.Authority()
	if err != nil {
		h.t.Fatal(err)
	}
	t, i, err := Invite("c1", Invitation{Node: node, Addresses: []netip.Addr{localhost()}, Witness: witness, By: "root", Until: time.Now().Add(TokenLife)}, h.at, a.Fingerprint())
	if err != nil {
		h.t.Fatal(err)
	}
	h.book.kept[i.ID] = i
	return t
}

func emptyDir(t *testing.T) Dir { return Dir(filepath.Join(t.TempDir(), "tls")) }

func TestJoin(t *testing.T) {
	for _, witness := range []bool{false, true} {
		t.Run(fmt.Sprint("witness=", witness), func(t *testing.T) {
			h := newHouse(t)
			token, err := ReadToken(strings.NewReader("\n " + h.invite("n2", witness).Text() + "\n"))
			if err != nil {
				t.Fatal(err)
			}
			dir := emptyDir(t)
			welcome, err := dir.Join(t.Context(), token)
			if err != nil {
				t.Fatal(err)
			}
			want := Welcome{"name = \"c1\"\n", []Peer{{"n1", "https://127.0.0.1:1", "https://127.0.0.1:2"}}}
			if diff := cmp.Diff(want, welcome); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			// Everything that was written is for root alone.
			err = filepath.WalkDir(string(dir), func(path string, e fs.DirEntry, err error) error {
				if err != nil {
					return err
				}
				info, err := e.Info()
				if err == nil && info.Mode().Perm()&0o077 != 0 {
					t.Errorf("%s has the mode %o", path, info.Mode().Perm())
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
			if _, err := dir.Authority(); errors.Is(err, ErrNoAuthority) != witness || err != nil && !witness {
				t.Errorf("the authority: %v", err)
			}
			cert, err := dir.Certificate()
			if err != nil {
				t.Fatal(err)
			}
			subject, err := SubjectOf(cert)
			if diff := cmp.Diff(Subject{"n2", RoleNode, []netip.Addr{localhost()}}, subject, cmpopts.EquateComparable(netip.Addr{})); diff != "" || err != nil {
				t.Errorf("%v (-want +got)\n%s", err, diff)
			}
			if _, err := emptyDir(t).Join(t.Context(), token); !errors.Is(err, ErrToken) {
				t.Errorf("used twice: %v", err)
			}
			if _, err := dir.Join(t.Context(), h.invite("n2", false)); err == nil || errors.Is(err, ErrToken) {
				t.Errorf("joined twice: %v", err)
			}
			// It can ask for another certificate by the one that it has.
			before := cert.SerialNumber
			if err := dir.RenewFrom(t.Context(), h.at); err != nil {
				t.Error(err)
			}
			if cert, err = dir.Certificate(); err != nil || cert.SerialNumber.Cmp(before) == 0 {
				t.Errorf("not renewed: %v", err)
			}
			if text := h.log.String(); strings.Contains(text, token.Text()) || strings.Contains(text, fmt.Sprintf("%x", token.secret)) || strings.Contains(text, "PRIVATE") {
				t.Errorf("a secret is in the log:\n%s", text)
			}
		})
	}
}

func TestJoinIsRefused(t *testing.T) {
	for name, change := range map[string]func(*house, *Token){
		"another secret":      func(_ *house, t *Token) { t.secret = bytes.Repeat([]byte{1}, secretLen) },
		"no secret":           func(_ *house, t *Token) { t.secret = nil },
		"another name":        func(_ *house, t *Token) { t.Node = "n3" },
		"another invitation":  func(h *house, t *Token) { t.ID = h.invite("n2", false).ID },
		"unknown":             func(_ *house, t *Token) { t.ID = "0000000000000000" },
		"a name that is path": func(_ *house, t *Token) { t.ID = "../nodes/n1" },
		"over": func(h *house, _ *Token) {
			h.door.Now = func() time.Time { return time.Now().Add(TokenLife + time.Second) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			token := h.invite("n2", false)
			change(h, &token)
			dir := emptyDir(t)
			if _, err := dir.Join(t.Context(), token); !errors.Is(err, ErrToken) {
				t.Errorf("got %v", err)
			}
			if _, err := os.Stat(string(dir)); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("something was written: %v", err)
			}
		})
	}
	t.Run("not the cluster of the token", func(t *testing.T) {
		h, other := newHouse(t), newHouse(t)
		token := h.invite("n2", false)
		token.At = other.at
		if _, err := emptyDir(t).Join(t.Context(), token); err == nil || !strings.Contains(err.Error(), "another authority") {
			t.Errorf("got %v", err)
		}
	})
}

// A server that shows the right authority's certificate, but has none of its own
// from it.
func TestJoinRefusesAnImpostor(t *testing.T) {
	h := newHouse(t)
	token := h.invite("n2", false)
	other := emptyDir(t)
	if err := other.Found("c1", Subject{"n1", RoleNode, []netip.Addr{localhost()}}, time.Now()); err != nil {
		t.Fatal(err)
	}
	pair, err := other.pair()
	if err != nil {
		t.Fatal(err)
	}
	a, err := h.dir.Authority()
	if err != nil {
		t.Fatal(err)
	}
	for name, der := range map[string][]byte{"of another authority": pair.Certificate[0]} {
		t.Run(name, func(t *testing.T) {
			l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der, a.cert.Raw}, PrivateKey: pair.PrivateKey}}})
			if err != nil {
				t.Fatal(err)
			}
			server := &http.Server{ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0), Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				t.Errorf("it got %q", body)
			})}
			go server.Serve(l)
			defer server.Close()
			token.At = netip.MustParseAddrPort(l.Addr().String())
			if _, err := emptyDir(t).Join(t.Context(), token); err == nil || !strings.Contains(err.Error(), "not good") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// A reader's certificate is of the same authority, and is no node's.
func TestReadersAreNoNodes(t *testing.T) {
	h := newHouse(t)
	a, err := h.dir.Authority()
	if err != nil {
		t.Fatal(err)
	}
	key, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	text, err := a.Issue(Subject{Name: "anna", Role: RoleReader}, key.Public(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	dir := emptyDir(t)
	if err := errors.Join(dir.write(dir.CA(), encodeCert(a.cert)), dir.install(text, key)); err != nil {
		t.Fatal(err)
	}
	if err := dir.RenewFrom(t.Context(), h.at); err == nil || !strings.Contains(err.Error(), "only a node") {
		t.Errorf("got %v", err)
	}
	cert, err := dir.Certificate()
	if err != nil {
		t.Fatal(err)
	}
	if err := verify([]*x509.Certificate{cert, a.cert}, a.Fingerprint()); err == nil {
		t.Error("a reader passes for a member")
	}
	if s, err := SubjectOf(cert); err != nil || s.Role != RoleReader {
		t.Errorf("%v, %v", s, err)
	}
}

// founded is the directory of a cluster's first node.
func founded(t *testing.T, node Subject, at time.Time) Dir {
	t.Helper()
	dir := emptyDir(t)
	if err := dir.Found("c1", node, at); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestRenew(t *testing.T) {
	start := time.Now()
	node := Subject{"n1", RoleNode, []netip.Addr{localhost()}}
	more := Subject{"n1", RoleNode, []netip.Addr{localhost(), netip.MustParseAddr("2001:db8::1")}}
	const day = 24 * time.Hour
	for _, tt := range []struct {
		name  string
		node  Subject
		after time.Duration
		want  bool
	}{
		{"fresh", node, 0, false},
		{"more than a third left", node, 480 * day, false},
		{"less than a third left", node, 490 * day, true},
		{"long over", node, 3000 * day, true},
		{"another address", more, 0, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := founded(t, node, start)
			got, err := dir.Renew(tt.node, start.Add(tt.after))
			if err != nil || got != tt.want {
				t.Errorf("got %t, %v", got, err)
			}
			if got, err := dir.Renew(tt.node, start.Add(tt.after)); err != nil || got {
				t.Errorf("again: %t, %v", got, err)
			}
			if err := os.Remove(dir.AuthorityKey()); err != nil {
				t.Fatal(err)
			}
			if _, err := dir.Renew(tt.node, start.Add(tt.after+3000*day)); !errors.Is(err, ErrNoAuthority) {
				t.Errorf("without the authority: %v", err)
			}
		})
	}
}

// A node whose clock is ahead renews too early, and is let in all the same.
func TestRenewAhead(t *testing.T) {
	start := time.Now()
	node := Subject{"n1", RoleNode, []netip.Addr{localhost()}}
	dir := founded(t, node, start)
	const day = 24 * time.Hour
	if renewed, err := dir.Renew(node, start.Add(600*day)); err != nil || !renewed {
		t.Fatalf("%t, %v", renewed, err)
	}
	cert, err := dir.Certificate()
	if err != nil {
		t.Fatal(err)
	}
	if now := time.Now(); now.Before(cert.NotBefore) || cert.NotAfter.Sub(now) < nodeLife {
		t.Errorf("good from %s to %s", cert.NotBefore, cert.NotAfter)
	}
}

// What a new certificate cannot outlast is told, and nothing is made anew in vain.
func TestAuthorityEnds(t *testing.T) {
	start := time.Now()
	node := Subject{"n1", RoleNode, []netip.Addr{localhost()}}
	dir := founded(t, node, start)
	const day = 24 * time.Hour
	end := authorityLife - 100*day
	for i, want := range []bool{true, false} {
		renewed, err := dir.Renew(node, start.Add(end))
		if renewed != want || errors.Is(err, ErrAuthorityEnds) == want {
			t.Errorf("time %d: %t, %v", i, renewed, err)
		}
	}
}

// A node that cannot certify itself does not ask for an address for ever that nobody gives.
func TestRenewForAnAddressNeedsTheAuthority(t *testing.T) {
	start := time.Now()
	node := Subject{"w", RoleNode, []netip.Addr{localhost()}}
	dir := founded(t, node, start)
	if err := os.Remove(dir.AuthorityKey()); err != nil {
		t.Fatal(err)
	}
	node.Addresses = append(node.Addresses, netip.MustParseAddr("2001:db8::1"))
	if renewed, err := dir.Renew(node, start); err != nil || renewed {
		t.Errorf("%t, %v", renewed, err)
	}
}

func TestFilesThatOthersCanReadAreRefused(t *testing.T) {
	dir := emptyDir(t)
	node := Subject{"n1", RoleNode, []netip.Addr{localhost()}}
	if err := dir.Found("c1", node, time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := dir.Found("c1", node, time.Now()); err == nil {
		t.Error("a second authority was made over the first")
	}
	for _, name := range []string{dir.Node(), dir.AuthorityKey()} {
		if err := os.Chmod(name, 0o640); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := dir.Authority(); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("got %v", err)
	}
	if _, err := dir.pair(); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("got %v", err)
	}
}

func localhost() netip.Addr { return netip.MustParseAddr("127.0.0.1") }
