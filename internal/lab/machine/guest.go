// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// ServerName is what the program is called by that serves commands in a machine:
// systemd spares processes with such a name when it ends the rest (systemd(1)).
const ServerName = "@lab-commands"

// Serve runs the host's commands. It is for the program that [Init] starts.
func Serve(ctx context.Context) error {
	l, err := listenApart()
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go serve(c)
	}
}

// serve runs one command.
func serve(c net.Conn) {
	defer c.Close()
	f := &frames{w: c}
	k, data, err := receive(c)
	if err != nil || k != request {
		return
	}
	e := execute(c, f, data)
	_ = f.sendJSON(exit, e) // nobody is there to be told that nobody is there
}

func execute(c io.Reader, f *frames, data []byte) Exit {
	var r Request
	if err := unmarshal(data, &r); err != nil || len(r.Argv) == 0 {
		return Exit{Code: 126, Error: fmt.Sprintf("request %q: %v", data, err)}
	}
	path, err := lookPath(r)
	if err != nil {
		return Exit{Code: 127, Error: err.Error()}
	}
	cmd := &exec.Cmd{
		Path: path, Args: r.Argv, Env: r.Env, Dir: "/",
		Stdout: stream{f, output}, Stderr: stream{f, errout},
		SysProcAttr: &syscall.SysProcAttr{Setpgid: true},
		WaitDelay:   time.Second, // a daemon may keep our pipe
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return Exit{Code: 126, Error: err.Error()}
	}
	if err := cmd.Start(); err != nil {
		return Exit{Code: 126, Error: err.Error()}
	}
	var mu sync.Mutex
	ended := false
	go feed(c, stdin, func() {
		mu.Lock()
		defer mu.Unlock()
		if !ended { // else the number may be somebody else's
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		}
	})
	err = cmd.Wait()
	mu.Lock()
	ended = true
	mu.Unlock()
	if s, is := cmd.ProcessState.Sys().(syscall.WaitStatus); is && s.Signaled() {
		return Exit{Code: -1, Signal: int(s.Signal())}
	}
	if code := cmd.ProcessState.ExitCode(); code != 0 || err == nil || errors.Is(err, exec.ErrWaitDelay) {
		return Exit{Code: code}
	}
	return Exit{Code: 126, Error: err.Error()}
}

// feed passes input on. When the connection ends, lost is called.
func feed(c io.Reader, stdin io.WriteCloser, lost func()) {
	defer stdin.Close()
	for {
		k, data, err := receive(c)
		switch {
		case err != nil || k != input:
			lost()
			return
		case len(data) == 0:
			stdin.Close()
		default:
			_, _ = stdin.Write(data) // it need not read all
		}
	}
}

// lookPath finds a program by the request's own PATH.
func lookPath(r Request) (string, error) {
	name := r.Argv[0]
	if strings.Contains(name, "/") {
		return name, nil
	}
	for _, e := range r.Env {
		dirs, is := strings.CutPrefix(e, "PATH=")
		if !is {
			continue
		}
		for dir := range strings.SplitSeq(dirs, ":") {
			if st, err := os.Stat(dir + "/" + name); err == nil && !st.IsDir() && st.Mode()&0o111 != 0 {
				return dir + "/" + name, nil
			}
		}
	}
	return "", fmt.Errorf("%s: %w", name, exec.ErrNotFound)
}
