// SPDX-License-Identifier: Apache-2.0

package agents

import (
	"context"
	"fmt"
	"strings"

	"github.com/mailha/mailha/agents/process"
	"github.com/mailha/mailha/agents/socket"
)

// Listens sees that who answers on a port is the service itself: another program
// that has taken the port answers as well, while the service has died of that or
// tries again and again to have it. A socket of systemd (PID 1) is the service's,
// systemd.socket(5), and so is one that nobody of this PID namespace has.
func Listens(ctx context.Context, f Facts, port uint16) error {
	listening, err := socket.Listening(ctx)
	if err != nil {
		return err
	}
	ps, err := process.Find(f.Process)
	if err != nil {
		return err
	}
	const systemd = 1
	for _, p := range append(ps, process.Process{PID: systemd}) {
		own, err := socket.Of(p)
		if err != nil {
			return err
		}
		for inode := range own {
			if listening[inode] == port {
				return nil
			}
		}
	}
	others, err := strangers(listening, port)
	if err != nil || len(others) == 0 {
		return err
	}
	return fmt.Errorf("port %d is listened on, but not by %s: %s has it", port, f.Unit, strings.Join(others, ", "))
}

// strangers names the processes that listen on the port.
func strangers(listening map[uint32]uint16, port uint16) ([]string, error) {
	all, err := process.All()
	if err != nil {
		return nil, err
	}
	var found []string
	for _, p := range all {
		own, err := socket.Of(p)
		if err != nil {
			return nil, err
		}
		for inode := range own {
			if listening[inode] == port {
				found = append(found, p.String())
				break
			}
		}
	}
	return found, nil
}
