// SPDX-License-Identifier: Apache-2.0

package labtests

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mailha/mailha/internal/lab"
	"github.com/mailha/mailha/internal/traffic/ldap"
	"github.com/mailha/mailha/internal/traffic/ledger"
	"github.com/mailha/mailha/internal/traffic/pace"
	"github.com/mailha/mailha/internal/traffic/promise"
	"github.com/mailha/mailha/internal/traffic/tool"
)

//go:embed slapd.sh
var slapd []byte

// What slapd.sh calls things.
const (
	ldapConfig = "/etc/mailha-ldap"
	ldapUnit   = `mailha-slapd@etc-mailha\x2dldap.service`
	ldapData   = mailDir + "/ldap"
	ldapSuffix = "dc=example,dc=test"
	ldapBase   = "ou=ledger," + ldapSuffix
	ldapSocket = "ldapi://%2Frun%2Fmailha-slapd%2Fmailha-ldap.ldapi"

	writerDN       = "cn=writer," + ldapSuffix
	writerPassword = "secret of the writer"
)

func directory(more ...string) resource {
	r := resource{"directory", "p_dir", params{"config_dir": ldapConfig, "ip": vip4 + " " + vip6, "drain_timeout": "3s", "max_lag": "1s"}}
	return r.set(more...)
}

// replicas is a place with an OpenLDAP server on each node, which follow each
// other.
type replicas struct {
	*place
	t *testing.T
}

func newReplicas(t *testing.T, nodes int) replicas {
	t.Helper()
	t.Parallel()
	return replicasOf(t, nodes)
}

// replicasOf lets no other test run beside this one than already does.
func replicasOf(t *testing.T, nodes int) replicas {
	t.Helper()
	p := replicas{placeOf(t, withMTA, lab.Config{Nodes: nodes}), t}
	for i, n := range p.Nodes() {
		furnishReplica(t, n, i+1, nodes)
	}
	return p
}

// furnishReplica makes a node have one of so many replicas.
func furnishReplica(t testing.TB, n *lab.Node, number, of int) {
	t.Helper()
	if err := n.Push("/root/slapd.sh", slapd, 0o755); err != nil {
		t.Fatal(err)
	}
	run(t, n, fmt.Sprintf("/root/slapd.sh %d %d", number, of))
}

// start starts the resource on all nodes at the same time, as a cluster does.
func (p replicas) start(r resource) {
	p.t.Helper()
	var all sync.WaitGroup
	for _, n := range p.Nodes() {
		all.Go(func() { r.start(p.t, n) })
	}
	all.Wait()
}

