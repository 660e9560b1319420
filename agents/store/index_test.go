// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"

	"github.com/mailha/mailha/agents"
)

// encodedSize is the other direction of recordSize.
func encodedSize(size int) uint32 {
	n := uint32(size >> 2)
	return 0x80808080 | n&0x7f | n>>7&0x7f<<8 | n>>14&0x7f<<16 | n>>21&0x7f<<24
}

// newLog has records of these sizes.
func newLog(sizes ...int) []byte {
	const header = 40
	b := make([]byte, header)
	b[0], b[1] = logMajor, 3
	binary.NativeEndian.PutUint16(b[2:], header)
	binary.NativeEndian.PutUint32(b[4:], 4711)
	for _, size := range sizes {
		record := make([]byte, size)
		binary.BigEndian.PutUint32(record, encodedSize(size))
		b = append(b, record...)
	}
	return b
}

func TestRecordSize(t *testing.T) {
	for _, size := range []int{8, 12, 508, 512, 516, 65532, 65536, 1 << 20, 1<<23 + 4} {
		if got := recordSize(encodedSize(size)); got != size {
			t.Errorf("%d became %d", size, got)
		}
	}
	for _, encoded := range []uint32{0, 1, 0x80808000, 0x7f808080} {
		if got := recordSize(encoded); got != 0 {
			t.Errorf("%#x became %d", encoded, got)
		}
	}
}

