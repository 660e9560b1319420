// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// keeper is a process that outlives the lab's owner for as long as it takes to
// clear the lab. It reads from a pipe whose other end only the owner has, so
// that the kernel tells it of the owner's death, however that comes.
type keeper struct {
	cmd  *exec.Cmd
	pipe io.WriteCloser
}

// dismissal tells the keeper that there is nothing to clear.
const dismissal = "dismissed\n"

func startKeeper(l *Lab) (*keeper, error) {
	log, err := os.Create(filepath.Join(runDir(l.name), "keeper.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(l.binary(), "keep", "-name", l.name)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // out of reach of the terminal's signals
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("keeper: %w", err)
	}
	return &keeper{cmd, pipe}, nil
}

func (k *keeper) dismiss() {
	io.WriteString(k.pipe, dismissal)
	k.pipe.Close()
	k.cmd.Wait()
}

// Keep is the keeper's work: it waits for the end of owner, a pipe, and then
// clears the lab, unless it was dismissed or somebody else has taken the lab.
func Keep(ctx context.Context, name string, owner io.Reader) error {
	if err := checkName(name); err != nil {
		return err
	}
	s, err := loadLab(name)
	if err != nil {
		return fmt.Errorf("keeper: %w", err)
	}
	last, err := io.ReadAll(io.LimitReader(owner, int64(len(dismissal))))
	if err != nil {
		return fmt.Errorf("keeper of lab %s: %w", name, err)
	}
	if string(last) == dismissal {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, downTime)
	defer cancel()
	// A dying process closes its pipes a little before it counts as dead.
	if err := s.Owner.wait(ctx); err != nil {
		return fmt.Errorf("keeper of lab %s: owner: %w", name, err)
	}
	_, err = sweep(ctx, name)
	return err
}

// serving is what the server of a detached lab says when it is the owner.
const serving = "serving\n"

// HandOver starts a process that owns the lab and serves fencing until Down,
// whoever calls that. This process can end then.
func (l *Lab) HandOver() error {
	log, err := os.Create(filepath.Join(runDir(l.name), "serve.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(l.binary(), "serve", "-name", l.name)
	cmd.Stderr = log
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("lab %s: hand over: %w", l.name, err)
	}
	go cmd.Wait()
	said, err := io.ReadAll(io.LimitReader(stdout, int64(len(serving))))
	if err != nil || string(said) != serving {
		return fmt.Errorf("lab %s: hand over: the new owner failed; see %s", l.name, log.Name())
	}
	l.state, err = loadLab(l.name)
	return err
}

// Serve is the work of that process: it returns when ctx ends, and leaves the
// clearing to who ended it.
func Serve(ctx context.Context, name string, stdout io.Writer) error {
	l, err := Open(name)
	if err != nil {
		return err
	}
	if err := l.ServeFencing(); err != nil {
		return err
	}
	defer l.fencing.Close()
	if err := l.own(); err != nil {
		return err
	}
	if _, err := io.WriteString(stdout, serving); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// BinaryPackage is what serves a lab on the host and fences in its nodes.
const BinaryPackage = "github.com/mailha/mailha/internal/cmd/lab"

// binary is internal/cmd/lab as this lab uses it.
func (l *Lab) binary() string { return filepath.Join(runDir(l.name), "lab") }

// installBinary copies the given program, or builds it. It has to be static
// for it runs in the nodes too.
func (l *Lab) installBinary(ctx context.Context, file string) error {
	if file == "" {
		return buildBinary(ctx, l.binary())
	}
	if err := CheckStatic(file); err != nil {
		return err
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	// A child that is forked meanwhile, for another lab, would hold the file open
	// for writing until it executes its own program: "text file busy".
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	return os.WriteFile(l.binary(), data, 0o755)
}

func buildBinary(ctx context.Context, to string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-o", to, BinaryPackage)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("build internal/cmd/lab (run this within the module, with go in PATH): %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

// ErrDynamic means that a program needs shared libraries, which nodes may lack.
var ErrDynamic = errors.New("program is not static; build it with CGO_ENABLED=0")

// CheckStatic returns ErrDynamic for a program that needs shared libraries.
func CheckStatic(file string) error {
	f, err := elf.Open(file)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return fmt.Errorf("%s: %w", file, ErrDynamic)
		}
	}
	return nil
}
