// SPDX-License-Identifier: Apache-2.0

package agents

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func onlyStatus(t *testing.T, s *Service) Status {
	t.Helper()
	all, err := Statuses(s.env.StateDir)
	if err != nil || len(all) != 1 {
		t.Fatalf("%v, %v; want one status", all, err)
	}
	return all[0]
}

func TestStatus(t *testing.T) {
	s, units, _ := newDouble(t)
	s.board.env.Kind = "mta"
	s.Description = "mail for example.org"
	s.Shared = AddressList{"192.0.2.7"}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	st := onlyStatus(t, s)
	if st.Resource != "x" || st.Agent != "mta" || st.Phase != Started || st.Description != "mail for example.org" ||
		len(st.Addresses) != 1 || st.Addresses[0] != netip.MustParseAddr("192.0.2.7") {
		t.Errorf("after the start: %+v", st)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if st := onlyStatus(t, s); st.Phase != Stopped {
		t.Errorf("after the stop: %+v", st)
	}
	units.startErr = errors.New("no such program")
	if err := s.Start(t.Context()); err == nil {
		t.Fatal("started")
	}
	if st := onlyStatus(t, s); st.Phase != Failed || !strings.Contains(st.Detail, "no such program") {
		t.Errorf("after a start that failed: %+v", st)
	}
}

// What is left of a drain is shown while it runs.
func TestStatusWhileDraining(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, steps := newDouble(t)
		var seen Status
		steps.drainTell = func(ctx context.Context, tell func(int)) (int, error) {
			tell(7)
			time.Sleep(1500 * time.Millisecond) // virtual
			seen = onlyStatus(t, s)
			return 0, nil
		}
		until := time.Now().Add(10 * time.Second)
		if d := s.drain(t.Context(), record{}, until); !d.Complete() {
			t.Error(d)
		}
		if seen.Phase != Draining || seen.Work != 7 || !seen.Deadline.Equal(until) {
			t.Errorf("%+v", seen)
		}
	})
}

func TestStatusesInSpiteOfABrokenOne(t *testing.T) {
	s, _, _ := newDouble(t)
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.env.StateDir, Boards, "y.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	all, err := Statuses(s.env.StateDir)
	if len(all) != 1 || err == nil || !strings.Contains(err.Error(), "y.json") {
		t.Errorf("%v, %v", all, err)
	}
}
