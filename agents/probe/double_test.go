// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What a reply of the double stands for instead of a line.
const (
	silence = ""        // nothing is said
	hangUp  = "\x00END" // at the end of a reply: the connection ends
	start   = "\x00TLS" // at the end of a reply: a handshake follows
)

// serve answers one session: each line that is read gets the next reply, in which
// "\n" parts lines and TAG is that of the command. After a reply of 354 a message
// is read.
func serve(t *testing.T, replies ...string) Target {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go answer(l, certificate(t), replies)
	return Target{Addr: netip.MustParseAddrPort(l.Addr().String())}
}

func answer(l net.Listener, cert tls.Certificate, replies []string) {
	conn, err := l.Accept()
	if err != nil {
		return
	}
	defer func() { conn.Close() }()
	r := bufio.NewReader(conn)
	tag := ""
	for i, reply := range replies {
		reply, encrypt := strings.CutSuffix(reply, start)
		reply, end := strings.CutSuffix(reply, hangUp)
		if reply != silence {
			text := strings.ReplaceAll(reply, "TAG", tag)
			if _, err := conn.Write([]byte(strings.ReplaceAll(text, "\n", "\r\n") + "\r\n")); err != nil {
				return
			}
		}
		if end {
			return
		}
		if encrypt {
			t := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{cert}})
			if t.Handshake() != nil {
				return
			}
			conn, r = t, bufio.NewReader(t)
			if i == 0 {
				continue // TLS comes before the greeting
			}
		}
		for data := strings.HasPrefix(reply, "354"); ; {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			if tag, _, _ = strings.Cut(strings.TrimSpace(line), " "); !data || tag == "." {
				break
			}
		}
	}
}

// certificate is one that is signed by itself.
func certificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "store.example.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// dialogue is one that a client holds with the double.
type dialogue struct {
	name    string
	tls     TLS
	replies []string
	want    string // in the error; empty: none
}

func (d dialogue) run(t *testing.T, client func(ctx context.Context, target Target) error) {
	t.Helper()
	t.Run(d.name, func(t *testing.T) {
		t.Helper()
		target := serve(t, d.replies...)
		target.TLS = d.tls
		limit := 10 * time.Second // as long as it takes on a busy machine
		if strings.Contains(d.want, "in time") {
			limit = 2 * time.Second
		}
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		err := client(ctx, target)
		switch {
		case d.want == "" && err != nil:
			t.Errorf("failed: %v", err)
		case d.want != "" && (err == nil || !strings.Contains(err.Error(), d.want)):
			t.Errorf("got %v, want an error with %q", err, d.want)
		}
	})
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lmtp")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go answer(l, tls.Certificate{}, []string{"220 node1", "250 node1", "221 bye"})
	if _, err := Greet(t.Context(), "lmtp", Target{Path: path}); err != nil {
		t.Error(err)
	}
	if _, err := Greet(t.Context(), "lmtp", Target{Path: path + "2"}); err == nil || !strings.Contains(err.Error(), path+"2") {
		t.Errorf("nobody listens: %v", err)
	}
}

// A context that ends takes the session with it.
func TestCanceled(t *testing.T) {
	target := serve(t, silence)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := DialIMAP(ctx, target); err == nil {
		t.Error("there was no server, and no time")
	}
}

// A server that says nothing leaves its caller time to act on that.
func TestSilence(t *testing.T) {
	for _, protocol := range []string{"smtp", "lmtp", "imap", "pop3"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			target := serve(t, silence)
			ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
			defer cancel()
			_, err := Greet(ctx, protocol, target)
			if err == nil || ctx.Err() != nil {
				t.Errorf("got %v, and the time is up: %v", err, ctx.Err())
			}
		})
	}
}
