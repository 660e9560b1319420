// SPDX-License-Identifier: Apache-2.0

package store

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Dovecot's index files, as far as a crash may tear them. What follows is what its
// lib-index writes (mail-transaction-log.h, mail-index.h; version 2.3, and 2.0 to 2.4
// alike): a log to which transactions are appended, and a summary of it that is
// replaced from time to time.
const (
	logName, mapLogName = "dovecot.index.log", "dovecot.map.index.log"
	sumName, mapSumName = "dovecot.index", "dovecot.map.index"

	logMajor, sumMajor   = 1, 7  // versions
	logHeader, sumHeader = 24, 8 // bytes that every version has
	recordHeader         = 8     // size and type

	longestLog = 64 << 20 // bytes; Dovecot begins another one after a megabyte or so
)

// errTorn says what is wrong with an index file.
var errTorn = errors.New("torn index")

// checkIndex returns an error that wraps errTorn if Dovecot could not read the index
// in a directory to its end. One that is not there, or cannot be read, is not torn.
func checkIndex(dir, log, sum string) error {
	if err := checkSummary(filepath.Join(dir, sum)); err != nil {
		return err
	}
	return checkLog(filepath.Join(dir, log))
}

// checkSummary looks at the header: what a crash leaves of a file that was replaced
// but not yet written is empty.
func checkSummary(path string) error {
	head, size, err := readHead(path, sumHeader)
	if err != nil {
		return nil
	}
	switch {
	case size < sumHeader:
		return fmt.Errorf("%w: %s has %d bytes", errTorn, path, size)
	case head[0] != sumMajor:
		return fmt.Errorf("%w: %s has the version %d", errTorn, path, head[0])
	case int64(binary.NativeEndian.Uint32(head[4:])) > size:
		return fmt.Errorf("%w: %s ends within its header", errTorn, path)
	}
	return nil
}

// checkLog goes from record to record up to the end.
func checkLog(path string) error {
	data, size, err := readHead(path, longestLog)
	if err != nil || size > longestLog {
		return nil
	}
	if err := checkRecords(data); err != nil {
		return fmt.Errorf("%w: %s: %w", errTorn, path, err)
	}
	return nil
}

func checkRecords(data []byte) error {
	if len(data) < logHeader {
		return fmt.Errorf("%d bytes", len(data))
	}
	at, indexID := int(binary.NativeEndian.Uint16(data[2:])), binary.NativeEndian.Uint32(data[4:])
	if data[0] != logMajor || at < logHeader || at > len(data) || indexID == 0 {
		return errors.New("its header is damaged")
	}
	for at < len(data) {
		rest := data[at:]
		if len(rest) < recordHeader {
			return fmt.Errorf("%d bytes are left at its end", len(rest))
		}
		size := recordSize(binary.BigEndian.Uint32(rest))
		if size < recordHeader || size > len(rest) {
			return fmt.Errorf("a record of %d bytes, with %d left", size, len(rest))
		}
		at += size
	}
	return nil
}

// recordSize decodes what mail_index_uint32_to_offset() makes: the size in words of 4
// bytes, 7 bits in each byte, with the eighth set. Anything else is 0.
func recordSize(encoded uint32) int {
	const marks = 0x80808080
	if encoded&marks != marks {
		return 0
	}
	e := encoded &^ marks
	return int(e&0x7f|e>>8&0x7f<<7|e>>16&0x7f<<14|e>>24&0x7f<<21) << 2
}

// readHead reads at most so many bytes, and says how many there are. Users can make names
// here: of a pipe that nobody writes to, or of a device that acts when it is opened.
func readHead(path string, most int64) ([]byte, int64, error) {
	if info, err := os.Lstat(path); err != nil || !info.Mode().IsRegular() {
		return nil, 0, cmp.Or(err, fs.ErrInvalid)
	}
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	if !info.Mode().IsRegular() {
		return nil, 0, fs.ErrInvalid
	}
	data, err := io.ReadAll(io.LimitReader(f, most))
	return data, info.Size(), err
}

// lost says whether a directory of dbox has messages, but no index: sdbox has a file
// u.N for each, mdbox m.N for many.
func lost(dir, log, sum, messages string) bool {
	for _, name := range []string{log, sum} {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			return false
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), messages) {
			return true
		}
	}
	return false
}
