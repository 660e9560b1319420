// SPDX-License-Identifier: Apache-2.0

package labtests

import (
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/mailha/mailha/internal/lab"
	"github.com/mailha/mailha/internal/scenario"
	"github.com/mailha/mailha/internal/trust"
)

const renewing = `[cluster]
name = "papers"
` + threeNodes + `
[[group]]
name = "g"
nodes = ["node1", "node2"]

[[resource]]
name = "ip"
kind = "vip"
group = "g"

[resource.params]
ip = ["10.77.0.60"]
`

// Certificates that end soon are made anew: by the authority's key, and where a node has
// none, by another node. The cluster goes on with the new ones.
func TestCertificatesAreRenewed(t *testing.T) {
	p := newPlace(t, lab.Config{Nodes: 3})
	c := crew{t, p.Nodes()}
	if err := scenario.FormMailhad(t.Context(), p.Lab, renewing); err != nil {
		t.Fatal(err)
	}
	dir := trust.Dir(t.TempDir())
	for from, to := range map[string]string{"ca.pem": dir.CA(), "ca.key": dir.AuthorityKey()} {
		if err := os.WriteFile(to, []byte(c.on(c.nodes[0], "cat /etc/mailha/tls/"+from)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	authority, err := dir.Authority()
	if err != nil {
		t.Fatal(err)
	}
	const day = 24 * time.Hour
	for i, n := range c.nodes {
		old, err := authority.Identity(trust.Subject{Name: n.Name(), Role: trust.RoleNode, Addresses: []netip.Addr{n.Addr4()}}, time.Now().Add(-700*day))
		if err != nil {
			t.Fatal(err)
		}
		if err := n.Push("/etc/mailha/tls/node.pem", old, 0o600); err != nil {
			t.Fatal(err)
		}
		if i == 2 { // as a witness
			c.on(n, "rm /etc/mailha/tls/ca.key")
		}
		c.on(n, "systemctl restart mailhad")
		await(t, time.Minute, n.Name()+"'s certificate to be new", func() bool {
			return strings.Contains(c.on(n, "journalctl -u mailhad -o cat --no-pager"), "the certificate of this node was renewed")
		})
		c.on(n, `openssl x509 -checkend $((700*86400)) -noout -in /etc/mailha/tls/node.pem`)
	}
	// Each comes back once more, and is let in with what it has now.
	for _, n := range c.nodes {
		c.on(n, "systemctl restart mailhad")
	}
	await(t, time.Minute, "the cluster to be whole", func() bool {
		out, err := c.nodes[1].Output(t.Context(), "mailhactl", "status", "--exit-code")
		return err == nil && !strings.Contains(out, "certificate")
	})
}
