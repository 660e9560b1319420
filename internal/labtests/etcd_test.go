// SPDX-License-Identifier: Apache-2.0

package labtests

import (
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mailha/mailha/internal/lab"
)

//go:embed etcd.sh
var etcdScript []byte

// certificates makes an authority, and what a server of etcd and mailhad show.
const certificates = `cd "$1"
sign() { # NAME USAGE
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $1.key -out $1.csr -subj /CN=$1
	printf 'subjectAltName=IP:10.77.0.11,IP:10.77.0.12,IP:10.77.0.13\nextendedKeyUsage=%s\n' $2 >$1.ext
	openssl x509 -req -in $1.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile $1.ext -out $1.pem
}
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -subj "/CN=own etcd" -days 2
sign server serverAuth,clientAuth
sign mailha clientAuth`

const onOwnEtcd = `[cluster]
name = "own"

[etcd]
endpoints = ["https://10.77.0.11:2379", "https://10.77.0.12:2379", "https://10.77.0.13:2379"]
ca_file = "/etc/mailha/etcd-ca.pem"
cert_file = "/etc/mailha/etcd-client.pem"
key_file = "/etc/mailha/etcd-client-key.pem"
` + threeNodes + wandering

// formerSlot writes what node2's mailha-fenced has left of a life that is over, as fence_mailha
// reads it.
const formerSlot = `import base64, json, ssl, urllib.request
tls = ssl.create_default_context(cafile="/etc/mailha/etcd-ca.pem")
tls.load_cert_chain("/etc/mailha/etcd-client.pem", "/etc/mailha/etcd-client-key.pem")
text = lambda s: base64.b64encode(s.encode()).decode()
slot = {"life": "a former one", "limit_ns": 1000000000, "since": "2026-11-22T00:00:00Z"}
body = {"key": text("/mailha-fenced/own/slots/node2"), "value": text(json.dumps(slot))}
urllib.request.urlopen("https://10.77.0.11:2379/v3/kv/put", json.dumps(body).encode(), context=tls).read()
`

