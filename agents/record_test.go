// SPDX-License-Identifier: Apache-2.0

package agents

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/mailha/mailha/agents/process"
)

func TestRecordReadsBack(t *testing.T) {
	r := records{dir: filepath.Join(t.TempDir(), "not", "yet"), instance: "p_mta:0"}
	if _, found, err := r.load(); found || err != nil {
		t.Fatalf("load before save: found %v, %v", found, err)
	}
	want := record{
		Facts: Facts{
			Unit: "x.service", Ports: []uint16{25}, DataDir: "/q", Listen: netip.MustParseAddr("::1"),
			Process: process.Match{ControlGroup: "/system.slice/x.service", Programs: []string{"/usr/lib/x"}, Environ: "A=b"},
		},
		Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("2001:db8::1/128")},
		Shared:    []netip.Addr{netip.MustParseAddr("192.0.2.7")},
		Promoted:  true,
		Started:   time.Now(),
	}
	if err := r.save(want); err != nil {
		t.Fatal(err)
	}
	got, found, err := r.load()
	if !found || err != nil {
		t.Fatalf("load: found %v, %v", found, err)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Prefix{}, netip.Addr{}), cmpopts.EquateApproxTime(0)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	info, err := os.Stat(r.path())
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %s, want 0600", info.Mode())
	}
	for range 2 { // removing twice is no error
		if err := r.remove(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRecordPathsDiffer(t *testing.T) {
	seen := map[string]string{}
	for _, instance := range []string{"a", "A", "a:0", "a_0", "a%3a0", "../a", "a/b", "a.b", "", "ü"} {
		path := records{dir: "/run/x", instance: instance}.path()
		if filepath.Dir(path) != "/run/x" {
			t.Errorf("instance %q leads out of the directory: %s", instance, path)
		}
		if other, dup := seen[path]; dup {
			t.Errorf("instances %q and %q share %s", instance, other, path)
		}
		seen[path] = instance
	}
}

func TestRecordThatIsDamaged(t *testing.T) {
	whole, err := record{Facts: Facts{Unit: "x.service"}, Started: time.Now()}.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	damaged := []string{"{", "{}", "\n", "started", "address=\n" + string(whole), "new=\n" + string(whole), string(whole) + "x"}
	for i := range whole {
		damaged = append(damaged, string(whole[:i]))
	}
	r := records{dir: t.TempDir(), instance: "x"}
	for _, text := range damaged {
		if err := os.WriteFile(r.path(), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if rec, found, err := r.load(); err == nil || found || rec.Facts.Unit != "" {
			t.Errorf("%q was taken: %+v, found %v, %v", text, rec, found, err)
		}
	}
}

func FuzzRecord(f *testing.F) {
	f.Add("address=192.0.2.1/32\nshared=192.0.2.9\nfacts={\"unit\":\"x.service\"}\nannounced=2026-01-02T03:04:05Z\nstarted=2026-01-02T03:04:05+01:00\n")
	f.Fuzz(func(t *testing.T, text string) {
		var rec, again record
		if rec.UnmarshalText([]byte(text)) != nil {
			return
		}
		for _, at := range []time.Time{rec.Announced, rec.Started} {
			if y := at.UTC().Year(); y < 1 || y > 9999 {
				return // UTC has moved it to a year that has no text
			}
		}
		back, err := rec.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		if err := again.UnmarshalText(back); err != nil {
			t.Errorf("%q became %q: %v", text, back, err)
		}
	})
}
