// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mailha/mailha/resources"
)

// A certificate is looked at all the time the daemon runs, and after a failure more often.
func TestPapers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		end := time.Now().Add(1000 * time.Hour)
		var asked []time.Duration
		began := time.Now()
		p := newPapers(&resources.Cluster{}, resources.Node{}, slog.New(slog.DiscardHandler))
		p.renew = func(_ context.Context, _ *resources.Cluster, _ resources.Node, now time.Time) (bool, time.Time, error) {
			asked = append(asked, now.Sub(began))
			if len(asked) == 2 {
				return false, end, errors.New("nobody answers")
			}
			return len(asked) == 3, end.Add(time.Duration(len(asked)) * time.Hour), nil
		}
		if _, known := p.end(); known {
			t.Error("known before anybody looked")
		}
		ctx, cancel := context.WithTimeout(t.Context(), 26*time.Hour)
		defer cancel()
		p.keep(ctx)
		want := []time.Duration{0, 12 * time.Hour, 13 * time.Hour, 25 * time.Hour}
		if len(asked) != len(want) {
			t.Fatalf("asked after %v, want %v", asked, want)
		}
		for i := range want {
			if asked[i] != want[i] {
				t.Errorf("asked after %v, want %v", asked, want)
			}
		}
		if got, known := p.end(); !known || !got.Equal(end.Add(4*time.Hour)) {
			t.Errorf("ends %s, %t", got, known)
		}
	})
}

// The certificates of the operator's own etcd are the operator's.
func TestPapersOfOthers(t *testing.T) {
	p := newPapers(&resources.Cluster{Etcd: resources.Etcd{Endpoints: []string{"https://192.0.2.1:2379"}}}, resources.Node{}, slog.New(slog.DiscardHandler))
	p.renew = func(context.Context, *resources.Cluster, resources.Node, time.Time) (bool, time.Time, error) {
		t.Error("looked at")
		return false, time.Time{}, nil
	}
	p.keep(t.Context())
}
