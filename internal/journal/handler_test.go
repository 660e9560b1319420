// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var origin = Origin{Resource: "p_mta", Agent: "mta", Action: "stop"}

// secret is what a value that knows how to be logged looks like.
type secret struct{}

func (secret) LogValue() slog.Value { return slog.StringValue("hidden") }

func TestLines(t *testing.T) {
	for _, tt := range []struct {
		name   string
		log    func(*slog.Logger)
		fields map[string]string // beside those that every line has
	}{
		{"no attributes", func(l *slog.Logger) { l.Info("claims watch was gone") }, map[string]string{
			"MESSAGE": "p_mta: claims watch was gone", "PRIORITY": "6",
		}},
		{"numbers and spans", func(l *slog.Logger) { l.Info("drained", "sessions", 3, "cut", 0, "took", 412*time.Millisecond) }, map[string]string{
			"MESSAGE": "p_mta: drained: sessions=3 cut=0 took=412ms", "PRIORITY": "6",
			"MAILHA_SESSIONS": "3", "MAILHA_CUT": "0", "MAILHA_TOOK": "412ms",
		}},
		{"several words", func(l *slog.Logger) { l.Warn("odd", "a", "two words", "b", "", "c", `say "no"`) }, map[string]string{
			"MESSAGE": `p_mta: odd: a="two words" b="" c=say "no"`, "PRIORITY": "4",
			"MAILHA_A": "two words", "MAILHA_B": "", "MAILHA_C": `say "no"`,
		}},
		{"errors of several lines", func(l *slog.Logger) { l.Error("bad", "error", errors.Join(errors.New("one"), errors.New("two"))) }, map[string]string{
			"MESSAGE": "p_mta: bad: error=one; two", "PRIORITY": "3", "MAILHA_ERROR": "one\ntwo",
		}},
		{"control characters", func(l *slog.Logger) { l.Info("a\nb\x1b[1m\xff", "x", "\x00\xfe") }, map[string]string{
			"MESSAGE": "p_mta: a; b?[1m?: x=??", "PRIORITY": "6", "MAILHA_X": "\x00\uFFFD",
		}},
		{"other letters", func(l *slog.Logger) { l.Info("größe", "seconds_left", "東", "Ä-1.x", 1) }, map[string]string{
			"MESSAGE": "p_mta: größe: seconds_left=東 Ä-1.x=1", "PRIORITY": "6", "MAILHA_SECONDS_LEFT": "東", "MAILHA___1_X": "1",
		}},
		{"a long name", func(l *slog.Logger) { l.Info("x", strings.Repeat("k", 80), 1) }, map[string]string{
			"MESSAGE": "p_mta: x: " + strings.Repeat("k", 80) + "=1", "PRIORITY": "6", "MAILHA_" + strings.Repeat("K", 57): "1",
		}},
		{"the resource once only", func(l *slog.Logger) { l.With("resource", "p_mta").Info("x") }, map[string]string{
			"MESSAGE": "p_mta: x", "PRIORITY": "6",
		}},
		{"attributes and groups from before", func(l *slog.Logger) {
			l.With("a", 1).WithGroup("").WithGroup("g").With("b", 2).Info("x", "c", 3, slog.Group("h", "d", 4), slog.Group("", "e", 5))
		}, map[string]string{
			"MESSAGE": "p_mta: x: a=1 g.b=2 g.c=3 g.h.d=4 g.e=5", "PRIORITY": "6",
			"MAILHA_A": "1", "MAILHA_G_B": "2", "MAILHA_G_C": "3", "MAILHA_G_H_D": "4", "MAILHA_G_E": "5",
		}},
		{"values of all kinds", func(l *slog.Logger) {
			l.Info("x", "v", secret{}, "ip", netip.MustParseAddr("::1"), "list", []string{"a", "b"}, "nil", nil, slog.Attr{})
		}, map[string]string{
			"MESSAGE": `p_mta: x: v=hidden ip=::1 list="[a b]" nil=<nil>`, "PRIORITY": "6",
			"MAILHA_V": "hidden", "MAILHA_IP": "::1", "MAILHA_LIST": "[a b]", "MAILHA_NIL": "<nil>",
		}},
		{"too long", func(l *slog.Logger) { l.Info("x", "v", strings.Repeat("é", longestValue)) }, map[string]string{
			"MESSAGE": "p_mta: x: v=" + strings.Repeat("é", (longestValue-12)/2), "PRIORITY": "6", "MAILHA_V": strings.Repeat("é", longestValue/2),
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			j := listen(t)
			tt.log(slog.New(New(j.path, slog.LevelInfo, origin)))
			want := map[string]string{
				"SYSLOG_IDENTIFIER": "mailha-ocf", "SYSLOG_FACILITY": "3",
				"MAILHA_RESOURCE": "p_mta", "MAILHA_AGENT": "mta", "MAILHA_ACTION": "stop",
			}
			for name, value := range tt.fields {
				want[name] = value
			}
			if diff := cmp.Diff(want, j.line(t)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// Loggers that come from one do not write into each other's attributes.
func TestBranches(t *testing.T) {
	j := listen(t)
	root := slog.New(New(j.path, slog.LevelInfo, origin)).With("a", 1, "b", 2, "c", 3)
	left, right := root.With("side", "left"), root.With("side", "right")
	left.Info("x", "n", 1)
	right.Info("x", "n", 2)
	for _, want := range []string{"p_mta: x: a=1 b=2 c=3 side=left n=1", "p_mta: x: a=1 b=2 c=3 side=right n=2"} {
		if got := j.line(t)["MESSAGE"]; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestLevel(t *testing.T) {
	j := listen(t)
	log := slog.New(New(j.path, slog.LevelWarn, origin))
	log.Info("too little")
	log.Warn("enough")
	if got := j.line(t)["MESSAGE"]; got != "p_mta: enough" {
		t.Errorf("got %q", got)
	}
	if New("", slog.LevelInfo, origin).Enabled(t.Context(), slog.LevelError) {
		t.Error("without a socket there is nothing to write to")
	}
}

// FuzzLine sends whatever a service may say, and reads it back.
func FuzzLine(f *testing.F) {
	f.Add("drained", "sessions", "3")
	f.Add("a\nb", "", "x\ny")
	f.Add("\xff\x00", "MESSAGE=x\n", "=\n\n")
	f.Fuzz(func(t *testing.T, text, key, value string) {
		if len(text)+len(key)+len(value) > 50<<10 {
			return
		}
		j := listen(t)
		if err := New(j.path, slog.LevelInfo, origin).Handle(t.Context(), record(text, key, value)); err != nil {
			t.Fatal(err)
		}
		fields := j.line(t)
		if strings.ContainsFunc(fields["MESSAGE"], func(r rune) bool { return r < ' ' }) || !strings.HasPrefix(fields["MESSAGE"], "p_mta: ") {
			t.Errorf("message %q", fields["MESSAGE"])
		}
		for name := range fields {
			if len(name) > 64 || strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != "" {
				t.Errorf("field %q", name)
			}
		}
	})
}

func record(text, key, value string) slog.Record {
	r := slog.NewRecord(time.Now(), slog.LevelInfo, text, 0)
	r.AddAttrs(slog.String(key, value))
	return r
}
