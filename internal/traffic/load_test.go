// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mailha/mailha/internal/traffic/double"
	"github.com/mailha/mailha/internal/traffic/ledger"
)

// reaction is what a double does at a stage of its first session.
type reaction struct{ say, end string }

func startDouble(t *testing.T, stage string, r reaction) (d *double.SMTP, addr string) {
	t.Helper()
	d = double.StartSMTP(t, double.Reaction{Stage: stage, Say: r.say, End: r.end})
	return d, d.Addr
}

func testLoad(to string) LoadConfig {
	return LoadConfig{
		To: to, Run: "r", RcptDomain: "sink.test", From: "load@load.test", Helo: "load.test",
		Rate: 2000, Sessions: 1, PerSession: 1, Messages: 1, Retry: 10 * time.Millisecond, Grace: 10 * time.Second,
		ConnectTimeout: 5 * time.Second, ReplyTimeout: 5 * time.Second,
	}
}

// runLoad runs a load to its end and gives its counts and its ledger.
func runLoad(ctx context.Context, t *testing.T, cfg LoadConfig) (LoadCounts, []ledger.Attempt) {
	t.Helper()
	file, l := tempLedger(t)
	load := newLoad(cfg, l)
	if err := load.Run(ctx); err != nil {
		t.Fatal(err)
	}
	return load.Counts(), records[ledger.Attempt](t, file)
}

