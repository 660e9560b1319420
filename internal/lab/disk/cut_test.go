// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const mountinfo = `1153 1152 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
1244 1153 7:1 / /mnt rw - ext4 /dev/mailha-shared rw
1245 1153 7:11 / /srv rw - ext4 /dev/other rw
1246 1153 7:1 /sub /with\040blank\134 rw shared:7 master:3 - ext4 /dev/mailha-shared rw
short 7:1
`

func TestMountPoints(t *testing.T) {
	for number, want := range map[string][]string{
		"7:1":   {"/mnt", `/with blank\`},
		"7:11":  {"/srv"},
		"254:0": {"/"},
		"7:2":   nil,
	} {
		if diff := cmp.Diff(want, mountPoints([]byte(mountinfo), number)); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", number, diff)
		}
	}
}

func FuzzMountPoints(f *testing.F) {
	f.Add([]byte(mountinfo), "7:1")
	f.Fuzz(func(t *testing.T, data []byte, number string) {
		for _, p := range mountPoints(data, number) {
			if !strings.Contains(string(data), number) {
				t.Errorf("found %q for a device that is not there", p)
			}
		}
	})
}