func TestCheckRecords(t *testing.T) {
	good := newLog(8, 24, 512, 8)
	change := func(at int, b byte) []byte {
		c := slices.Clone(good)
		c[at] = b
		return c
	}
	for _, tt := range []struct {
		name string
		data []byte
		torn bool
	}{
		{"good", good, false},
		{"nothing yet", newLog(), false},
		{"empty", nil, true},
		{"within the header", good[:30], true},
		{"header missing", good[:10], true},
		{"another version", change(0, 2), true},
		{"marked by Dovecot", append(append(slices.Clone(good[:4]), 0, 0, 0, 0), good[8:]...), true},
		{"header of no size", append([]byte{logMajor, 3, 0, 0}, good[4:]...), true},
		{"last record cut", good[:len(good)-4], true},
		{"last record gone", good[:len(good)-8], false},
		{"some bytes left", append(slices.Clone(good), 1, 2, 3), true},
		{"zeros", append(slices.Clone(good), make([]byte, 512)...), true},
		{"all zeros", make([]byte, len(good)), true},
		{"a size damaged", change(40, 0xff), true},
	} {
		if err := checkRecords(tt.data); (err != nil) != tt.torn {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	for n := range good {
		if err := checkRecords(good[:n]); (err == nil) != slices.Contains([]int{40, 48, 72, 584}, n) {
			t.Errorf("cut after %d bytes: %v", n, err)
		}
	}
}

func TestCheckSummary(t *testing.T) {
	dir := t.TempDir()
	good := make([]byte, 120)
	good[0] = sumMajor
	binary.NativeEndian.PutUint32(good[4:], 120)
	for _, tt := range []struct {
		name string
		data []byte
		torn bool
	}{
		{"good", good, false},
		{"with messages", append(slices.Clone(good), 1, 2, 3), false}, // Dovecot reads the rest from the log
		{"empty", nil, true},
		{"header cut", good[:100], true},
		{"zeros", make([]byte, 200), true},
	} {
		path := filepath.Join(dir, sumName)
		if err := os.WriteFile(path, tt.data, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := checkIndex(dir, logName, sumName); errors.Is(err, errTorn) != tt.torn || !tt.torn && err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// plant makes files below a directory; a name that ends in a slash is a directory.
func plant(t *testing.T, dir string, files map[string][]byte) {
	t.Helper()
	for name, data := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, "/") {
			if err := os.MkdirAll(path, 0o700); err != nil {
				t.Fatal(err)
			}
		} else if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestScan(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "storage") // as a mail directory may be called
	good, torn := newLog(8), newLog(8)[:44]
	plant(t, dir, map[string][]byte{
		".mailha-store": nil,
		"u1/mail/mailboxes/INBOX/dbox-Mails/dovecot.index.log":         good,
		"u1/mail/mailboxes/INBOX/dbox-Mails/u.1":                       nil,
		"u1/mail/mailboxes/Sub/dbox-Mails/dovecot.index.log":           torn,
		"u1/mail/mailboxes/Sub/dbox-Mails/u.1":                         nil,
		"u1/mail/mailboxes/Sub/Lost/dbox-Mails/u.1":                    nil,
		"u1/mail/mailboxes/Sub/New/dbox-Mails/dovecot.index.log":       good,
		"u1/mail/mailboxes/Empty/dbox-Mails/":                          nil,
		"u1/mail/dovecot.list.index.log":                               torn, // Dovecot makes it anew
		"u2/mdbox/storage/dovecot.map.index.log":                       torn,
		"u2/mdbox/storage/m.1":                                         nil,
		"u2/mdbox/mailboxes/INBOX/dbox-Mails/dovecot.index.log":        good,
		"u3/mdbox/storage/m.1":                                         nil,
		"example.org/new/Maildir/dovecot.index.log":                    torn,
		"example.org/new/Maildir/cur/dovecot.index.log":                torn, // a message of that name
		"example.org/new/Maildir/new/":                                 nil,
		"example.org/new/Maildir/tmp/":                                 nil,
		"example.org/new/Maildir/.Sub/dovecot.index.log":               good,
		"example.org/new/Maildir/.Sub.Sub/dovecot.index":               nil,
		"example.org/new/Maildir/.Sub.Sub/dovecot.index.log":           good,
		"example.org/storage/Maildir/.storage/cur/":                    nil,
		"example.org/storage/Maildir/.storage/new/":                    nil,
		"example.org/storage/Maildir/.storage/tmp/":                    nil,
		"example.org/storage/Maildir/.storage/sub/dovecot.index.log":   torn,
		"example.org/storage/Maildir/.storage/sub/dovecot.index.cache": torn,
	})
	if err := os.Symlink("/", filepath.Join(dir, "u1", "out")); err != nil {
		t.Fatal(err)
	}
	s := walk(t.Context(), dir)
	var found []string
	for _, d := range s.torn {
		rel, err := filepath.Rel(dir, d.dir)
		if err != nil || !strings.Contains(d.why, dir) {
			t.Errorf("%+v, %v", d, err)
		}
		found = append(found, rel)
	}
	slices.Sort(found)
	want := []string{
		"example.org/new/Maildir", "example.org/new/Maildir/.Sub.Sub", "example.org/storage/Maildir/.storage/sub",
		"u1/mail/mailboxes/Sub/Lost/dbox-Mails", "u1/mail/mailboxes/Sub/dbox-Mails",
		"u2/mdbox/storage", "u3/mdbox/storage",
	}
	if diff := cmp.Diff(want, found); diff != "" || !s.complete {
		t.Errorf("complete %t (-want +got)\n%s", s.complete, diff)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if s := walk(ctx, dir); s.complete || s.torn != nil {
		t.Errorf("without time: %+v", s)
	}
}

func TestCandidates(t *testing.T) {
	got := candidates("/srv/store", "/srv/store/example.org/joe/Maildir/.Sub")
	want := []candidate{
		{"example.org", "/srv/store/example.org"},
		{"joe@example.org", "/srv/store/example.org/joe"},
		{"joe", "/srv/store/example.org/joe"},
		{"Maildir@example.org", "/srv/store/example.org/joe/Maildir"},
		{"Maildir@joe", "/srv/store/example.org/joe/Maildir"},
		{"Maildir", "/srv/store/example.org/joe/Maildir"},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(candidate{}), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	for _, dir := range []string{"/srv/store", "/srv/other/u1", "/srv/store/-A/$(x)/a b/ü"} {
		if got := candidates("/srv/store", dir); len(got) > 0 {
			t.Errorf("%s: %+v", dir, got)
		}
	}
}

// A PID file of a master that is gone is taken away, and no other.
func TestRecoverPIDFile(t *testing.T) {
	d, dir := NewDovecot(), t.TempDir()
	f := agents.Facts{RunDir: dir}
	path := filepath.Join(dir, "master.pid")
	if did, err := d.Recover(t.Context(), f, true); did != "" || err != nil {
		t.Errorf("without one: %q, %v", did, err)
	}
	for _, text := range []string{"1\n", "", "nonsense", "99999999999999999999"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		did, err := d.Recover(t.Context(), f, true)
		if _, statErr := os.Stat(path); did == "" || err != nil || !os.IsNotExist(statErr) {
			t.Errorf("%q: %q, %v, %v", text, did, err, statErr)
		}
	}
}

// A recovery leaves what it has no time for, and says so.
func TestRecoverWithoutTime(t *testing.T) {
	a := newAgent(agents.Env{})
	f := agents.Facts{RunDir: t.TempDir(), DataDir: t.TempDir()}
	plant(t, f.DataDir, map[string][]byte{"u1/mail/mailboxes/INBOX/dbox-Mails/dovecot.index.log": nil})
	if did, err := a.Recover(t.Context(), f, false); err != nil || len(a.torn) != 1 || !strings.Contains(did, "1 mailboxes, 1 are torn") {
		t.Errorf("%q, %v, %+v", did, err, a.torn)
	}
	a.torn = nil
	if did, err := a.Recover(t.Context(), f, true); err != nil || did != "" || a.torn != nil {
		t.Errorf("after a clean end: %q, %v, %+v", did, err, a.torn)
	}
	ctx, cancel := context.WithDeadline(t.Context(), time.Now())
	defer cancel()
	if did, err := a.Recover(ctx, f, false); err != nil || !strings.Contains(did, "no time") || a.torn != nil {
		t.Errorf("without time: %q, %v, %+v", did, err, a.torn)
	}
}

func FuzzCheckRecords(f *testing.F) {
	f.Add(newLog(8, 24))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		if checkRecords(data) == nil && checkRecords(append(data, 0)) == nil {
			t.Error("a byte more is no damage")
		}
	})
}

// Users can make names where indexes are: a pipe is not waited for, and nothing is opened by way
// of a link.
func TestWalkOpensFilesOnly(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "silent")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, lay := range map[string]func(path string) error{
		"pipe": func(path string) error { return unix.Mkfifo(path, 0o600) },
		"link": func(path string) error { return os.Symlink(pipe, path) },
	} {
		for _, index := range []string{logName, sumName} {
			mail := filepath.Join(dir, name, index, "dbox-Mails")
			if err := os.MkdirAll(mail, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := lay(filepath.Join(mail, index)); err != nil {
				t.Fatal(err)
			}
		}
	}
	done := make(chan struct{})
	go func() { defer close(done); walk(t.Context(), dir) }()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Fatal("it waits for somebody to write")
	}
}