// session is one of a client outside of the nodes.
func (p replicas) session(addr string) *ldap.Session {
	p.t.Helper()
	var s *ldap.Session
	err := p.Client().Do(func() (err error) {
		s, err = ldap.Dialer{To: addr + ":389", ConnectTimeout: patience, ReplyTimeout: patience}.Open(p.t.Context())
		return err
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return s
}

// write adds an entry by way of an address, and returns what the server said.
func (p replicas) write(addr, name string) string {
	p.t.Helper()
	s := p.session(addr)
	defer s.Close()
	if refusal, err := s.Bind(p.t.Context(), writerDN, writerPassword); err != nil || refusal != "" {
		p.t.Fatalf("bind at %s: %s, %v", addr, refusal, err)
	}
	_, said, err := s.Add(p.t.Context(), "cn="+name+","+ldapBase,
		ldap.Attribute{Name: "objectClass", Values: []string{"device"}}, ldap.Attribute{Name: "cn", Values: []string{name}})
	if err != nil {
		p.t.Fatalf("add at %s: %v", addr, err)
	}
	return said
}

// written wants the write to succeed, refused wants "unwilling to perform".
func (p replicas) written(addr, name string) {
	p.t.Helper()
	if said := p.write(addr, name); said != "result 0 " {
		p.t.Errorf("write of %s at %s: %s", name, addr, said)
	}
}

func (p replicas) refused(addr, name string) {
	p.t.Helper()
	if said := p.write(addr, name); !strings.HasPrefix(said, "result 53 ") {
		p.t.Errorf("write of %s at %s: %s; want to be refused", name, addr, said)
	}
}

// has waits until the node's own replica has the entry.
func (p replicas) has(n *lab.Node, name string) {
	p.t.Helper()
	await(p.t, patience, name+" to be on "+n.Name(), func() bool { return p.count(n, "cn="+name) == 1 })
}

// count counts the entries on a node's own replica.
func (p replicas) count(n *lab.Node, filter string) int {
	p.t.Helper()
	out := run(p.t, n, "ldapsearch -LLL -x -H ldap://127.0.0.1 -D "+writerDN+" -w '"+writerPassword+"' -b "+ldapBase+" -s one '("+filter+")' 1.1 | grep -c ^dn: || true")
	var found int
	if _, err := fmt.Sscan(out, &found); err != nil {
		p.t.Fatal(err)
	}
	return found
}

// modify changes an entry of cn=config on a node.
func modify(t testing.TB, n *lab.Node, dn, attribute, value string) {
	t.Helper()
	run(t, n, fmt.Sprintf(`printf 'dn: %s\nchangetype: modify\nreplace: %s\n%[2]s: %[3]s\n' | ldapmodify -Q -Y EXTERNAL -H %[4]s`, dn, attribute, value, ldapSocket))
}

// deafen keeps the node's own server, but nobody else, from reaching another
// node's: it hears of no changes any more.
func deafen(t testing.TB, n, of *lab.Node) {
	t.Helper()
	run(t, n, `nft -f - <<EOT
table inet deafen {
	chain out {
		type filter hook output priority 0; policy accept;
		meta skuid openldap ip daddr `+of.Addr4().String()+` tcp dport 389 drop
	}
}
EOT
ss -K dst `+of.Addr4().String()+` dport = :389 >/dev/null`)
}

func undeafen(t testing.TB, n *lab.Node) {
	t.Helper()
	run(t, n, "nft delete table inet deafen")
}

// writers are clients that write by way of the secondary address until stopped.
type writers struct {
	p        replicas
	dir, run string
	load     tool.Running[promise.Counts]
}

func (p replicas) traffic(ctx context.Context, argv ...string) *exec.Cmd {
	return p.Client().Command(ctx, append([]string{filepath.Join(scratch, "traffic")}, argv...)...)
}

func (p replicas) login(dir string) ldap.Login {
	p.t.Helper()
	passwords := filepath.Join(dir, "passwords")
	if err := os.WriteFile(passwords, []byte("writer:"+writerPassword+"\n"), 0o600); err != nil {
		p.t.Fatal(err)
	}
	return ldap.Login{DN: writerDN, Passwords: passwords, Account: "writer"}
}

func (p replicas) startWriters(run string, rate pace.Rate) *writers {
	p.t.Helper()
	w := &writers{p: p, dir: p.t.TempDir(), run: run}
	load, err := ldap.StartWrite(p.t.Context(), p.traffic, ldap.WriteConfig{
		To: vip4 + ":389", Base: ldapBase, Login: p.login(w.dir),
		Plan: promise.Plan{Run: run, Ledger: w.ledger(), Rate: rate, Sessions: 8, PerSession: 1000, Retry: 100 * time.Millisecond,
			ConnectTimeout: time.Second, ReplyTimeout: 3 * time.Second},
	})
	if err != nil {
		p.t.Fatal(err)
	}
	w.load = load
	return w
}

func (w *writers) ledger() string { return filepath.Join(w.dir, "sent.jsonl") }

// taken waits until so many more writes were acknowledged.
func (w *writers) taken(more int) {
	w.p.t.Helper()
	want := w.load.Progress().Accepted + more
	await(w.p.t, time.Minute, "writes to be acknowledged", func() bool { return w.load.Progress().Accepted >= want })
}

// stop ends the writers once all that they began was taken.
func (w *writers) stop() promise.Counts {
	w.p.t.Helper()
	w.load.End()
	counts, err := w.load.Wait(w.p.t.Context())
	if err != nil {
		w.p.t.Fatal(err)
	}
	return counts
}

// audit compares what was acknowledged with what a node's replica has.
func (w *writers) audit(n *lab.Node) ledger.Result {
	w.p.t.Helper()
	found := filepath.Join(w.dir, "found.jsonl")
	if err := os.RemoveAll(found); err != nil {
		w.p.t.Fatal(err)
	}
	reader, err := ldap.StartRead(w.p.t.Context(), w.p.traffic, ldap.ReadConfig{
		To: n.Addr4().String() + ":389", Base: ldapBase, Login: w.p.login(w.dir), Ledger: found, For: time.Minute})
	if err != nil {
		w.p.t.Fatal(err)
	}
	if _, err := reader.Wait(w.p.t.Context()); err != nil {
		w.p.t.Fatal(err)
	}
	res, err := ledger.AuditFiles(w.ledger(), found)
	if err != nil {
		w.p.t.Fatal(err)
	}
	return res
}

// replies counts the attempts whose answer begins with a text.
func (w *writers) replies(prefix string) int {
	w.p.t.Helper()
	file, err := os.Open(w.ledger())
	if err != nil {
		w.p.t.Fatal(err)
	}
	defer file.Close()
	n := 0
	if _, err := ledger.Read(file, func(a ledger.Attempt) error {
		if strings.HasPrefix(a.Reply, prefix) {
			n++
		}
		return nil
	}); err != nil {
		w.p.t.Fatal(err)
	}
	return n
}

// acknowledged returns when the first of these writes was.
func (w *writers) acknowledged(ids []string) (first time.Time) {
	w.p.t.Helper()
	file, err := os.Open(w.ledger())
	if err != nil {
		w.p.t.Fatal(err)
	}
	defer file.Close()
	if _, err := ledger.Read(file, func(a ledger.Attempt) error {
		if a.Outcome == ledger.Accepted && slices.Contains(ids, a.ID) && (first.IsZero() || a.At.Before(first)) {
			first = a.At
		}
		return nil
	}); err != nil {
		w.p.t.Fatal(err)
	}
	return first
}
