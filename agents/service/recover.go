// SPDX-License-Identifier: Apache-2.0

package service

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/mailha/mailha/agents"
)

// checkData sees that the directory for the note is there, and that nobody but
// root could put something else in its place.
func (a *agent) checkData() error {
	if a.dataDir == "" {
		if a.recover != "" {
			return fmt.Errorf("%w: recover needs data_dir, or every end would be taken for an unclean one", agents.ErrParameter)
		}
		return nil
	}
	st, err := statDir(string(a.dataDir))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: data_dir: %w; is its file system mounted?", agents.ErrInstalled, err)
	case err != nil:
		return fmt.Errorf("%w: data_dir: %w", agents.ErrInstalled, err)
	case st.Uid != 0 || st.Mode&0o022 != 0:
		return fmt.Errorf("%w: data_dir: %s must belong to root and be writable to nobody else", agents.ErrNode, a.dataDir)
	}
	if a.recover == "" {
		return nil
	}
	if info, err := os.Stat(string(a.recover)); err != nil || info.IsDir() || info.Mode()&0o111 == 0 {
		return fmt.Errorf("%w: recover: %s is no program on this node", agents.ErrInstalled, a.recover)
	}
	return nil
}

// statDir does not follow a link in the last place.
func statDir(path string) (*syscall.Stat_t, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() || !ok {
		return nil, fmt.Errorf("%s is no directory", path)
	}
	return st, nil
}

// MarkPath is in the directory that was named for it.
func (*agent) MarkPath(f agents.Facts) string {
	if f.DataDir == "" {
		return ""
	}
	return filepath.Join(f.DataDir, "mailha-run")
}

// Identity is the inode of that directory: another one after a restore.
func (*agent) Identity(f agents.Facts) (string, error) {
	st, err := statDir(f.DataDir)
	if err != nil {
		return "", fmt.Errorf("identify the data: %w", err)
	}
	return strconv.FormatUint(st.Ino, 10), nil
}

// CutsCleanly is true: a daemon that ended in order has left its data as it
// should, whoever was connected.
func (*agent) CutsCleanly() bool { return true }

// Recover runs the program unless the last end was clean.
func (a *agent) Recover(ctx context.Context, f agents.Facts, clean bool) (string, error) {
	if clean || a.recover == "" {
		return "", nil
	}
	var said tail
	cmd := exec.CommandContext(ctx, string(a.recover))
	cmd.Env = []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8",
		"MAILHA_UNIT=" + f.Unit, "MAILHA_DATA_DIR=" + f.DataDir,
	}
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = &said, &said
	// What it has started goes with it when time is up.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	switch {
	case ctx.Err() != nil:
		return "", fmt.Errorf("%s did not end in time; the timeout of the start operation must allow for it: %s", a.recover, said.last())
	case err != nil:
		return "", fmt.Errorf("%s: %w: %s", a.recover, err, said.last())
	}
	return "ran " + string(a.recover), nil
}

// tail keeps the end of what is written.
type tail struct{ data []byte }

func (t *tail) Write(p []byte) (int, error) {
	const most = 4096
	t.data = append(t.data, p...)
	if len(t.data) > 2*most {
		t.data = append([]byte(nil), t.data[len(t.data)-most:]...)
	}
	return len(p), nil
}

// last is the last line.
func (t *tail) last() string {
	text := strings.TrimSpace(string(t.data))
	return text[strings.LastIndexByte(text, '\n')+1:]
}
