// SPDX-License-Identifier: Apache-2.0

package agents

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// mark lies beside a service's data and says who ran them last and how that
// ended. It goes where the data go, on a shared disk from node to node.
type mark struct {
	Epoch    uint64    `json:"epoch"`              // grows with each start
	Node     string    `json:"node"`               // that started it
	BootID   string    `json:"boot_id"`            // of that node: proc(5) random/boot_id
	Started  time.Time `json:"started"`            //
	Clean    bool      `json:"clean"`              // the run has ended, and left nothing to repair
	Identity string    `json:"identity,omitempty"` // of the data, once clean
}

// loadMark returns an empty mark, with found false, if there is none, if a power
// cut tore it, or if somebody else has written it, who may be the owner of the
// directory: nothing is known then, which is not the same as a clean end.
func loadMark(path string) (m mark, found bool, err error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ELOOP) {
		return mark{}, false, nil
	}
	if err != nil {
		return mark{}, false, fmt.Errorf("read the mark of the last run: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return mark{}, false, fmt.Errorf("read the mark of the last run: %w", err)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.Mode().IsRegular() || int(st.Uid) != os.Geteuid() {
		return mark{}, false, nil
	}
	const most = 1 << 16 // bytes
	data, err := io.ReadAll(io.LimitReader(f, most))
	if err != nil {
		return mark{}, false, fmt.Errorf("read the mark of the last run: %w", err)
	}
	if json.Unmarshal(data, &m) != nil {
		return mark{}, false, nil
	}
	return m, true, nil
}

// use saves the mark in place of an earlier one, of which nothing may be left: if
// it cannot be saved, as on a full disk, there is no mark.
func (m mark) use(path string) (saved bool, err error) {
	saveErr := m.save(path)
	if saveErr == nil || errors.Is(saveErr, fs.ErrNotExist) { // the directory comes with the first run
		return saveErr == nil, nil
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, errors.Join(saveErr, err)
	}
	return false, nil
}

// save replaces the mark in one step that outlives a power cut. It follows no link
// that somebody may have put in its way.
func (m mark) save(path string) error {
	data, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("mark the run: %w", err)
	}
	tmp := path + ".new"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("mark the run: %w", err)
	}
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_EXCL|os.O_WRONLY|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return fmt.Errorf("mark the run: %w", err)
	}
	_, err = f.Write(append(data, '\n'))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("mark the run: %w", err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("mark the run: %w", err)
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("mark the run: %w", err)
	}
	defer dir.Close()
	if err := dir.Sync(); err != nil {
		return fmt.Errorf("mark the run: %w", err)
	}
	return nil
}

// EpochError says that data were run under a greater epoch than the caller has, or
// under the same one on another node: somebody else owns them by now, or the epochs
// are counted by somebody else.
type EpochError struct {
	Own    uint64 // that of the caller
	Marked uint64 // that of the data
	Node   string // which ran them
}

func (e *EpochError) Error() string {
	return fmt.Sprintf("the data were run under epoch %d on %s, and this node acts under epoch %d", e.Marked, e.Node, e.Own)
}

// begin is the mark of the run that follows m on this node, under an epoch that is
// the caller's own or, with 0, one more than the last.
func (m mark) begin(epoch uint64) (mark, error) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return mark{}, fmt.Errorf("mark the run: %w", err)
	}
	node, err := os.Hostname()
	if err != nil {
		return mark{}, fmt.Errorf("mark the run: %w", err)
	}
	switch {
	case epoch == 0:
		epoch = m.Epoch + 1
	case m.Epoch > epoch || m.Epoch == epoch && m.Node != node:
		return mark{}, &EpochError{Own: epoch, Marked: m.Epoch, Node: m.Node}
	}
	return mark{Epoch: epoch, Node: node, BootID: strings.TrimSpace(string(boot)), Started: time.Now()}, nil
}
