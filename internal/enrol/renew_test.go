// SPDX-License-Identifier: Apache-2.0

package enrol

import (
	"log/slog"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/mailha/mailha/internal/quorum/quorumtest"
	"github.com/mailha/mailha/internal/trust"
	"github.com/mailha/mailha/resources"
)

// A certificate that ends soon is made anew: by the authority's key, or on a witness by a
// node that holds it, while another one does not answer.
func TestRenew(t *testing.T) {
	const day = 24 * time.Hour
	home := quorumtest.Port(t).Addr()
	away := netip.MustParseAddr("127.0.0.3") // where nobody listens
	holder := resources.Node{Name: "n1", Addresses: []netip.Addr{home}}
	mute := resources.Node{Name: "n2", Addresses: []netip.Addr{away}}
	witness := resources.Node{Name: "w", Addresses: []netip.Addr{away}, Witness: true}
	nodes := []resources.Node{mute, holder, witness}
	here := &resources.Cluster{Name: "c1", TLSDir: t.TempDir(), Nodes: nodes}
	there := &resources.Cluster{Name: "c1", TLSDir: t.TempDir(), Nodes: nodes}

	begun := time.Now().Add(-600 * day)
	if err := trust.Dir(here.TLSDir).Found("c1", subject(holder), begun); err != nil {
		t.Fatal(err)
	}
	authority, err := trust.Dir(here.TLSDir).Authority()
	if err != nil {
		t.Fatal(err)
	}
	text, err := authority.Identity(subject(witness), begun)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(trust.Dir(here.TLSDir).CA())
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{trust.Dir(there.TLSDir).Node(): text, trust.Dir(there.TLSDir).CA(): ca} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}

	// Nobody can help the witness yet: it keeps what it has.
	if renewed, end, err := Renew(t.Context(), there, witness, time.Now()); err == nil || renewed || end.After(begun.Add(730*day)) {
		t.Errorf("without a node that answers: %t, %s, %v", renewed, end, err)
	}
	if renewed, end, err := Renew(t.Context(), here, holder, time.Now()); err != nil || !renewed || time.Until(end) < 729*day {
		t.Errorf("with the authority's key: %t, %s, %v", renewed, end, err)
	}
	if renewed, _, err := Renew(t.Context(), here, holder, time.Now()); err != nil || renewed {
		t.Errorf("again: %t, %v", renewed, err)
	}

	door := trust.Door{Dir: trust.Dir(here.TLSDir), Log: slog.New(slog.DiscardHandler)}
	srv, err := door.Server()
	if err != nil {
		t.Fatal(err)
	}
	srv.Addr = at(holder, Port).String()
	served := make(chan error, 1)
	go func() { served <- srv.ListenAndServeTLS("", "") }()
	t.Cleanup(func() { srv.Close(); <-served })
	for end := time.Now().Add(10 * time.Second); ; {
		renewed, until, err := Renew(t.Context(), there, witness, time.Now())
		if err == nil {
			if !renewed || time.Until(until) < 729*day {
				t.Errorf("through another node: %t, %s", renewed, until)
			}
			break
		}
		if time.Now().After(end) { // it listens by now
			t.Fatal(err)
		}
	}
}
