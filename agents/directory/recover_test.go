// SPDX-License-Identifier: Apache-2.0

package directory

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/mailha/mailha/agents"
)

// lmdb makes the beginning of a file with so many pages: lmdb.h.
func lmdb(pageSize, first, second uint64) []byte {
	b := make([]byte, (max(first, second)+1)*pageSize)
	for i, transaction := range []uint64{first, second} {
		page := b[uint64(i)*pageSize:]
		binary.NativeEndian.PutUint32(page[16:], 0xBEEFC0DE)
		binary.NativeEndian.PutUint32(page[20:], 1)
		binary.NativeEndian.PutUint32(page[40:], uint32(pageSize))
		binary.NativeEndian.PutUint64(page[136:], transaction) // a page for each
		binary.NativeEndian.PutUint64(page[144:], transaction)
	}
	return b
}

func TestWhole(t *testing.T) {
	good, big := lmdb(4096, 7, 8), lmdb(16384, 8, 7)
	firstTorn := append(make([]byte, 4096), good[4096:]...)
	secondTorn := append(append([]byte{}, good[:4096]...), make([]byte, len(good)-4096)...)
	for _, tt := range []struct {
		name string
		data []byte
		want error
	}{
		{"whole", good, nil},
		{"of large pages", big, nil},
		{"the first page torn", firstTorn, nil},
		{"the second page torn", secondTorn, nil},
		{"cut off", good[:len(good)/2], errTruncated},
		{"cut off in the first page", good[:100], errNoData},
		{"empty pages", make([]byte, 8192), errNoData},
		{"something else", bytes.Repeat([]byte("text\n"), 5000), errNoData},
	} {
		if err := whole(bytes.NewReader(tt.data), int64(len(tt.data))); !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

func FuzzWhole(f *testing.F) {
	f.Add(lmdb(512, 2, 3))
	f.Fuzz(func(t *testing.T, data []byte) {
		_ = whole(bytes.NewReader(data), int64(len(data)))
	})
}

func TestRecover(t *testing.T) {
	o, f := NewOpenLDAP(agents.Env{}), agents.Facts{DataDir: t.TempDir()}
	path := filepath.Join(f.DataDir, dataFile)
	recover := func() error {
		_, err := o.Recover(t.Context(), f, false)
		return err
	}
	if err := recover(); err != nil {
		t.Errorf("no data yet: %v", err)
	}
	for text, good := range map[string]bool{"": true, string(lmdb(4096, 2, 3)): true, "half of it": false} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := recover(); (err == nil) != good {
			t.Errorf("%.10q: %v", text, err)
		}
	}
}

// What root writes must not be where others can put a link.
func TestBesideData(t *testing.T) {
	parent := t.TempDir()
	f := agents.Facts{DataDir: filepath.Join(parent, "data")}
	if got := besideData(f, ".x"); got != f.DataDir+".x" {
		t.Errorf("got %q", got)
	}
	for name, spoil := range map[string]func() error{
		"writable by others": func() error { return os.Chmod(parent, 0o777) },
		"somebody else's":    func() error { return errors.Join(os.Chmod(parent, 0o755), os.Chown(parent, 65534, 0)) },
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		if got := besideData(f, ".x"); got != "" {
			t.Errorf("%s: got %q", name, got)
		}
		if err := os.Chmod(parent, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(parent, 0, 0); err != nil {
			t.Fatal(err)
		}
	}
	if got := besideData(agents.Facts{DataDir: "/nonexistent/x"}, ".x") + besideData(agents.Facts{}, ".x"); got != "" {
		t.Errorf("nowhere: got %q", got)
	}
}

func TestSightings(t *testing.T) {
	f := agents.Facts{DataDir: filepath.Join(t.TempDir(), "data")}
	o := NewOpenLDAP(agents.Env{})
	peer := func(url string, s state) other {
		src, err := parseSource("provider=" + url)
		if err != nil {
			t.Fatal(err)
		}
		return other{source: src, has: s}
	}
	a, b := peer("ldap://a", stateOf(csn("001", 1000))), peer("ldap://b", stateOf(csn("002", 1000)))
	o.note(f, []other{a, b})
	newer := peer("ldap://a", stateOf(csn("001", 2000)))
	seen := o.note(f, []other{newer})
	if had := seen.last([]other{a}); had.lacks(newer.has) || !had.lacks(b.has) {
		t.Errorf("of the one that was seen twice: %v", had)
	}
	if had := seen.last([]other{a, b}); had.lacks(newer.has) || had.lacks(b.has) {
		t.Errorf("of both: %v", had)
	}
	for _, torn := range []string{"", "{", "null", "[]", `{"ldap://a":`} {
		if err := os.WriteFile(sightingsPath(f), []byte(torn), 0o600); err != nil {
			t.Fatal(err)
		}
		if seen, err := loadSightings(f); err != nil || len(seen) != 0 {
			t.Errorf("torn to %q: %v, %v", torn, seen, err)
		}
		o.note(f, nil)
	}
}
