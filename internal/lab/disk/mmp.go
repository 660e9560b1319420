// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
)

// Where ext4 has its mark of who has a file system mounted (fs/ext4/ext4.h: struct
// ext4_super_block and struct mmp_struct).
const (
	superBlock   = 1024
	logBlockSize = superBlock + 0x18
	mmpBlock     = superBlock + 0x168
	mmpMagic     = 0x004D4D50
	mmpClean     = 0xFF4D4D50
)

// Holder is the host name of the machine that has the file system in a file mounted, by
// its mark there, or had when it died; empty: none. Containers go by the name of the
// machine that they are on.
func Holder(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", fmt.Errorf("shared disk: %w", err)
	}
	defer f.Close()
	var size uint32
	var block uint64
	read := func(at int64, into any) {
		if err == nil {
			b := make([]byte, binary.Size(into))
			if _, err = f.ReadAt(b, at); err == nil {
				err = binary.Read(bytes.NewReader(b), binary.LittleEndian, into)
			}
		}
	}
	read(logBlockSize, &size)
	read(mmpBlock, &block)
	var mark struct {
		Magic, Seq uint32
		Time       uint64
		Node       [64]byte
	}
	read(int64(block)<<(10+size), &mark)
	if err != nil {
		return "", fmt.Errorf("shared disk %s: %w", file, err)
	}
	if mark.Magic != mmpMagic || mark.Seq == mmpClean {
		return "", nil
	}
	name, _, _ := bytes.Cut(mark.Node[:], []byte{0})
	return string(name), nil
}
