// SPDX-License-Identifier: Apache-2.0

package filesystem

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// mount is a line of proc_pid_mountinfo(5).
type mount struct {
	id, parent int
	number     uint64 // of the device, st_dev
	root       string // what of the file system is mounted
	point      string // where, as the process sees it
	options    []string
	kind       string // of file system
	source     string
	super      []string // options of the file system, rather than of this mount
}

// mounts reads what a process has mounted: "self", or its PID.
func mounts(process string) ([]mount, error) {
	data, err := os.ReadFile("/proc/" + process + "/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("read what is mounted: %w", err)
	}
	return parseMountinfo(string(data)), nil
}

// parseMountinfo leaves out lines that it cannot read: kernels only ever add fields.
func parseMountinfo(text string) []mount {
	var all []mount
	for line := range strings.Lines(text) {
		if m, ok := parseMount(strings.TrimSuffix(line, "\n")); ok {
			all = append(all, m)
		}
	}
	return all
}

func parseMount(line string) (mount, bool) {
	before, after, found := strings.Cut(line, " - ")
	f, g := strings.Split(before, " "), strings.Split(after, " ")
	if !found || len(f) < 6 || len(g) < 2 {
		return mount{}, false
	}
	id, err1 := strconv.Atoi(f[0])
	parent, err2 := strconv.Atoi(f[1])
	major, minor, _ := strings.Cut(f[2], ":")
	hi, err3 := strconv.ParseUint(major, 10, 32)
	lo, err4 := strconv.ParseUint(minor, 10, 32)
	if err1 != nil || err2 != nil || err3 != nil || err4 != nil {
		return mount{}, false
	}
	m := mount{
		id: id, parent: parent, number: unix.Mkdev(uint32(hi), uint32(lo)),
		root: unescape(f[3]), point: unescape(f[4]), options: strings.Split(f[5], ","),
		kind: g[0], source: unescape(g[1]),
	}
	if len(g) > 2 {
		m.super = strings.Split(g[2], ",")
	}
	return m, true
}

// unescape undoes what the kernel writes for blanks: a backslash and three octal digits.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+4 <= len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// has says whether the mount, or its file system, has the option.
func (m mount) has(option string) bool {
	return slices.Contains(m.options, option) || slices.Contains(m.super, option)
}

// top is what one finds in a directory: of the mounts there, the one on which no
// other lies.
func top(all []mount, point string) (mount, bool) {
	var found []mount
	for _, m := range all {
		if m.point == point {
			found = append(found, m)
		}
	}
	for _, m := range slices.Backward(found) {
		if !slices.ContainsFunc(found, func(n mount) bool { return n.parent == m.id }) {
			return m, true
		}
	}
	return mount{}, false
}

// withNested adds to some of the mounts all that are mounted in or on them, in an
// order in which they can be unmounted.
func withNested(all, some []mount) []mount {
	in := map[int]bool{}
	for _, m := range some {
		in[m.id] = true
	}
	for more := true; more; {
		more = false
		for _, m := range all {
			if !in[m.id] && in[m.parent] && m.parent != m.id {
				in[m.id], more = true, true
			}
		}
	}
	parents := map[int]int{}
	for _, m := range all {
		parents[m.id] = m.parent
	}
	depth := func(m mount) int {
		n := 0
		for id := m.id; n <= len(all); n++ { // no more steps than mounts: a foreign list may have a ring
			parent, ok := parents[id]
			if !ok || parent == id {
				break
			}
			id = parent
		}
		return n
	}
	list := slices.DeleteFunc(slices.Clone(all), func(m mount) bool { return !in[m.id] })
	slices.SortStableFunc(list, func(a, b mount) int { return depth(b) - depth(a) })
	return list
}

// numberText is a device number for a person.
func numberText(number uint64) string {
	return fmt.Sprintf("%d:%d", unix.Major(number), unix.Minor(number))
}
