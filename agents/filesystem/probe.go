// SPDX-License-Identifier: Apache-2.0

package filesystem

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/mailha/mailha/agents"
	"github.com/mailha/mailha/agents/process"
)

// probe writes a file, has it synced and reads it back. That is left to dd(1): on a
// file system that is frozen or whose device hangs, a write cannot even be killed.
func (a *Agent) probe(ctx context.Context, t target, depth agents.Depth) error {
	left, err := a.helpers.left("dd")
	if err != nil {
		return err
	}
	if len(left) > 0 {
		return fmt.Errorf("the file system on %s hangs: %s of an earlier monitor still waits for it; it is frozen (fsfreeze -u %[1]s), or its device does not answer", t.dir, process.Names(left))
	}
	path := filepath.Join(t.dir, string(a.CheckFile))
	if err := bounded(ctx, "look at "+path, func() error { return ownFile(path) }); err != nil {
		return err
	}
	// Half of the time at most, so that this call still says what it has seen.
	patience := 10 * time.Second
	if deadline, ok := ctx.Deadline(); ok {
		patience = min(patience, time.Until(deadline)/2)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	text := fmt.Sprintf("mailha %s on %s at %s\n", a.env.Instance, host, time.Now().UTC().Format(time.RFC3339Nano))
	text += strings.Repeat(".", max(block-len(text), 0))
	if !a.Options.readOnly() {
		if _, err := a.helpers.run(ctx, []byte(text), "dd", "of="+path, "bs=4096", "iflag=fullblock", "oflag=nofollow", "conv=fsync", "status=none"); err != nil {
			return fmt.Errorf("write to the file system on %s: %w", t.dir, explained(err))
		}
	}
	args := []string{"if=" + path, "bs=4096", "count=1", "iflag=nofollow", "status=none"}
	if depth >= agents.DepthTransaction {
		args[3] = "iflag=nofollow,direct"
	}
	if a.Options.readOnly() { // there is no file of ours to compare
		args = []string{"if=" + t.path, "bs=4096", "count=1", "iflag=direct", "status=none"}
		text = ""
	}
	got, err := a.helpers.run(ctx, nil, "dd", args...)
	if err != nil {
		return fmt.Errorf("read from the file system on %s: %w", t.dir, explained(err))
	}
	if text != "" && got != text {
		return fmt.Errorf("%s does not hold what was written to it a moment ago; do two nodes have the file system mounted?", path)
	}
	return nil
}

// explained adds what a person can do about a write that hangs.
func explained(err error) error {
	if errors.Is(err, errStuck) {
		return fmt.Errorf("%w: it is frozen (fsfreeze -u), or its device does not answer", err)
	}
	return err
}

// ownFile refuses to write over what is not the agent's own: the directory may belong
// to somebody who is not root.
func ownFile(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("the file system does not work: %w", err)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.Mode().IsRegular() || st.Uid != 0 || st.Nlink != 1 {
		return fmt.Errorf("%s is not the plain file of root that a monitor writes; remove it, or choose another name by check_file", path)
	}
	return nil
}