// mailhad runs on an etcd that is there already, Debian's, with TLS: a group starts,
// moves, and is taken over when its owner loses its power, and a member of etcd with it.
func TestEtcdOfOnesOwn(t *testing.T) {
	p := newPlace(t, lab.Config{Nodes: 3})
	r := crew{t, p.Nodes()}
	dir := t.TempDir()
	if out, err := exec.Command("sh", "-euc", certificates, "sh", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	r.runEtcd(dir)
	for _, n := range r.nodes {
		if err := n.Push("/etc/mailha/mailha.toml", []byte(onOwnEtcd), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out := r.fails(r.nodes[0], "mailhactl cluster init"); !strings.Contains(out, "your own") {
		t.Errorf("it founds a cluster of its own: %s", out)
	}
	r.each("systemctl start mailhad")
	r.until("node1")
	r.on(r.nodes[0], "ip addr show dev eth0 | grep -q 10.77.0.60")
	await(t, time.Minute, "all to take part", func() bool { // the owner may be the first that does
		_, err := r.nodes[1].Output(t.Context(), "mailhactl", "status", "--exit-code")
		return err == nil
	})
	r.on(r.nodes[1], "mailhactl group move g node2; mailhactl cluster snapshot /root/state")
	r.until("node2")
	await(t, time.Minute, "somebody to say that this etcd is too old", func() bool {
		return strings.Contains(r.on(r.nodes[0], "journalctl -u mailhad"), "update it to 3.4.31")
	})
	if out := r.fails(r.nodes[0], "mailhactl cluster restore --yes /root/none"); !strings.Contains(out, "none") {
		t.Errorf("got %s", out)
	}
	if out := r.fails(r.nodes[1], "systemctl stop mailhad; mailhactl cluster restore --yes /root/state"); !strings.Contains(out, "stop it on all nodes") {
		t.Errorf("a cluster that runs is restored: %s", out)
	}
	r.on(r.nodes[1], "systemctl start mailhad; for i in $(seq 100); do ! mailhactl group move g node2 || exit 0; sleep 0.1; done; exit 1")
	r.until("node2")

	r.holdsOn()

	cut := time.Now()
	if err := r.nodes[1].Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.until("node1", "node3")
	const lease, most = 10 * time.Second, 25 * time.Second // on a busy machine
	if took := time.Since(cut); took < lease/2 || took > most {
		t.Errorf("taken over after %s", took)
	}
	if err := r.nodes[1].Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	push(t, r.nodes[0], "/root/slot.py", formerSlot)
	r.on(r.nodes[0], "python3 /root/slot.py")
	r.on(r.nodes[1], "systemctl start etcd mailhad")
	for end := time.Now().Add(time.Minute); ; time.Sleep(200 * time.Millisecond) {
		st := r.status(r.nodes[0])
		online := 0
		for _, n := range st.Nodes {
			if n.State == "online" {
				online++
			}
		}
		if online == len(r.nodes) {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%+v", st.Nodes)
		}
	}
	if out := r.fails(r.nodes[0], "fence_mailha -o off -n node2 2>&1"); !strings.Contains(out, "has not armed a watchdog") {
		t.Errorf("the former life of a node that runs is taken for this one: %s", out)
	}
	holders := 0
	for _, n := range r.nodes {
		if strings.Contains(r.on(n, "ip addr show dev eth0"), "10.77.0.60") {
			holders++
		}
	}
	if holders != 1 {
		t.Errorf("%d nodes have the address", holders)
	}
}

// runEtcd has Debian's etcd run on all nodes, with the certificates of a directory, which
// mailha's programs get as well.
func (r crew) runEtcd(dir string) {
	r.t.Helper()
	for i, n := range r.nodes {
		for to, from := range map[string]string{
			"/etc/etcd-tls/ca.pem": "ca.pem", "/etc/etcd-tls/server.pem": "server.pem", "/etc/etcd-tls/server.key": "server.key",
			"/etc/mailha/etcd-ca.pem": "ca.pem", "/etc/mailha/etcd-client.pem": "mailha.pem", "/etc/mailha/etcd-client-key.pem": "mailha.key",
		} {
			text, err := os.ReadFile(filepath.Join(dir, from))
			if err != nil {
				r.t.Fatal(err)
			}
			if err := n.Push(to, text, 0o600); err != nil {
				r.t.Fatal(err)
			}
		}
		if err := n.Push("/root/etcd.sh", etcdScript, 0o755); err != nil {
			r.t.Fatal(err)
		}
		r.on(n, fmt.Sprintf("/root/etcd.sh %s %d", n.Addr4(), i+1))
	}
}

// holdsOn has etcd be away as a whole, for longer than a lease and its margins, where
// all nodes agree that the service goes on; and then one of them does not.
func (r crew) holdsOn() {
	r.t.Helper()
	const lasts = 25 * time.Second
	r.on(r.nodes[1], `mailhactl config show | sed 's/^\[cluster\]/[cluster]\non_quorum_loss = "hold-if-all-peers-agree"/' >/root/hold.toml; mailhactl config apply --yes /root/hold.toml`)
	has := func() bool { return strings.Contains(r.on(r.nodes[1], "ip addr show dev eth0"), "10.77.0.60") }
	r.each("systemctl stop etcd")
	for end := time.Now().Add(lasts); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		if !has() {
			r.t.Fatal("the address was let go though all nodes agree")
		}
	}
	r.each("systemctl start etcd")
	r.until("node2")
	if log := r.on(r.nodes[1], "journalctl -u mailhad --since=-40s"); strings.Contains(log, "the lease is lost") {
		r.t.Error("the lease was lost though all nodes agree")
	}

	before := r.status(r.nodes[0]).Groups[0].Epoch
	r.each("systemctl stop etcd")
	time.Sleep(lasts / 2)
	r.on(r.nodes[2], "systemctl kill --signal=STOP mailhad") // says nothing any more
	await(r.t, lasts, "the address to be let go", func() bool { return !has() })
	// The kernel lets it go shortly before the lease ends, which could be renewed yet.
	await(r.t, lasts, "the lease to be lost", func() bool {
		return strings.Contains(r.on(r.nodes[1], "journalctl -u mailhad --since=-20s"), "the lease is lost")
	})
	r.on(r.nodes[2], "systemctl kill --signal=CONT mailhad")
	r.each("systemctl start etcd")
	// What etcd knew when it stopped is that node2 runs the group, until node2 says otherwise.
	await(r.t, time.Minute, "the group to be somewhere again", func() bool {
		return r.status(r.nodes[0]).Groups[0].Epoch > before && r.runs("node1", "node2", "node3")
	})
	r.on(r.nodes[0], "for i in $(seq 100); do ! mailhactl group move g node2 || exit 0; sleep 0.1; done; exit 1")
	r.until("node2")
}

// until waits until the group runs on one of the nodes, as the first node knows it.
func (r crew) until(nodes ...string) {
	r.t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(200 * time.Millisecond) {
		if r.runs(nodes...) {
			return
		}
		if time.Now().After(end) {
			g := r.status(r.nodes[0]).Groups[0]
			r.t.Fatalf("it is %s on %q: %s", g.Phase, g.Node, g.Why)
		}
	}
}

// runs says whether the group runs on one of the nodes, as the first node knows it.
func (r crew) runs(nodes ...string) bool {
	r.t.Helper()
	g := r.status(r.nodes[0]).Groups[0]
	return g.Phase == "running" && slices.Contains(nodes, g.Node)
}
