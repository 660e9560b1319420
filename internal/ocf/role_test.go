// SPDX-License-Identifier: Apache-2.0

package ocf

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mailha/mailha/agents"
)

func TestExitCodesOfRoles(t *testing.T) {
	broken := errors.New("it broke")
	ill := fmt.Errorf("lags: %w", agents.ErrDegraded)
	for _, tt := range []struct {
		action  string
		environ []string
		err     error
		want    Code
	}{
		{"monitor", []string{good, recurring}, agents.Promoted{}, RunningPromoted},
		{"monitor", []string{good, recurring}, agents.Promoted{Err: broken}, FailedPromoted},
		{"monitor", []string{good, recurring}, agents.Promoted{Err: ill}, DegradedPromoted},
		{"monitor", []string{good, recurring}, agents.Promoted{Err: agents.ErrInstalled}, FailedPromoted},
		{"monitor", []string{good, recurring}, ill, Degraded},
		{"monitor", []string{good, recurring}, nil, Success},
		{"monitor", []string{good}, agents.Promoted{}, RunningPromoted},
		{"monitor", []string{good}, agents.Promoted{Err: agents.ErrParameter}, FailedPromoted},
		{"monitor", []string{recurring}, agents.Promoted{}, FailedPromoted}, // a parameter is missing
		{"monitor", []string{recurring}, nil, Generic},

		{"promote", []string{good}, nil, Success},
		{"promote", []string{good}, broken, Generic},
		{"promote", []string{good}, agents.ErrNotRunning, NotRunning},
		{"promote", []string{good}, agents.ErrNode, Args},
		{"promote", nil, nil, Configured},

		{"demote", []string{good}, nil, Success},
		{"demote", []string{good}, broken, Generic},
		{"demote", []string{good}, agents.ErrNotRunning, NotRunning},
		{"demote", []string{good}, agents.ErrParameter, Generic},
		{"demote", []string{good}, agents.ErrInstalled, Generic},
		{"demote", nil, nil, Success},
		{"demote", []string{"OCF_RESKEY_CRM_meta_timeout=abc"}, nil, Success},

		{"start", []string{good}, nil, Success},
		{"stop", nil, nil, Success},
	} {
		t.Run(fmt.Sprint(tt.action, " ", tt.environ, " ", tt.err), func(t *testing.T) {
			code, stderr := callPromotable(t, &fake{err: tt.err}, tt.action, tt.environ...)
			if code != tt.want {
				t.Errorf("exit code %d (%s), want %d (%s)\n%s", code, code, tt.want, tt.want, stderr)
			}
			want := 1
			if code == Success || code == RunningPromoted {
				want = 0
			}
			if got := reasons(stderr); len(got) != want {
				t.Errorf("%d reasons, want %d:\n%s", len(got), want, stderr)
			}
		})
	}
}

func TestCodesAreThoseOfTheAgent(t *testing.T) {
	p := program(t, &fake{})
	plain := Codes(p.Types[0])
	p.Types[0].Actions = append(p.Types[0].Actions, agents.Action{Name: "promote"})
	roles := Codes(p.Types[0])
	for _, c := range []Code{RunningPromoted, FailedPromoted, DegradedPromoted} {
		if slices.Contains(plain, c) || !slices.Contains(roles, c) || c.Meaning() == "" {
			t.Errorf("%d: without roles %t, with roles %t, means %q", c, slices.Contains(plain, c), slices.Contains(roles, c), c.Meaning())
		}
	}
}

// A score is told to Pacemaker, and to nobody where it is not Pacemaker that calls.
func TestScores(t *testing.T) {
	if e, _ := parseEnviron("start", []string{"OCF_RESOURCE_INSTANCE=p"}); e.scores() != nil {
		t.Error("somebody is told who did not ask")
	}
	e, _ := parseEnviron("start", []string{"OCF_RESOURCE_INSTANCE=" + strings.Repeat("p", 100) + ":0", "PCMK_service=pacemaker-execd"})
	n, ok := e.scores().(nodeAttribute)
	if !ok || n.resource != strings.Repeat("p", 100) {
		t.Fatalf("got %#v", e.scores())
	}
	dir := t.TempDir()
	n.program, n.resource = filepath.Join(dir, "crm_attribute"), "p"
	if err := n.Set(t.Context(), 1); err == nil {
		t.Error("told by a program that is not there")
	}
	script := "#!/bin/sh\necho \"$@\" >>" + dir + "/said\ncase $* in *delete*) echo no cluster; exit 102;; esac\n"
	if err := os.WriteFile(n.program, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := n.Set(t.Context(), agents.Unfit); err != nil {
		t.Error(err)
	}
	if err := n.Clear(t.Context()); err == nil || !strings.Contains(err.Error(), "no cluster") {
		t.Errorf("got %v", err)
	}
	said, err := os.ReadFile(dir + "/said")
	want := "--promotion=p --lifetime=reboot --update=-1000000\n--promotion=p --lifetime=reboot --delete\n"
	if err != nil || string(said) != want {
		t.Errorf("said %q, want %q, %v", said, want, err)
	}
}
