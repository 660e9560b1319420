// SPDX-License-Identifier: Apache-2.0

package unit

import (
	"errors"
	"strconv"
	"strings"
	"testing"
)

func TestFullName(t *testing.T) {
	for name, want := range map[string]string{
		"mta": "mta.service", "mta.service": "mta.service", "postfix@-": "postfix@-.service", "postfix@-.service": "postfix@-.service",
		"a.b": "a.b.service", "basic.target": "basic.target", "-.mount": "-.mount", `srv-mail\x2dspool.mount`: `srv-mail\x2dspool.mount`,
		"service": "service.service", "x.SERVICE": "x.SERVICE.service", strings.Repeat("x", 247): strings.Repeat("x", 247) + ".service",
	} {
		if got, err := fullName(name); got != want || err != nil {
			t.Errorf("fullName(%q) = %q, %v; want %q", name, got, err, want)
		}
	}
	for _, name := range []string{"", ".service", "@", "@i", "t@", "t@.service", "a/b", "a b", "ä", "a\x00", "\xff", strings.Repeat("x", 248), "a;b", "$(x)"} {
		if got, err := fullName(name); !errors.Is(err, ErrNotFound) {
			t.Errorf("fullName(%q) = %q, %v; want ErrNotFound", name, got, err)
		}
	}
}

func TestUnitPath(t *testing.T) {
	for name, want := range map[string]string{
		"dbus.service": "dbus_2eservice", "9to5@-.service": "_39to5_40_2d_2eservice", "-.mount": "_2d_2emount", "A_z.target": "A_5fz_2etarget",
	} {
		if got := string(unitPath(name)); got != "/org/freedesktop/systemd1/unit/"+want {
			t.Errorf("unitPath(%q) = %q, want %q", name, got, want)
		}
	}
}

// No name makes a path that the bus would refuse (it ends the connection for one), and
// no two units share a path.
func FuzzName(f *testing.F) {
	for _, s := range []string{"mta", "postfix@-.service", "a.b", "9", "_2e", "", "\xff\x00", "t@", "x.mount", "ä", "service", ".service", "a.service.service"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		path := unitPath(name)
		if name != "" && !path.IsValid() {
			t.Errorf("unitPath(%q) = %q is no path", name, path)
		}
		label := strings.TrimPrefix(string(path), "/org/freedesktop/systemd1/unit/")
		var back strings.Builder
		for i := 0; i < len(label); i++ {
			if label[i] != '_' {
				back.WriteByte(label[i])
				continue
			}
			c, err := strconv.ParseUint(label[i+1:i+3], 16, 8)
			if err != nil {
				t.Fatal(err)
			}
			back.WriteByte(byte(c))
			i += 2
		}
		if back.String() != name {
			t.Errorf("unitPath(%q) reads back as %q", name, back.String())
		}
		full, err := fullName(name)
		if err != nil {
			return
		}
		if again, err := fullName(full); again != full || err != nil {
			t.Errorf("fullName(%q) = %q, and of that %q, %v", name, full, again, err)
		}
		if face := kindInterface(full); !strings.HasPrefix(face, "org.freedesktop.systemd1.") || len(face) < 30 {
			t.Errorf("kindInterface(%q) = %q", full, face)
		}
	})
}
