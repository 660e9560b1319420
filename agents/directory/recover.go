// SPDX-License-Identifier: Apache-2.0

package directory

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/mailha/mailha/agents"
)

// dataFile is LMDB's, which OpenLDAP's database is kept in: slapd-mdb(5). It needs
// no repair after a crash: a change is there or not. All that can be wrong is that
// the file is not the whole one, as after a copy that was cut off.
const dataFile = "data.mdb"

// MarkPath is beside the data, whose own directory is the server's.
func (*OpenLDAP) MarkPath(f agents.Facts) string { return besideData(f, ".mailha-run") }

// Identity is the inode of the data.
func (*OpenLDAP) Identity(f agents.Facts) (string, error) {
	info, err := os.Stat(filepath.Join(f.DataDir, dataFile))
	if err != nil {
		return "", fmt.Errorf("identify the data: %w", err)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "", errors.New("identify the data: no inode numbers on this system")
	}
	return strconv.FormatUint(st.Ino, 10), nil
}

// Recover looks whether the data are whole, which takes no longer after an unclean
// end.
func (*OpenLDAP) Recover(_ context.Context, f agents.Facts, _ bool) (string, error) {
	path := filepath.Join(f.DataDir, dataFile)
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "there are no data yet: all of them come from the other replicas", nil
	}
	if err != nil {
		return "", fmt.Errorf("look at the data: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err == nil && info.Size() > 0 { // an empty one is made anew
		err = whole(file, info.Size())
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w; restore it, or move it away: then all data come from the other replicas", path, err)
	}
	return "looked whether the data are whole", nil
}

var (
	errNoData    = errors.New("is no LMDB file, or its beginning is damaged")
	errTruncated = errors.New("is cut off")
)

// meta is one of the two pages that begin an LMDB file, of which the one with the
// greater transaction counts: lmdb.h, MDB_meta.
type meta struct {
	pageSize              uint32
	lastPage, transaction uint64
}

// whole reads both.
func whole(r io.ReaderAt, size int64) error {
	var best meta
	first, err := readMeta(r, 0)
	for _, guess := range []uint32{4096, 8192, 16384, 32768, 65536} { // the size of a page, if the first does not tell
		at := guess
		if err == nil {
			best, at = first, first.pageSize
		}
		if m, err := readMeta(r, int64(at)); err == nil && m.transaction >= best.transaction {
			best = m
		}
	}
	if best.pageSize == 0 {
		return errNoData
	}
	// The last page may have been given to nothing yet, and then not be written.
	if want := int64(best.lastPage) * int64(best.pageSize); size < want {
		return fmt.Errorf("%w: it has %d bytes of at least %d", errTruncated, size, want)
	}
	return nil
}

func readMeta(r io.ReaderAt, at int64) (meta, error) {
	const (
		magic, version          = 0xBEEFC0DE, 1
		magicAt, versionAt      = 16, 20
		pageSizeAt              = 40 // md_pad of the first of mm_dbs
		lastPageAt, transaction = 136, 144
		length                  = 152
	)
	b := make([]byte, length)
	if _, err := r.ReadAt(b, at); err != nil {
		return meta{}, err
	}
	order := binary.NativeEndian
	m := meta{order.Uint32(b[pageSizeAt:]), order.Uint64(b[lastPageAt:]), order.Uint64(b[transaction:])}
	const maxPage, maxPages = 1 << 16, 1 << 40
	if order.Uint32(b[magicAt:]) != magic || order.Uint32(b[versionAt:]) != version ||
		m.pageSize < 512 || m.pageSize > maxPage || m.lastPage > maxPages {
		return meta{}, errNoData
	}
	return m, nil
}
