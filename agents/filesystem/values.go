// SPDX-License-Identifier: Apache-2.0

package filesystem

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Source is a block device: its path, or UUID=, LABEL=, PARTUUID= or PARTLABEL=.
type Source string

// Set takes an absolute path or a tag.
func (v *Source) Set(s string) error {
	if filepath.IsAbs(s) {
		*v = Source(filepath.Clean(s))
		return nil
	}
	tag, value, found := strings.Cut(s, "=")
	if _, known := tags()[tag]; !found || !known {
		return errors.New("must be the absolute path of a block device, or UUID=, LABEL=, PARTUUID= or PARTLABEL= with a value")
	}
	if value == "" || strings.ContainsAny(value, "/ \t\n\"'") {
		return errors.New("has no value, or one with a character that links below /dev/disk cannot have")
	}
	*v = Source(s)
	return nil
}
func (v *Source) String() string { return string(*v) }

// OCFType is the content type in OCF metadata.
func (*Source) OCFType() string { return "string" }

// tags are the directories in which udev has a link for each.
func tags() map[string]string {
	return map[string]string{
		"UUID":      "/dev/disk/by-uuid",
		"LABEL":     "/dev/disk/by-label",
		"PARTUUID":  "/dev/disk/by-partuuid",
		"PARTLABEL": "/dev/disk/by-partlabel",
	}
}

// path is where the device is, or will be once the node has it.
func (v Source) path() string {
	tag, value, found := strings.Cut(string(v), "=")
	if dir, known := tags()[tag]; found && known {
		return filepath.Join(dir, value)
	}
	return string(v)
}

// Directory is a mount point.
type Directory string

// Set takes an absolute path that is none of the system's own.
func (v *Directory) Set(s string) error {
	if !filepath.IsAbs(s) {
		return errors.New("must be an absolute path")
	}
	s = filepath.Clean(s)
	system := []string{"/", "/bin", "/boot", "/dev", "/etc", "/lib", "/proc", "/root", "/run", "/sbin", "/sys", "/tmp", "/usr", "/var"}
	if slices.Contains(system, s) {
		return errors.New("is a directory of the system itself")
	}
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return errors.New("has a control character in it")
	}
	*v = Directory(s)
	return nil
}
func (v *Directory) String() string { return string(*v) }

// OCFType is the content type in OCF metadata.
func (*Directory) OCFType() string { return "string" }

// Options are mount options as mount(8) takes them, separated by commas.
type Options string

// Set refuses those that would not mount the device.
func (v *Options) Set(s string) error {
	if strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return errors.New("has a space or a control character in it; options are separated by commas")
	}
	for o := range strings.SplitSeq(s, ",") {
		if slices.Contains([]string{"remount", "bind", "rbind", "move", "loop"}, o) || strings.HasPrefix(o, "loop=") {
			return fmt.Errorf("%s is not for mounting a block device", o)
		}
	}
	*v = Options(s)
	return nil
}
func (v *Options) String() string { return string(*v) }

// OCFType is the content type in OCF metadata.
func (*Options) OCFType() string { return "string" }

// readOnly says whether the administrator wants it so. The last word counts.
func (v Options) readOnly() bool {
	ro := false
	for o := range strings.SplitSeq(string(v), ",") {
		switch o {
		case "ro":
			ro = true
		case "rw", "defaults":
			ro = false
		}
	}
	return ro
}

// Word is a single word of letters, digits and "._-".
type Word string

// Set takes such a word.
func (v *Word) Set(s string) error {
	if strings.Trim(strings.ToLower(s), "abcdefghijklmnopqrstuvwxyz0123456789._-") != "" || s[0] == '-' {
		return errors.New(`must be a single word of letters, digits and "._-"`)
	}
	*v = Word(s)
	return nil
}
func (v *Word) String() string { return string(*v) }

// OCFType is the content type in OCF metadata.
func (*Word) OCFType() string { return "string" }

// Check is when the file system is checked before it is mounted: auto, yes or no.
type Check string

// Set takes one of the three.
func (v *Check) Set(s string) error {
	if !slices.Contains([]string{"auto", "yes", "no"}, s) {
		return errors.New("must be auto, yes or no")
	}
	*v = Check(s)
	return nil
}
func (v *Check) String() string { return string(*v) }

// OCFType is the content type in OCF metadata.
func (*Check) OCFType() string { return "string" }

// Percent is a share of a whole, in hundredths.
type Percent int

// Set takes a whole number from 0 to 99.
func (v *Percent) Set(s string) error {
	n, err := strconv.ParseUint(strings.TrimSuffix(s, "%"), 10, 8)
	if err != nil || n > 99 {
		return errors.New("must be a whole number from 0 to 99")
	}
	*v = Percent(n)
	return nil
}
func (v *Percent) String() string { return strconv.Itoa(int(*v)) }

// OCFType is the content type in OCF metadata.
func (*Percent) OCFType() string { return "integer" }
