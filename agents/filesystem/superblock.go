// SPDX-License-Identifier: Apache-2.0

package filesystem

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"strings"
	"time"
)

// super is what the first blocks of a device tell of its file system. Only what this
// agent treats in a way of its own is known.
type super struct {
	kind    string // ext4 (for ext2 and ext3 as well), xfs, btrfs; empty: another, or none
	journal bool   // after a crash it repairs itself when it is mounted
	clean   bool   // it was unmounted in order; of ext only
	faulty  bool   // the kernel has found errors in it; of ext only
	mmp     int64  // where multi-mount protection has its block, in bytes; 0: there is none
}

// The magic numbers and where they are: linux/magic.h and the file systems' own headers.
const (
	extSuper, extMagic     = 1024, 0xEF53
	btrfsSuper, btrfsMagic = 64<<10 + 64, "_BHRfS_M"
	xfsMagic               = "XFSB"
	superBytes             = 68 << 10 // up to the end of btrfs's magic, in whole blocks
)

// parseSuper reads the first superBytes of a device.
func parseSuper(data []byte) super {
	switch {
	case len(data) >= extSuper+1024 && binary.LittleEndian.Uint16(data[extSuper+0x38:]) == extMagic:
		return parseExt(data[extSuper:])
	case bytes.HasPrefix(data, []byte(xfsMagic)):
		return super{kind: "xfs", journal: true}
	case len(data) >= btrfsSuper+len(btrfsMagic) && bytes.HasPrefix(data[btrfsSuper:], []byte(btrfsMagic)):
		return super{kind: "btrfs", journal: true}
	}
	return super{}
}

// parseExt reads a superblock of ext2, ext3 or ext4: linux/fs/ext4/ext4.h.
func parseExt(sb []byte) super {
	const (
		hasJournal, hasMMP = 0x4, 0x100 // of s_feature_compat and s_feature_incompat
		valid, errorFS     = 1, 2       // of s_state
	)
	state := binary.LittleEndian.Uint16(sb[0x3A:])
	s := super{
		kind:    "ext4",
		journal: binary.LittleEndian.Uint32(sb[0x5C:])&hasJournal != 0,
		clean:   state&valid != 0,
		faulty:  state&errorFS != 0,
	}
	block, shift := binary.LittleEndian.Uint64(sb[0x168:]), 10+binary.LittleEndian.Uint32(sb[0x18:])
	const mostShift, mostBlock = 16, 1 << 40
	if binary.LittleEndian.Uint32(sb[0x60:])&hasMMP != 0 && shift <= mostShift && block < mostBlock {
		s.mmp = int64(block << shift)
	}
	return s
}

// mmp is the block of ext4's multi-mount protection: struct mmp_struct in
// linux/fs/ext4/ext4.h.
type mmp struct {
	seq      uint32
	written  time.Time     // by the clock of the node that has it mounted
	node     string        // its name
	interval time.Duration // within which a living node writes it again
}

const (
	mmpMagic = 0x004D4D50
	mmpClean = 0xFF4D4D50
	mmpFsck  = 0xE24D4D50
)

func parseMMP(data []byte) (mmp, bool) {
	if len(data) < 114 || binary.LittleEndian.Uint32(data) != mmpMagic {
		return mmp{}, false
	}
	name, _, _ := bytes.Cut(data[16:80], []byte{0})
	return mmp{
		seq:      binary.LittleEndian.Uint32(data[4:]),
		written:  time.Unix(int64(binary.LittleEndian.Uint64(data[8:])), 0),
		node:     printable(name),
		interval: time.Duration(binary.LittleEndian.Uint16(data[112:])) * time.Second,
	}, true
}

// printable is foreign text that goes into a reason.
func printable(b []byte) string {
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r >= 0x7f {
			return -1
		}
		return r
	}, string(b))
}

// wait is how long a mount takes that finds the mark of a node that did not unmount:
// twice ext4_multi_mount_protect's time, once to see whether the mark changes, and
// once to see whether another node writes a mark at the same time.
func (m mmp) wait() time.Duration {
	if m.seq == mmpClean {
		return 0
	}
	interval := max(m.interval, 5*time.Second)
	return 2 * min(2*interval+time.Second, interval+time.Minute)
}

// read reads past what the node remembers of the device, which another node may have
// written meanwhile. Offset and length are multiples of block. It is dd(1) that waits
// for a device that does not answer.
func (h helpers) read(ctx context.Context, path string, offset int64, length int) ([]byte, error) {
	out, err := h.run(ctx, nil, "dd", "if="+path, fmt.Sprintf("bs=%d", block), fmt.Sprintf("skip=%d", offset/block),
		fmt.Sprintf("count=%d", length/block), "iflag=direct,fullblock", "status=none")
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return []byte(out), nil
}

// block is what every device can read at once, in bytes.
const block = 4096

func (h helpers) super(ctx context.Context, path string) (super, error) {
	data, err := h.read(ctx, path, 0, superBytes)
	if err != nil {
		return super{}, err
	}
	return parseSuper(data), nil
}

// mmp is false without multi-mount protection.
func (h helpers) mmp(ctx context.Context, path string, s super) (mmp, bool) {
	if s.mmp == 0 {
		return mmp{}, false
	}
	at := s.mmp / block * block // blocks of 1 kB need not begin where O_DIRECT may
	data, err := h.read(ctx, path, at, 2*block)
	if err != nil || int64(len(data)) < s.mmp-at {
		return mmp{}, false
	}
	return parseMMP(data[s.mmp-at:])
}
