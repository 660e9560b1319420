// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/mailha/mailha/agents"
	"github.com/mailha/mailha/agents/process"
	"github.com/mailha/mailha/agents/socket"
)

// Drain waits until no MTA hands a message in, by whichever way, and then has
// Dovecot close LMTP for good. The gate keeps new deliveries out where they come by
// TCP, from this node as well; unix sockets are taken away. Dovecot's own way to close
// a service is for the end, since it cuts what is under way.
func (d *Dovecot) Drain(ctx context.Context, f agents.Facts, tell func(left int)) (int, error) {
	doors := slices.DeleteFunc(slices.Clone(f.Doors), func(d agents.Door) bool { return d.Protocol != lmtp })
	if len(doors) == 0 {
		return 0, nil
	}
	var errs []error
	for _, door := range doors {
		if door.Path != "" {
			if err := os.Remove(door.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, fmt.Errorf("close the way in for deliveries: %w", err))
			}
		}
	}
	const pause = 100 * time.Millisecond
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		left, err := deliveries(ctx, f, doors)
		if err != nil {
			return left, errors.Join(append(errs, err)...)
		}
		if left == 0 {
			return 0, errors.Join(append(errs, stopService(ctx, f, lmtp))...)
		}
		tell(left)
		select {
		case <-ctx.Done():
			return left, errors.Join(errs...)
		case <-tick.C:
		}
	}
}

// deliveries counts the connections to the doors that are open. An LMTP process
// lives on after its client has gone, and waits for the next one.
func deliveries(ctx context.Context, f agents.Facts, doors []agents.Door) (int, error) {
	ps, err := process.Find(f.Process)
	if err != nil {
		return 0, err
	}
	ps = slices.DeleteFunc(ps, func(p process.Process) bool { return p.Name != lmtp })
	if len(ps) == 0 {
		return 0, nil
	}
	tcp, err := socket.AllTCP(ctx)
	if err != nil {
		return 0, err
	}
	unix, err := socket.AllUnix(ctx)
	if err != nil {
		return 0, err
	}
	open := connected(doors, tcp, unix)
	n := 0
	for _, p := range ps {
		fds, err := socket.Of(p)
		if err != nil {
			return 0, err
		}
		for inode := range fds {
			if open[inode] {
				n++
			}
		}
	}
	return n, nil
}

// connected are the inodes of the server's ends of connections to the doors.
func connected(doors []agents.Door, tcp []socket.TCP, unix []socket.Unix) map[uint32]bool {
	found := map[uint32]bool{}
	for _, s := range tcp {
		if !s.Listening && slices.ContainsFunc(doors, func(d agents.Door) bool { return d.Port == s.Local.Port() }) {
			found[s.Inode] = true
		}
	}
	for _, s := range unix {
		if s.Stream && s.Peer != 0 && slices.ContainsFunc(doors, func(d agents.Door) bool { return d.Path != "" && d.Path == s.Name }) {
			found[s.Inode] = true
		}
	}
	return found
}

// stopService has Dovecot's master close a service's listeners and end its
// processes: what "doveadm service stop" does, but without the configuration. A
// master that is gone has closed everything.
func stopService(ctx context.Context, f agents.Facts, service string) error {
	if f.RunDir == "" {
		return errors.New("nobody knows where Dovecot's own sockets are")
	}
	lines, err := ask(ctx, filepath.Join(f.RunDir, "master"), "VERSION\tmaster-client\t1\t0\nSTOP\t"+service+"\n", 2)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("have Dovecot close %s: %w", service, err)
	}
	if answer := lines[1]; answer != "+" {
		return fmt.Errorf("have Dovecot close %s: %q", service, answer)
	}
	return nil
}

// ask talks to one of Dovecot's own sockets, which speak in lines, and returns as
// many of them as are wanted; fewer if an empty one ends the answer.
func ask(ctx context.Context, path, request string, most int) ([]string, error) {
	const patience = 2 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return nil, err
		}
	}
	if _, err := conn.Write([]byte(request)); err != nil {
		return nil, err
	}
	var lines []string
	for in := bufio.NewScanner(conn); len(lines) < most; lines = append(lines, in.Text()) {
		if !in.Scan() {
			return nil, errors.Join(in.Err(), fmt.Errorf("%s ended its answer early: %q", path, strings.Join(lines, " ")))
		}
		if in.Text() == "" {
			break
		}
	}
	return lines, nil
}
