// SPDX-License-Identifier: Apache-2.0

package console_test

import (
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/mailha/mailha/internal/trust"
)

// A token that was pasted on another node than it is for is not used up there.
func TestTokenOfAnotherNode(t *testing.T) {
	guest := trust.Invitation{Node: "node2", Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.2")}}
	token, _, err := trust.Invite("c1", guest, netip.MustParseAddrPort("127.0.0.2:1"), trust.Fingerprint{})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	r := run(t, nil, token.Text(), "cluster", "join", "--node", "node3", "--tls-dir", dir)
	if want := "the token is for node2, and not for node3"; r.code != 1 || !strings.Contains(r.err, want) {
		t.Errorf("want %q, got %s", want, r.text())
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}
