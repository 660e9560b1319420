// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mailha/mailha/internal/traffic/double"
	"github.com/mailha/mailha/internal/traffic/hold"
	"github.com/mailha/mailha/internal/traffic/imap"
	"github.com/mailha/mailha/internal/traffic/ldap"
	"github.com/mailha/mailha/internal/traffic/ledger"
	"github.com/mailha/mailha/internal/traffic/promise"
	"github.com/mailha/mailha/internal/traffic/tool"
)

// TestWholeStory starts all three as processes: a load straight to a sink, which a probe watches.
func TestWholeStory(t *testing.T) {
	ctx := deadline(t, time.Minute)
	dir := t.TempDir()
	sinkFile, loadFile := filepath.Join(dir, "sink"), filepath.Join(dir, "load")
	sink, err := StartSink(ctx, asCommand, SinkConfig{Listen: []string{"127.0.0.1:0", "[::1]:0"}, Ledger: sinkFile})
	if err != nil {
		t.Fatal(err)
	}
	if len(sink.Addrs()) != 2 || !strings.HasPrefix(sink.Addrs()[1], "[::1]:") {
		t.Fatalf("addresses %q", sink.Addrs())
	}
	probe, err := StartProbe(ctx, asCommand, ProbeConfig{ICMP: "::1", Banner: sink.Addrs()[0]})
	if err != nil {
		t.Fatal(err)
	}
	load, err := StartLoad(ctx, asCommand, LoadConfig{
		To: sink.Addrs()[1], Run: "story", RcptDomain: "sink.test", Ledger: loadFile, Rate: 200, Sessions: 4, PerSession: 3,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := probe.Mark(ctx, "the act"); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, 20*time.Second, "both tell of their progress", func() bool {
		return load.Progress().Accepted > 20 && sink.Progress().Messages > 20
	})
	rep, err := probe.Report(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if rep.Mark != "the act" || rep.Greetings < 1 || rep.EchoReplies < 1 || *rep.ICMPBlackoutMS <= 0 || *rep.BannerBlackoutMS <= 0 {
		t.Errorf("report %+v", rep)
	}
	loaded, err := load.Stop(ctx)
	if err != nil {
		t.Fatal(err)
	}
	last, err := probe.Stop(ctx)
	if err != nil || last.Mark != "the act" || last.Greetings < rep.Greetings {
		t.Errorf("summary %+v, %v", last, err)
	}
	sunk, err := sink.Stop(ctx)
	if err != nil {
		t.Fatal(err)
	}
	want := LoadCounts{Accepted: sunk.Messages, Sessions: loaded.Sessions}
	if diff := cmp.Diff(want, loaded); diff != "" || loaded.Sessions < 7 || sunk.Duplicates+sunk.Refused > 0 {
		t.Errorf("-want +got:\n%s\nsink %+v", diff, sunk)
	}
	res, err := ledger.AuditFiles(loadFile, sinkFile)
	if err != nil || !res.OK() || res.Delivered != loaded.Accepted || res.Duplicated > 0 {
		t.Errorf("audit %+v, %v", res, err)
	}
	for _, done := range []<-chan struct{}{sink.Done(), load.Done(), probe.Done()} {
		<-done
	}
	if _, err := probe.Report(ctx); err == nil {
		t.Error("a stopped probe reports")
	}
}

// TestOtherProtocols starts the clients of a store and a directory as processes, and audits what they did.
func TestOtherProtocols(t *testing.T) {
	ctx := deadline(t, time.Minute)
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	for name, text := range map[string]string{"users": "a:secret of a\nb:secret of b\n", "accounts": "writer:secret\n"} {
		if err := os.WriteFile(file(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	store, directory := double.StartIMAP(t, double.Reaction{}), double.StartLDAP(t, double.Reaction{}, -1, false)
	plan := promise.Plan{Run: "r", Rate: 500, Sessions: 3, PerSession: 4, Messages: 40}
	login := ldap.Login{DN: "cn=w", Passwords: file("accounts"), Account: "writer"}

	reader, err := imap.StartRead(ctx, asCommand, imap.ReadConfig{To: store.Addr, Users: file("users"), Ledger: file("read"), Interval: 10 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	held, err := hold.Start(ctx, asCommand, hold.Config{
		IMAP: store.Addr, Users: file("users"), Idle: 2, Active: 1, LDAP: directory.Addr, Writers: 1, Base: "ou=x", DN: "cn=w",
		Passwords: file("accounts"), Account: "writer", Run: "held", Beat: 10 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	plan.Ledger = file("appended")
	appender, err := imap.StartAppend(ctx, asCommand, imap.AppendConfig{To: store.Addr, Users: file("users"), Plan: plan})
	if err != nil {
		t.Fatal(err)
	}
	plan.Ledger = file("written")
	writer, err := ldap.StartWrite(ctx, asCommand, ldap.WriteConfig{To: directory.Addr, Base: "ou=x", Login: login, Plan: plan})
	if err != nil {
		t.Fatal(err)
	}
	for name, load := range map[string]tool.Running[promise.Counts]{"appended": appender, "written": writer} {
		if c, err := load.Wait(ctx); err != nil || c.Accepted != 40 || c.Cut != 0 {
			t.Fatalf("%s: %+v, %v", name, c, err)
		}
	}
	waitUntil(t, 10*time.Second, "all was read", func() bool { return reader.Progress().Messages == 40 })
	if c, err := reader.Stop(ctx); err != nil || c.Messages != 40 || c.Duplicates != 0 {
		t.Errorf("read %+v, %v", c, err)
	}
	found, err := ldap.StartRead(ctx, asCommand, ldap.ReadConfig{To: directory.Addr, Base: "ou=x", Login: login, Ledger: file("found")})
	if err != nil {
		t.Fatal(err)
	}
	if c, err := found.Wait(ctx); err != nil || c.Writes != 40 {
		t.Errorf("found %+v, %v", c, err)
	}
	for load, sink := range map[string]string{"appended": "read", "written": "found"} {
		if res, err := ledger.AuditFiles(file(load), file(sink)); err != nil || !res.OK() || res.Delivered != 40 || res.Duplicated != 0 {
			t.Errorf("%s: %+v, %v", load, res, err)
		}
	}
	waitUntil(t, 10*time.Second, "the holder tells that it holds all, at work", func() bool {
		c := held.Progress()
		return c.Idle.Held == 2 && c.Active.Held == 1 && c.Writers.Held == 1 && c.Active.Beats > 0 && c.Writers.Beats > 0
	})
	if c, err := held.Stop(ctx); err != nil || c.Idle.Cut()+c.Active.Cut()+c.Writers.Cut() != 0 || c.Active.Beats == 0 || c.Writers.Beats == 0 {
		t.Errorf("held %+v, %v", c, err)
	}
}

func TestLoadEndsByItself(t *testing.T) {
	s, _ := startTestSink(t, SinkConfig{})
	ctx := deadline(t, 30*time.Second)
	load, err := StartLoad(ctx, asCommand, LoadConfig{
		To: s.addrs[0], Run: "r", RcptDomain: "d", Ledger: filepath.Join(t.TempDir(), "l"), Messages: 5,
	})
	if err != nil {
		t.Fatal(err)
	}
	if c, err := load.Wait(ctx); err != nil || c.Accepted != 5 {
		t.Errorf("counts %+v, %v", c, err)
	}
}

func TestStartFailures(t *testing.T) {
	ctx := deadline(t, 30*time.Second)
	file := filepath.Join(t.TempDir(), "l")
	_, err := StartSink(ctx, asCommand, SinkConfig{Listen: []string{"192.0.2.1:25"}, Ledger: file})
	if !errors.Is(err, tool.ErrExited) || !strings.Contains(err.Error(), "192.0.2.1:25") {
		t.Errorf("a foreign address: %v", err)
	}
	if _, err := StartLoad(ctx, asCommand, LoadConfig{To: "127.0.0.1:25", Ledger: file, Run: "a/b", RcptDomain: "d"}); err == nil {
		t.Error("started without a valid run")
	}
	none := func(ctx context.Context, argv ...string) *exec.Cmd {
		return exec.CommandContext(ctx, "/nonexistent", argv...)
	}
	if _, err := StartProbe(ctx, none, ProbeConfig{ICMP: "::1"}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no program: %v", err)
	}
	mute := func(ctx context.Context, argv ...string) *exec.Cmd { return exec.CommandContext(ctx, "cat") }
	short, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	if _, err := StartProbe(short, mute, ProbeConfig{ICMP: "::1"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a program that says nothing: %v", err)
	}
}

// TestStopKillsWhatDoesNotStop has a load wait for a server that never answers, with a grace that is longer.
func TestStopKillsWhatDoesNotStop(t *testing.T) {
	ctx := deadline(t, 30*time.Second)
	_, addr := startDouble(t, "MAIL", reaction{"", "silence"})
	load, err := StartLoad(ctx, asCommand, LoadConfig{
		To: addr, Run: "r", RcptDomain: "d", Ledger: filepath.Join(t.TempDir(), "l"), Sessions: 1, ReplyTimeout: time.Hour, Grace: time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	waitUntil(t, 10*time.Second, "a message is on its way", func() bool { return load.Progress().InFlight == 1 })
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	c, err := load.Stop(short)
	if !errors.Is(err, context.DeadlineExceeded) || c.Accepted != 0 {
		t.Errorf("counts %+v, %v", c, err)
	}
	<-load.Done()
}

func TestProbeAnswersNonsense(t *testing.T) {
	ctx := deadline(t, 30*time.Second)
	p, err := StartProbe(ctx, asCommand, ProbeConfig{ICMP: "127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Mark(ctx, ""); err == nil || !strings.Contains(err.Error(), "neither mark NAME nor report") {
		t.Errorf("a mark without a name: %v", err)
	}
	if err := p.Mark(ctx, "a b"); err != nil {
		t.Error(err)
	}
	if r, err := p.Report(ctx); err != nil || r.Mark != "a b" || r.BannerBlackoutMS != nil {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := p.Stop(ctx); err != nil {
		t.Error(err)
	}
}

func TestArgvGivesTheSameConfig(t *testing.T) {
	want := LoadConfig{
		To: "[::1]:25", Run: "r", RcptDomain: "d", Ledger: "a b", Rate: 0.5, Sessions: 3, PerSession: 4, Messages: 5, For: time.Minute,
		Grace: -1, Retry: time.Hour, ConnectTimeout: 1, ReplyTimeout: 2, From: "", Helo: "h", Seed: 1<<64 - 1,
	}
	args, err := tool.Argv(&want, "load")
	if err != nil {
		t.Fatal(err)
	}
	var got LoadConfig
	if err := tool.Parse(&got, "load", args[1:], t.Output()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" || want.From == "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	held := hold.Config{
		IMAP: "a:1", Users: "u", Mailbox: "m", Idle: 1, Active: 2, SMTP: "b:2", Data: 3, DataTimes: []time.Duration{1, time.Hour}, Rcpts: []string{"x@y", "z@y"},
		Run: "r", Ledger: "l", LDAP: "c:3", Writers: 4, Base: "dc=a,dc=b", DN: "cn=x,dc=b", Passwords: "p", Account: "n",
		Beat: 1, ConnectTimeout: 2, ReplyTimeout: 3, For: 4,
	}
	if args, err = tool.Argv(&held, "hold"); err != nil {
		t.Fatal(err)
	}
	var same hold.Config
	if err := tool.Parse(&same, "hold", args[1:], t.Output()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(held, same); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	sink := SinkConfig{Listen: []string{"a:1", "[::]:2"}, Ledger: "l", Delay: time.Second, DelayFor: "-x=y"}
	if args, err = tool.Argv(&sink, "sink"); err != nil {
		t.Fatal(err)
	}
	var back SinkConfig
	if err := tool.Parse(&back, "sink", args[1:], t.Output()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sink, back); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
