// SPDX-License-Identifier: Apache-2.0

package labtests

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mailha/mailha/internal/lab"
	"github.com/mailha/mailha/internal/lab/labtest"
)

// What the scenario, setup.sh and the lab call things.
const (
	vip4      = "10.77.0.50"
	vip6      = "fd77::50"
	sinkAddr  = "10.77.0.101"
	configDir = "/etc/postfix-mx"
	mtaUnit   = `mailha-postfix@etc-postfix\x2dmx.service`
	mailDir   = "/srv/mail"
)

var scratch string // of the test binary; TestMain removes it

func TestMain(m *testing.M) {
	var err error
	if scratch, err = os.MkdirTemp("", "mailha-labtests-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	// Tests wait more than they work: more of them at a time than processors.
	flag.Parse()
	if err := flag.Set("test.parallel", "4"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if err := os.RemoveAll(scratch); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// programs builds what the nodes and the hosts around them run, once.
var programs = sync.OnceValue(func() error {
	const root = "../.."
	for _, argv := range [][]string{
		{"make", "-s", "-C", root, "install", "DESTDIR=" + filepath.Join(scratch, "install")},
		{"go", "build", "-o", scratch + "/", "./../cmd/lab", "./../cmd/traffic"},
	} {
		cmd := exec.Command(argv[0], argv[1:]...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", cmd, err, out)
		}
	}
	return nil
})

// threeNodes are a lab's, for a configuration of mailhad's.
const threeNodes = `
[[node]]
name = "node1"
address = "10.77.0.11"

[[node]]
name = "node2"
address = "10.77.0.12"

[[node]]
name = "node3"
address = "10.77.0.13"
`

// wandering is a group that may be on each of them, and has an address of each family.
const wandering = `
[[group]]
name = "g"
nodes = ["node1", "node2", "node3"]

[[resource]]
name = "ip"
kind = "vip"
group = "g"

[resource.params]
ip = ["10.77.0.60", "fd77::60"]
`

// place is where a test plays: nodes of its own with mailha and Postfix on them.
type place struct {
	*lab.Lab
	node *lab.Node // the first one
}

// newPlace lets the test run beside others. With a disk, the queue of the first
// node is on it.
func newPlace(t *testing.T, cfg lab.Config) *place {
	t.Helper()
	return newPlaceOf(t, withMTA, cfg)
}

// newPlaceOf has nodes of another kind.
func newPlaceOf(t *testing.T, kind layer, cfg lab.Config) *place {
	t.Helper()
	t.Parallel()
	return placeOf(t, kind, cfg)
}

// placeOf lets no other test run beside this one than already does.
func placeOf(t *testing.T, kind layer, cfg lab.Config) *place {
	t.Helper()
	layers, err := kind()
	if err != nil {
		t.Fatal(err)
	}
	cfg.Binary, cfg.Layers = filepath.Join(scratch, "lab"), layers
	l := labtest.Up(t, cfg)
	p := &place{Lab: l, node: l.Nodes()[0]}
	if cfg.Disk {
		run(t, p.node, `mount `+lab.DiskPath+` `+mailDir+` && install -d `+mailDir+`/queue && install -d -o postfix `+mailDir+`/data`)
	}
	return p
}

// run runs a shell script in a node.
func run(t testing.TB, n *lab.Node, script string) string {
	t.Helper()
	// Not the test's own context: clean-ups need it, too.
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	out, err := n.Output(ctx, "sh", "-c", "set -eu; "+script)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// await asks again and again until ok. It is for what offers no event to wait for. It asks
// less and less often: most questions are programs that run in a node, which make those
// wait that are asked about.
func await(t testing.TB, within time.Duration, what string, ok func() bool) {
	t.Helper()
	const first, last = 20 * time.Millisecond, 100 * time.Millisecond
	pause, end := first, time.Now().Add(within)
	for !ok() {
		if time.Now().After(end) {
			t.Fatalf("waited %s in vain for %s", within, what)
		}
		time.Sleep(pause)
		pause = min(2*pause, last)
	}
}

// pids lists the processes of that name, zombies left out.
func pids(t testing.TB, n *lab.Node, name string) []string {
	t.Helper()
	return strings.Fields(run(t, n, `ps -C `+name+` -o stat=,pid= | awk '$1 !~ /^Z/ {print $2}'`))
}

func indent(s string) string {
	return "\t" + strings.ReplaceAll(strings.TrimSpace(s), "\n", "\n\t")
}
