// SPDX-License-Identifier: Apache-2.0

package fencing

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// linger is how long an agent that has ended is waited for by way of children that
	// left its group and keep its output open.
	linger = 200 * time.Millisecond
	// stuck is how long one that was killed may take to go. Whoever hangs in the kernel
	// does not go.
	stuck = time.Second
	// maxOut is what is kept of the output, in bytes; metadata have 20 kB at most.
	maxOut = 256 << 10
	// maxSaid is what is kept of the messages.
	maxSaid = 8 << 10
)

// errLate is that a program took too long, and was killed.
var errLate = errors.New("did not answer in time")

// execute runs a program in a process group of its own, with the input and nothing else,
// until it ends or ctx does; then nothing of the group is left. It returns the exit
// code; -1: by a signal.
func execute(ctx context.Context, path, input string) (code int, out, said string, err error) {
	if err := ctx.Err(); err != nil {
		return -1, "", "", context.Cause(ctx)
	}
	cmd := exec.Command(path)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Stdin = strings.NewReader(input)
	stdout, stderr := &kept{most: maxOut}, &kept{most: maxSaid, last: true}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.WaitDelay = linger
	if err := cmd.Start(); err != nil {
		return -1, "", "", fmt.Errorf("cannot be run: %w", err)
	}
	g := &group{leader: cmd.Process.Pid}
	defer context.AfterFunc(ctx, g.kill)()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		g.await()
		cmd.Wait() // how it went is in its state, and its output may be cut off
	}()
	select {
	case <-ended:
	case <-ctx.Done():
		late := time.NewTimer(stuck)
		defer late.Stop()
		select {
		case <-ended:
		case <-late.C:
			return -1, "", "", fmt.Errorf("hangs in the kernel and cannot be killed (process %d): %w", g.leader, reason(ctx))
		}
	}
	code, out, said = cmd.ProcessState.ExitCode(), stdout.text(), stderr.text()
	if code >= 0 {
		return code, out, said, nil
	}
	if ctx.Err() != nil {
		return code, out, said, reason(ctx)
	}
	return code, out, said, fmt.Errorf("was ended by a signal (%s)", cmd.ProcessState)
}

// reason is why a context is over: a deadline is a late answer.
func reason(ctx context.Context) error {
	if cause := context.Cause(ctx); !errors.Is(cause, context.DeadlineExceeded) {
		return cause
	}
	return errLate
}

// group is a process group, which can be killed as long as its leader is not reaped:
// afterwards its number may be another's.
type group struct {
	leader int
	mu     sync.Mutex
	gone   bool
}

func (g *group) kill() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.gone {
		unix.Kill(-g.leader, unix.SIGKILL)
	}
}

// await waits until the leader has ended, leaves it to be reaped, and kills what it has
// left behind.
func (g *group) await() {
	for {
		if err := unix.Waitid(unix.P_PID, g.leader, nil, unix.WEXITED|unix.WNOWAIT, nil); !errors.Is(err, unix.EINTR) {
			break
		}
	}
	g.kill()
	g.mu.Lock()
	g.gone = true
	g.mu.Unlock()
}

// kept is the beginning of what is written, or the end.
type kept struct {
	most int
	last bool
	mu   sync.Mutex // a child may write on after the wait was given up
	data []byte
	cut  bool
}

func (k *kept) Write(p []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	n := len(p)
	if !k.last {
		p = p[:min(n, k.most-len(k.data))]
		k.cut = k.cut || len(p) < n
		k.data = append(k.data, p...)
		return n, nil
	}
	k.data = append(k.data, p...)
	if more := len(k.data) - k.most; more > 0 {
		k.data, k.cut = append(k.data[:0], k.data[more:]...), true
	}
	return n, nil
}

// text is what was kept, in whole lines: half a secret would not be known for one.
func (k *kept) text() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	text := string(k.data)
	switch {
	case k.last && k.cut:
		_, text, _ = strings.Cut(text, "\n")
	case k.cut:
		text = text[:strings.LastIndexByte(text, '\n')+1]
	}
	return text
}