// TestLoadOutcomes breaks the first session at each stage in each way; the second attempt always succeeds.
func TestLoadOutcomes(t *testing.T) {
	const (
		cut      = "sessions_cut"
		closing  = "sessions_announced"
		failed   = "connect_failed"
		late     = "connect_timeout"
		goesOn   = "none" // the session is used or quit as usual
		busy421  = "421 4.3.2 shutting down\r\n"
		busy450  = "450 4.2.0 later\r\n"
		never550 = "550 5.7.1 no\r\n"
	)
	type test struct {
		stage string
		reaction
		first ledger.Outcome
		ended string
	}
	tests := []test{
		{"greeting", reaction{"", "close"}, ledger.Refused, failed},
		{"greeting", reaction{"", "reset"}, ledger.Refused, failed},
		{"greeting", reaction{"22", "close"}, ledger.Refused, failed},
		{"greeting", reaction{busy421, "close"}, ledger.Refused, failed},
		{"greeting", reaction{"554 no\r\n", "close"}, ledger.Refused, failed},
		{"greeting", reaction{"hello\r\n", ""}, ledger.Refused, failed},
		{"greeting", reaction{"", "silence"}, ledger.Refused, late},
		{"EHLO", reaction{"550 5.7.1 no\r\n", ""}, ledger.Refused, goesOn},
		{"body", reaction{"", "close"}, ledger.Ambiguous, cut}, // a small message is all sent before the client can know
		{"dot", reaction{"", "close"}, ledger.Ambiguous, cut},
		{"dot", reaction{"", "reset"}, ledger.Ambiguous, cut},
		{"dot", reaction{"", "silence"}, ledger.Ambiguous, cut},
		{"dot", reaction{"250 taken", "close"}, ledger.Ambiguous, cut},
		{"dot", reaction{"250-taken\r\n", "close"}, ledger.Ambiguous, cut},
		{"dot", reaction{"taken\r\n", ""}, ledger.Ambiguous, cut},
		{"dot", reaction{busy421, "close"}, ledger.Refused, closing},
		{"dot", reaction{"451 4.3.0 later\r\n", ""}, ledger.Refused, goesOn},
		{"dot", reaction{"554 5.6.0 no\r\n", ""}, ledger.Refused, goesOn},
		{"dot", reaction{"251 what\r\n", ""}, ledger.Refused, goesOn},
		{"DATA", reaction{"250 what\r\n", ""}, ledger.Refused, goesOn},
		{"QUIT", reaction{"", "close"}, ledger.Accepted, goesOn},
		{"QUIT", reaction{"", "reset"}, ledger.Accepted, goesOn},
	}
	for _, stage := range []string{"EHLO", "MAIL", "RCPT", "DATA"} {
		tests = append(tests,
			test{stage, reaction{"", "close"}, ledger.Refused, cut},
			test{stage, reaction{"", "reset"}, ledger.Refused, cut},
			test{stage, reaction{"", "silence"}, ledger.Refused, cut},
			test{stage, reaction{"garbage\r\n", ""}, ledger.Refused, cut},
			test{stage, reaction{busy421, "close"}, ledger.Refused, closing},
			test{stage, reaction{busy450, ""}, ledger.Refused, goesOn},
			test{stage, reaction{never550, ""}, ledger.Refused, goesOn},
		)
	}
	for _, tt := range tests {
		t.Run(tt.stage+"/"+tt.end+"/"+strings.TrimSpace(tt.say), func(t *testing.T) {
			t.Parallel()
			d, addr := startDouble(t, tt.stage, tt.reaction)
			cfg := testLoad(addr)
			if tt.end == "silence" {
				cfg.ReplyTimeout = 2 * time.Second // long enough for the replies that do come
			}
			got, recs := runLoad(deadline(t, 20*time.Second), t, cfg)

			want := LoadCounts{Accepted: 1, Sessions: 2}
			outcomes := []ledger.Outcome{tt.first, ledger.Accepted}
			switch tt.first {
			case ledger.Refused:
				want.Refused = 1
			case ledger.Ambiguous:
				want.Ambiguous = 1
			case ledger.Accepted:
				outcomes, want.Sessions = outcomes[:1], 1
			}
			switch tt.ended {
			case cut:
				want.Cut = 1
			case closing:
				want.Announced = 1
			case failed:
				want.ConnectFailed, want.Sessions = 1, 1
			case late:
				want.ConnectTimeout, want.Sessions = 1, 1
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			var seen []ledger.Outcome
			for i, r := range recs {
				seen = append(seen, r.Outcome)
				if r.ID != "r/0" || r.Number != i+1 || r.Hash != recs[0].Hash || r.Reply == "" {
					t.Errorf("record %d is %+v", i, r)
				}
			}
			if diff := cmp.Diff(outcomes, seen); diff != "" {
				t.Errorf("outcomes -want +got:\n%s\n%+v", diff, recs)
			}
			if quits := d.Quits(); tt.ended == goesOn && quits != want.Sessions {
				t.Errorf("%d QUITs for %d sessions", quits, want.Sessions)
			}
		})
	}
}

// TestLoadIdleSession ends the session while the client has nothing to say.
func TestLoadIdleSession(t *testing.T) {
	for _, tt := range []struct {
		reaction
		want LoadCounts
	}{
		{reaction{"421 4.4.2 idle\r\n", "close"}, LoadCounts{Accepted: 2, Sessions: 2, Announced: 1}},
		{reaction{"", "close"}, LoadCounts{Accepted: 2, Sessions: 2, Cut: 1}},
		{reaction{"", "reset"}, LoadCounts{Accepted: 2, Sessions: 2, Cut: 1}},
		{reaction{"250 unasked\r\n", ""}, LoadCounts{Accepted: 2, Sessions: 2, Cut: 1}},
	} {
		t.Run(tt.end+tt.say, func(t *testing.T) {
			t.Parallel()
			_, addr := startDouble(t, "idle", tt.reaction)
			cfg := testLoad(addr)
			cfg.Messages, cfg.PerSession, cfg.Rate = 2, 2, 0.5 // the end is seen before the second message is due
			got, _ := runLoad(deadline(t, 20*time.Second), t, cfg)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// silentPort gives an address at which connections are never ledger.Accepted, since its queue is full.
func silentPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	raw, err := l.(*net.TCPListener).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := shrinkBacklog(raw); err != nil {
		t.Fatal(err)
	}
	for range 8 { // more than fit
		d := net.Dialer{Timeout: 100 * time.Millisecond}
		if c, err := d.Dial("tcp", l.Addr().String()); err == nil {
			t.Cleanup(func() { c.Close() })
		}
	}
	return l.Addr().String()
}

func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// TestLoadWithoutServer ends at the grace with all messages given up and none of them ambiguous.
func TestLoadWithoutServer(t *testing.T) {
	for _, tt := range []struct {
		name, addr string
		count      func(LoadCounts) int
	}{
		{"refused", closedPort(t), func(c LoadCounts) int { return c.ConnectRefused }},
		{"silent", silentPort(t), func(c LoadCounts) int { return c.ConnectTimeout }},
		{"unreachable", "192.0.2.1:25", func(c LoadCounts) int { return c.ConnectFailed }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg := testLoad(tt.addr)
			cfg.Messages, cfg.Sessions = 3, 3
			cfg.ConnectTimeout, cfg.Grace = 50*time.Millisecond, 300*time.Millisecond
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			got, recs := runLoad(ctx, t, cfg)
			if got.Retrying != 3 || got.InFlight != 0 || got.Accepted != 0 || got.Ambiguous != 0 || got.Sessions != 0 {
				t.Errorf("counts %+v, want 3 given up", got)
			}
			if n := tt.count(got); n < got.Refused-3 || n < 6 || got.Refused != len(recs) {
				t.Errorf("counts %+v with %d records: want as many failed connections as refused attempts, but for the last", got, len(recs))
			}
		})
	}
}

func TestLoadStopsAtOnceWithoutGrace(t *testing.T) {
	_, addr := startDouble(t, "dot", reaction{"", "silence"})
	cfg := testLoad(addr)
	cfg.Grace, cfg.ReplyTimeout = -1, time.Hour
	file, l := tempLedger(t)
	load := newLoad(cfg, l)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- load.Run(ctx) }()
	waitUntil(t, 5*time.Second, "a message is on its way", func() bool { return load.Counts().InFlight == 1 })
	cancel()
	select {
	case err := <-done:
		if err != nil {
			t.Fatal(err)
		}
	case <-deadline(t, 5*time.Second).Done():
		t.Fatal("still waiting for a reply")
	}
	// Our own end cuts nobody's session.
	if got := load.Counts(); got.Cut != 0 || got.Retrying != 1 || got.InFlight != 0 {
		t.Errorf("counts %+v", got)
	}
	if recs := records[ledger.Attempt](t, file); len(recs) != 1 || recs[0].Outcome == ledger.Accepted {
		t.Errorf("ledger %+v", recs)
	}
}

func TestLoadFailsWithItsLedger(t *testing.T) {
	_, l := tempLedger(t)
	l.Close()
	_, addr := startDouble(t, "", reaction{})
	cfg := testLoad(addr)
	cfg.Messages, cfg.Sessions = 0, 4
	load := newLoad(cfg, l)
	if err := load.Run(deadline(t, 10*time.Second)); err == nil || load.Counts().Accepted != 0 {
		t.Errorf("error %v, counts %+v: want an error, and nothing accepted that is not written down", err, load.Counts())
	}
}

func TestLoadKeepsItsRate(t *testing.T) {
	s, file := startTestSink(t, SinkConfig{})
	cfg := testLoad(s.addrs[1])
	cfg.Messages, cfg.Sessions, cfg.PerSession, cfg.Rate = 100, 5, 4, 200
	begin := time.Now()
	got, _ := runLoad(deadline(t, 30*time.Second), t, cfg)
	// 99 intervals of 5 ms.
	if took := time.Since(begin); took < 495*time.Millisecond || took > 5*time.Second {
		t.Errorf("took %v", took)
	}
	// 25 sessions of 4 messages would do, but the last one of each worker may have fewer.
	if diff := cmp.Diff(LoadCounts{Accepted: 100, Sessions: got.Sessions}, got); diff != "" || got.Sessions < 25 || got.Sessions > 29 {
		t.Errorf("-want +got:\n%s\n%d sessions", diff, got.Sessions)
	}
	if n := len(records[ledger.Arrival](t, file)); n != 100 {
		t.Errorf("%d messages arrived", n)
	}
}

// forgetful passes connections on to a sink, and closes the first few of them in place of the final reply.
func forgetful(t *testing.T, sink string, times int32) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var left atomic.Int32
	left.Store(times)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", sink)
			if err != nil {
				client.Close()
				t.Error(err)
				return
			}
			wg.Go(func() { io.Copy(server, client); server.Close() })
			wg.Go(func() {
				defer client.Close()
				for br := bufio.NewReader(server); ; {
					line, err := br.ReadString('\n')
					if err != nil || strings.Contains(line, "recorded") && left.Add(-1) >= 0 {
						return
					}
					io.WriteString(client, line)
				}
			})
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return l.Addr().String()
}

// TestProof sends through a server that sometimes forgets to answer, and wants the audit to know each case.
func TestProof(t *testing.T) {
	s, sinkFile := startTestSink(t, SinkConfig{})
	cfg := testLoad(forgetful(t, s.addrs[0], 7))
	cfg.Messages, cfg.Sessions, cfg.PerSession = 200, 4, 5
	loadFile, l := tempLedger(t)
	load := newLoad(cfg, l)
	if err := load.Run(deadline(t, 30*time.Second)); err != nil {
		t.Fatal(err)
	}
	if got := load.Counts(); got.Ambiguous != 7 || got.Cut != 7 || got.Accepted != 200 {
		t.Errorf("counts %+v", got)
	}
	res, err := ledger.AuditFiles(loadFile, sinkFile)
	if err != nil {
		t.Fatal(err)
	}
	want := Result{Messages: 200, Accepted: 200, Delivered: 200, Duplicated: res.Ambiguous, Explained: res.Ambiguous, Ambiguous: res.Ambiguous}
	if diff := cmp.Diff(want, res); diff != "" || res.Ambiguous < 1 || res.Ambiguous > 7 {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got := s.snapshot().Duplicates; got != 7 {
		t.Errorf("the sink counts %d duplicates", got)
	}

	// The audit sees what the sink is made to forget.
	b, err := os.ReadFile(sinkFile)
	if err != nil {
		t.Fatal(err)
	}
	without := bytes.ReplaceAll(b, []byte(`"r/77"`), []byte(`"r/777"`))
	sent, err := os.ReadFile(loadFile)
	if err != nil {
		t.Fatal(err)
	}
	if res, err := Audit(bytes.NewReader(sent), bytes.NewReader(without)); err != nil || res.Lost != 1 || res.LostIDs[0] != "r/77" || res.OK() {
		t.Errorf("a lost message was found to be %+v, %v", res, err)
	}
}
