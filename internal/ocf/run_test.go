// SPDX-License-Identifier: Apache-2.0

package ocf

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mailha/mailha/agents"
)

const (
	good      = "OCF_RESKEY_name=x"
	recurring = "OCF_RESKEY_CRM_meta_interval=10000"
)

// The table of exit codes that Pacemaker acts on.
func TestExitCodes(t *testing.T) {
	broken := errors.New("it broke")
	for _, tt := range []struct {
		action  string
		environ []string
		err     error
		want    Code
	}{
		{"start", []string{good}, nil, Success},
		{"start", []string{good}, broken, Generic},
		{"start", []string{good}, agents.ErrInstalled, Installed},
		{"start", []string{good}, agents.ErrNode, Args},
		{"start", []string{good}, agents.ErrPermission, Perm},
		{"start", nil, nil, Configured},

		{"stop", []string{good}, nil, Success},
		{"stop", nil, nil, Success},
		{"stop", []string{good}, broken, Generic},
		{"stop", []string{good}, agents.ErrInstalled, Generic},
		{"stop", []string{good}, agents.ErrParameter, Generic},
		{"stop", []string{good}, agents.ErrNotRunning, Generic},
		{"stop", []string{good, "OCF_RESKEY_CRM_meta_timeout=abc"}, nil, Success},

		{"monitor", []string{good, recurring}, nil, Success},
		{"monitor", []string{good, recurring}, agents.ErrNotRunning, NotRunning},
		{"monitor", []string{good, recurring}, agents.ErrDegraded, Degraded},
		{"monitor", []string{good, recurring}, agents.ErrInstalled, Installed},
		{"monitor", []string{good, recurring}, broken, Generic},
		{"monitor", []string{recurring}, agents.ErrNotRunning, Configured},
		{"monitor", []string{recurring}, broken, Generic},
		{"monitor", []string{recurring}, nil, Generic},

		// A probe: interval 0, or none at all.
		{"monitor", []string{good}, nil, Success},
		{"monitor", []string{good, "OCF_RESKEY_CRM_meta_interval=0"}, agents.ErrNotRunning, NotRunning},
		{"monitor", []string{good}, agents.ErrInstalled, NotRunning},
		{"monitor", []string{good}, agents.ErrNode, NotRunning},
		{"monitor", []string{good}, broken, Generic},
		{"monitor", nil, agents.ErrNotRunning, NotRunning},
		{"monitor", nil, nil, Generic},

		{"validate-all", []string{good}, nil, Success},
		{"validate-all", nil, nil, Configured},
		{"validate-all", []string{good, "OCF_RESKEY_prots=25"}, nil, Configured},
		{"validate-all", []string{good, "OCF_CHECK_LEVEL=10"}, agents.ErrInstalled, Installed},
		{"reload-agent", []string{good}, nil, Success},
		{"reload-agent", nil, nil, Configured},

		{"promote", []string{good}, nil, Unimplemented},
		{"", []string{good}, nil, Unimplemented},
		{"start", []string{good, "OCF_RA_VERSION_MAJOR=2"}, nil, Generic},
	} {
		t.Run(fmt.Sprint(tt.action, " ", tt.environ, " ", tt.err), func(t *testing.T) {
			code, stdout, stderr := call(t, &fake{err: tt.err}, []string{"/usr/lib/ocf/resource.d/mailha/thing", tt.action}, tt.environ...)
			if code != tt.want {
				t.Errorf("exit code %d (%s), want %d (%s)\n%s", code, code, tt.want, tt.want, stderr)
			}
			if stdout != "" {
				t.Errorf("printed on standard output: %q", stdout)
			}
			want := 1
			if code == Success || (code == NotRunning && !slices.Contains(tt.environ, recurring)) {
				want = 0 // nothing failed
			}
			if got := reasons(stderr); len(got) != want {
				t.Errorf("%d reasons, want %d:\n%s", len(got), want, stderr)
			}
		})
	}
}

func TestReasonIsOneLine(t *testing.T) {
	err := errors.Join(errors.New("first"), errors.New("second\r\nthird"))
	_, _, stderr := call(t, &fake{err: err}, []string{"thing", "start"}, good, "OCF_EXIT_REASON_PREFIX=why:")
	if want := "why:first; second; third\n"; !strings.HasSuffix(stderr, want) {
		t.Errorf("want it to end with %q, got %q", want, stderr)
	}
}

func TestPanicDoesNotBanTheNode(t *testing.T) {
	code, _, stderr := call(t, &fake{panics: true}, []string{"thing", "monitor"}, good)
	if code != Generic || len(reasons(stderr)) != 1 {
		t.Errorf("exit code %d, reasons %q", code, reasons(stderr))
	}
}

