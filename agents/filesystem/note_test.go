// SPDX-License-Identifier: Apache-2.0

package filesystem

import (
	"strings"
	"testing"
)

func TestNote(t *testing.T) {
	n := note{device: "/dev/disk/by-id/a b\n\"c\"", number: 1<<40 + 7, dir: "/srv/x=y\n", files: 9}
	text := string(n.text())
	if got, err := parseNote(text); err != nil || got != n {
		t.Errorf("read back: %+v, %v", got, err)
	}
	for end := range len(text) - 1 {
		if _, err := parseNote(text[:end]); err == nil {
			t.Errorf("a note that was cut off after %q was believed", text[:end])
		}
	}
}

func FuzzNote(f *testing.F) {
	f.Add(string(note{"/dev/a", 5, "/srv", 6}.text()))
	f.Fuzz(func(t *testing.T, text string) {
		n, err := parseNote(text)
		if err != nil {
			return
		}
		if again, err := parseNote(string(n.text())); err != nil || again != n {
			t.Errorf("%+v became %+v, %v", n, again, err)
		}
	})
}

func TestLabelled(t *testing.T) {
	const text = `SRC=/dev/sda1 TARGET=/srv/a\040b ROOT=/ OPTS=_netdev,x-mailha.resource=p_fs
ID=7 SRC=/dev/sdb1 TARGET=/srv/c ROOT=/ OPTS=x-mailha.resource=p_fs2
OPTS=x-mailha.resource=p_half
`
	if n, ok := labelled(text, "p_fs"); !ok || n.device != "/dev/sda1" || n.dir != "/srv/a b" {
		t.Errorf("got %+v, %t", n, ok)
	}
	for _, name := range []string{"p_f", "p_half", "", "p_fs3"} {
		if n, ok := labelled(text, name); ok {
			t.Errorf("%q: got %+v", name, n)
		}
	}
}

func TestValues(t *testing.T) {
	for _, tt := range []struct {
		value interface{ Set(string) error }
		good  string
		bad   string // separated by semicolons
	}{
		{new(Source), "/dev/sda1;UUID=1-2;LABEL=mail", "sda1;UUID=;LABEL=a/b;NAME=x;uuid=1;UUID=a b"},
		{new(Directory), "/srv/mail;/srv/with blank", "srv;/;/usr;/usr/;//etc/;/srv/../etc"},
		{new(Options), "noatime;ro,noexec;data=journal", "remount;noatime,bind;a b;loop=/dev/loop0"},
		{new(Word), "ext4;fuse.x;.mailha-check", "-t;a/b;a b;ext4,xfs"},
		{new(Check), "auto;yes;no", "true;"},
		{new(Percent), "0;5;10%;99", "100;-1;5.5;x"},
	} {
		for s := range strings.SplitSeq(tt.good, ";") {
			if err := tt.value.Set(s); err != nil {
				t.Errorf("%T %q: %v", tt.value, s, err)
			}
		}
		for s := range strings.SplitSeq(tt.bad, ";") {
			if err := tt.value.Set(s); err == nil {
				t.Errorf("%T %q was taken", tt.value, s)
			}
		}
	}
	for text, want := range map[string]bool{"": false, "ro": true, "noatime,ro": true, "ro,rw": false, "rofoo": false, "ro,defaults": false} {
		if got := Options(text).readOnly(); got != want {
			t.Errorf("%q: read-only %t", text, got)
		}
	}
}
