// SPDX-License-Identifier: Apache-2.0

package filesystem

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

const someMounts = `21 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 21 7:1 / /srv/a rw,noatime shared:2 master:3 - ext4 /dev/sda1 rw,errors=remount-ro
31 30 0:40 / /srv/a/in rw - tmpfs in rw
32 31 0:41 / /srv/a/in/side rw - tmpfs side rw
33 21 7:1 /sub /srv/with\040blank\134 ro - ext4 /dev/sda1 rw,shutdown
34 30 0:42 / /srv/a rw - tmpfs over rw
35 21 0:50 /vol /srv/b rw - btrfs /dev/null rw
36 21 0:51 / /srv/b2 rw - tmpfs
nonsense
37 21 x:1 / /x rw - ext4 /dev/x rw
`

func TestMountinfo(t *testing.T) {
	all := parseMountinfo(someMounts)
	if len(all) != 7 { // lines that cannot be read are left out
		t.Fatalf("read %d mounts: %+v", len(all), all)
	}
	if diff := cmp.Diff(mount{
		id: 33, parent: 21, number: unix.Mkdev(7, 1), root: "/sub", point: `/srv/with blank\`, options: []string{"ro"},
		kind: "ext4", source: "/dev/sda1", super: []string{"rw", "shutdown"},
	}, all[4], cmp.AllowUnexported(mount{})); diff != "" {
		t.Error(diff)
	}
	device := target{path: "/dev/sda1", dir: "/srv/a", numbers: []uint64{unix.Mkdev(7, 1)}}
	s := sightOf(all, device)
	if len(s.owned) != 2 || len(s.elsewhere) != 1 || s.placed || !s.covered || s.there == nil || s.there.source != "over" {
		t.Errorf("sight: %+v", s)
	}
	var order []int
	for _, m := range withNested(all, s.owned) {
		order = append(order, m.id)
	}
	if !slices.Equal(order, []int{32, 31, 34, 30, 33}) {
		t.Errorf("order of unmounting: %v", order)
	}
	if s := sightOf(all, target{path: "/dev/none", dir: "/srv/b"}); s.placed || s.there == nil || len(s.owned) > 0 {
		t.Errorf("another device: %+v", s)
	}
	// The same name may be another device's, in a container or later.
	if s := sightOf(all, target{path: "/dev/sda1", dir: "/srv/a", numbers: []uint64{unix.Mkdev(8, 1)}}); len(s.owned) > 0 {
		t.Errorf("another device of the same name: %+v", s)
	}
	// A name alone tells a device whose node is gone.
	if s := sightOf(all, target{path: "/dev/sda1", dir: "/elsewhere"}); len(s.owned) != 2 || s.there != nil {
		t.Errorf("by its name: %+v", s)
	}
}

func TestTop(t *testing.T) {
	for _, tt := range []struct {
		name, mounts string
		want         int
	}{
		{"none", "", 0},
		{"on each other", "2 1 7:1 / /x rw - ext4 a rw\n3 2 7:2 / /x rw - ext4 b rw\n", 3},
		{"on each other, listed the other way round", "3 2 7:2 / /x rw - ext4 b rw\n2 1 7:1 / /x rw - ext4 a rw\n", 3},
		{"a ring", "3 2 7:2 / /x rw - ext4 b rw\n2 3 7:1 / /x rw - ext4 a rw\n", 0},
	} {
		if m, _ := top(parseMountinfo(tt.mounts), "/x"); m.id != tt.want {
			t.Errorf("%s: got %d, want %d", tt.name, m.id, tt.want)
		}
	}
}

func FuzzMountinfo(f *testing.F) {
	f.Add(someMounts)
	f.Add("1 1 0:0 / /\\4 rw - x y")
	f.Fuzz(func(t *testing.T, text string) {
		all := parseMountinfo(text)
		if len(all) > strings.Count(text, "\n")+1 {
			t.Errorf("%d mounts of %d lines", len(all), strings.Count(text, "\n")+1)
		}
		list := withNested(all, all)
		if len(list) != len(all) {
			t.Errorf("%d of %d mounts", len(list), len(all))
		}
		for _, m := range all {
			top(all, m.point)
		}
	})
}