func TestCheckLevel(t *testing.T) {
	for level, want := range map[string]string{"": "monitor 0", "0": "monitor 0", "5": "monitor 0", "10": "monitor 1", "19": "monitor 1", "20": "monitor 2", "99": "monitor 2", "-1": "monitor 0"} {
		f := &fake{}
		if code, _, stderr := call(t, f, []string{"thing", "monitor"}, good, "OCF_CHECK_LEVEL="+level); code != Success {
			t.Errorf("level %q: exit code %d: %s", level, code, stderr)
		}
		if !slices.Equal(f.calls, []string{want}) {
			t.Errorf("level %q: %q, want %q", level, f.calls, want)
		}
	}
	if code, _, _ := call(t, &fake{}, []string{"thing", "monitor"}, good, "OCF_CHECK_LEVEL=deep"); code != Generic {
		t.Errorf("a level that is no number: exit code %d, want %d", code, Generic)
	}
}

// The agent gets a little less than the caller allows, or what the metadata
// suggests if it says nothing.
func TestDeadline(t *testing.T) {
	for _, tt := range []struct {
		environ []string
		want    time.Duration
	}{
		{[]string{good, "OCF_RESKEY_CRM_meta_timeout=30000"}, 29 * time.Second},
		{[]string{good, "OCF_RESKEY_CRM_meta_timeout=1000"}, 900 * time.Millisecond},
		{[]string{good}, 39 * time.Second},
	} {
		f := &fake{}
		call(t, f, []string{"thing", "start"}, tt.environ...)
		if off := tt.want - f.deadline; off < 0 || off > 500*time.Millisecond {
			t.Errorf("%q: %s left, want about %s", tt.environ, f.deadline, tt.want)
		}
	}
}

// A signal ends what changes something, or talks to a service, in good order.
func TestSignalEndsTheAction(t *testing.T) {
	for _, action := range []string{"start", "stop", "reload-agent", "monitor"} {
		for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
			f := &fake{during: func(ctx context.Context) error {
				if err := syscall.Kill(os.Getpid(), sig); err != nil {
					return err
				}
				<-ctx.Done()
				return context.Cause(ctx)
			}}
			code, _, stderr := call(t, f, []string{"thing", action}, good, "OCF_CHECK_LEVEL=10")
			if got := reasons(stderr); code != Generic || len(got) != 1 || strings.Contains(got[0], "deadline") {
				t.Errorf("%s, %s: exit code %d, reasons %q", action, sig, code, got)
			}
		}
	}
}

func TestCalledByHand(t *testing.T) {
	f := &fake{}
	code, _, stderr := call(t, f, []string{"mailha-ocf", "thing", "start", "name=mx", "ports=25,587", "ignored"})
	if code != Success || f.name != "mx" || f.size.String() != "25 587" {
		t.Errorf("exit code %d, name %q, ports %q: %s", code, f.name, f.size.String(), stderr)
	}
	for _, args := range [][]string{{"thing"}, {"thing", "help"}, {"mailha-ocf", "thing", "usage"}} {
		code, stdout, _ := call(t, &fake{}, args)
		if code != Success || !strings.Contains(stdout, "name (string, required, unique group name)") {
			t.Errorf("%q: exit code %d:\n%s", args, code, stdout)
		}
		for line := range strings.Lines(stdout) {
			if len(line) > 80 {
				t.Errorf("%q: a line of %d columns: %s", args, len(line)-1, line)
			}
		}
	}
	code, _, stderr = call(t, &fake{}, []string{"mailha-ocf", "nothing", "start"})
	if code != Unimplemented || !strings.Contains(stderr, "thing") {
		t.Errorf("unknown agent: exit code %d: %s", code, stderr)
	}
}

// Pacemaker takes names of any length.
func TestInstance(t *testing.T) {
	long := strings.Repeat("x", 300)
	seen := map[string]bool{}
	for _, name := range []string{"p", "p:0", long[:agents.MaxInstance], long, long + "y", "y" + long} {
		e, err := parseEnviron("monitor", []string{"OCF_RESOURCE_INSTANCE=" + name})
		if err != nil || len(e.instance) > agents.MaxInstance || seen[e.instance] {
			t.Errorf("%s: %q, %v", name, e.instance, err)
		}
		if len(name) <= agents.MaxInstance && e.instance != name {
			t.Errorf("%s became %q", name, e.instance)
		}
		seen[e.instance] = true
	}
}

func FuzzEnviron(f *testing.F) {
	f.Add("OCF_RESKEY_name=x\x00OCF_RESKEY_CRM_meta_timeout=20000\x00OCF_CHECK_LEVEL=10")
	f.Add("OCF_RESKEY_=\x00=\x00OCF_RESKEY_CRM_meta_interval=-1")
	f.Fuzz(func(t *testing.T, joined string) {
		e, err := parseEnviron("monitor", strings.Split(joined, "\x00"))
		if e.action.timeout < 0 || e.action.interval < 0 {
			t.Errorf("negative time: %+v", e.action)
		}
		if d := e.action.depth; d != 0 && d != 10 && d != 20 {
			t.Errorf("depth %d", d)
		}
		if e.instance == "" || e.reasonPrefix == "" {
			t.Errorf("empty instance or prefix (%v)", err)
		}
	})
}
