// SPDX-License-Identifier: Apache-2.0

package labtests

import (
	"context"
	"encoding/json"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mailha/mailha/internal/lab"
	"github.com/mailha/mailha/internal/traffic"
)

// sink takes all mail that the MTA delivers.
type sink struct {
	t      *testing.T
	ledger string
}

// startSink holds the final reply to slow recipients back for delay.
func startSink(t *testing.T, p *place, delay time.Duration) *sink {
	t.Helper()
	h := p.Host("sink")
	if h == nil {
		var err error
		if h, err = p.AddHost(t.Context(), "sink", netip.MustParseAddr(sinkAddr)); err != nil {
			t.Fatal(err)
		}
	}
	s := &sink{t, filepath.Join(t.TempDir(), "sink.jsonl")}
	on := func(ctx context.Context, argv ...string) *exec.Cmd {
		return h.Command(ctx, append([]string{filepath.Join(scratch, "traffic")}, argv...)...)
	}
	cfg := traffic.SinkConfig{Listen: []string{net.JoinHostPort(sinkAddr, "25")}, Ledger: s.ledger}
	if delay > 0 {
		cfg.Delay, cfg.DelayFor = delay, "slow"
	}
	running, err := traffic.StartSink(context.WithoutCancel(t.Context()), on, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if _, err := running.Stop(ctx); err != nil {
			t.Errorf("sink: %v", err)
		}
	})
	return s
}

// copies says how often the sink has got the message of each recipient.
func (s *sink) copies() map[string]int {
	s.t.Helper()
	data, err := os.ReadFile(s.ledger)
	if err != nil {
		s.t.Fatal(err)
	}
	n := map[string]int{}
	for line := range strings.Lines(string(data)) {
		var rec struct {
			Rcpts []string `json:"rcpts"`
		}
		if !strings.HasSuffix(line, "\n") {
			break // being written
		}
		if err := json.Unmarshal([]byte(line), &rec); err != nil {
			s.t.Fatal(err)
		}
		for _, rcpt := range rec.Rcpts {
			n[rcpt]++
		}
	}
	return n
}

// has waits until the sink has got something for each recipient.
func (s *sink) has(within time.Duration, recipients ...string) {
	s.t.Helper()
	await(s.t, within, "mail for "+strings.Join(recipients, ", "), func() bool {
		got := s.copies()
		for _, rcpt := range recipients {
			if got[rcpt] == 0 {
				return false
			}
		}
		return true
	})
}

// queue lists what the MTA's queue holds, by Postfix's own word.
func queue(t testing.TB, n *lab.Node) string {
	t.Helper()
	return run(t, n, "postqueue -c "+configDir+" -j")
}
