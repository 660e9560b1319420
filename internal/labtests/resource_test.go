// SPDX-License-Identifier: Apache-2.0

package labtests

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mailha/mailha/internal/lab"
)

// The exit codes of the OCF resource agent API 1.1, section 3.5.
const (
	success       = 0
	generic       = 1
	args          = 2
	unimplemented = 3
	perm          = 4
	installed     = 5
	configured    = 6
	notRunning    = 7

	runningPromoted  = 8
	failedPromoted   = 9
	degradedPromoted = 191
)

// params are an agent's parameters by name.
type params map[string]string

// with returns p with one more, or another.
func (p params) with(name, value string) params {
	q := params{name: value}
	for k, v := range p {
		if k != name {
			q[k] = v
		}
	}
	return q
}

// resource is one resource as a cluster manager knows it.
type resource struct {
	agent  string
	name   string
	params params
}

func mta(more ...string) resource {
	r := resource{"mta", "p_mta", params{"config_dir": configDir, "ip": vip4 + " " + vip6, "drain_timeout": "1s"}}
	return r.set(more...)
}

func service(unit string, more ...string) resource {
	r := resource{"service", "p_service", params{"unit": unit, "ports": "7001", "ip": vip4, "drain_timeout": "1s"}}
	return r.set(more...)
}

func vip(more ...string) resource {
	return resource{"vip", "p_vip", params{"ip": vip4 + " " + vip6}}.set(more...)
}

func store(more ...string) resource {
	r := resource{"store", "p_store", params{"config_dir": storeConfig, "mail_dir": storeDir, "ip": vip4 + " " + vip6, "drain_timeout": "1s"}}
	return r.set(more...)
}

// localStore keeps its mailboxes on the node's own disk.
func localStore(more ...string) resource { return store("mail_on_root", "true").set(more...) }

// set returns r with parameters changed: names and values in turn.
func (r resource) set(more ...string) resource {
	for pair := range slices.Chunk(more, 2) {
		r.params = r.params.with(pair[0], pair[1])
	}
	return r
}

func (r resource) named(name string) resource { r.name = name; return r }

// call says how an action is called.
type call struct {
	timeout  time.Duration // 0: 20 s
	interval time.Duration // of a monitor; 0: a probe
	depth    int
	nobody   bool     // as a user without rights
	under    []string // a program that runs the agent
}

// recurring is how a monitor is called while the resource should run.
var recurring = call{interval: 10 * time.Second}

// answer is what an action left behind.
type answer struct {
	code   int
	reason string
	log    string // all of its standard error
	took   time.Duration
}

func (a answer) String() string {
	return fmt.Sprintf("exit code %d after %s:\n%s", a.code, a.took.Round(time.Millisecond), indent(a.log))
}

// do calls the agent as Pacemaker does, and sees to it that it keeps the
// contract of all actions: an end within the timeout, nothing on standard
// output, and one line with the reason of what failed.
func (r resource) do(t testing.TB, n *lab.Node, action string, c call) answer {
	t.Helper()
	c.timeout = cmp.Or(c.timeout, 20*time.Second)
	argv := []string{"env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "OCF_ROOT=/usr/lib/ocf",
		"OCF_RA_VERSION_MAJOR=1", "OCF_RA_VERSION_MINOR=1",
		"OCF_RESOURCE_INSTANCE=" + r.name, "OCF_RESOURCE_PROVIDER=mailha", "OCF_RESOURCE_TYPE=" + r.agent,
		fmt.Sprintf("OCF_RESKEY_CRM_meta_timeout=%d", c.timeout.Milliseconds()),
		fmt.Sprintf("OCF_RESKEY_CRM_meta_interval=%d", c.interval.Milliseconds()),
		"OCF_RESKEY_crm_feature_set=3.16.2",
	}
	if c.depth > 0 {
		argv = append(argv, fmt.Sprintf("OCF_CHECK_LEVEL=%d", c.depth))
	}
	for name, value := range r.params {
		argv = append(argv, "OCF_RESKEY_"+name+"="+value)
	}
	if c.nobody {
		argv = append([]string{"setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--"}, argv...)
	}
	argv = append(argv, "/usr/lib/ocf/resource.d/mailha/"+r.agent, action)
	argv = append(slices.Clone(c.under), argv...)

	const hung = 5 * time.Second
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), c.timeout+hung)
	defer cancel()
	began := time.Now()
	res, err := n.Exec(ctx, argv...)
	a := answer{code: res.ExitCode, log: res.Stderr, took: time.Since(began)}
	what := fmt.Sprintf("%s of %s", action, r.name)
	if err != nil {
		t.Fatalf("%s: %v, %s", what, err, a)
	}
	if a.took > c.timeout {
		t.Errorf("%s: longer than its timeout of %s: %s", what, c.timeout, a)
	}
	if res.Stdout != "" {
		t.Errorf("%s: printed on standard output: %q", what, res.Stdout)
	}
	var reasons []string
	for line := range strings.Lines(res.Stderr) {
		if reason, ok := strings.CutPrefix(line, "ocf-exit-reason:"); ok {
			reasons = append(reasons, strings.TrimSpace(reason))
		}
	}
	want := 1
	if a.code == success || a.code == runningPromoted && action == "monitor" || a.code == notRunning && action == "monitor" && c.interval == 0 {
		want = 0
	}
	if len(reasons) != want {
		t.Errorf("%s: %d reasons, want %d: %s", what, len(reasons), want, a)
	}
	a.reason = strings.Join(reasons, "\n")
	return a
}

// must calls an action that has to end with one of the codes.
func (r resource) must(t testing.TB, n *lab.Node, action string, c call, codes ...int) answer {
	t.Helper()
	a := r.do(t, n, action, c)
	if !slices.Contains(codes, a.code) {
		t.Fatalf("%s of %s: want exit code %v, got %s", action, r.name, codes, a)
	}
	return a
}

func (r resource) start(t testing.TB, n *lab.Node) answer {
	t.Helper()
	return r.must(t, n, "start", call{}, success)
}

func (r resource) stop(t testing.TB, n *lab.Node) answer {
	t.Helper()
	return r.must(t, n, "stop", call{}, success)
}

func (r resource) monitor(t testing.TB, n *lab.Node, depth int) answer {
	t.Helper()
	return r.must(t, n, "monitor", call{interval: 10 * time.Second, depth: depth}, success)
}
