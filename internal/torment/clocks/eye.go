// SPDX-License-Identifier: Apache-2.0

package clocks

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/mailha/mailha/internal/judge"
	"github.com/mailha/mailha/internal/lab"
)

// inside looks what the machine's kernel has, many times a second, and says when each look
// began and ended. Its clock is one that nobody can set.
const inside = `import sys, time
def has(file, text):
    try:
        return text in open(file).read()
    except OSError:
        return False
address4, address6, service = sys.argv[1:]
while True:
    began, seen = time.monotonic_ns(), "."
    if has("/proc/net/fib_trie", "-- " + address4 + "\n"):
        seen += "4"
    if has("/proc/net/if_inet6", address6):
        seen += "6"
    if has("/sys/fs/cgroup/system.slice/" + service + "/cgroup.procs", "\n"):
        seen += "s"
    print(began, time.monotonic_ns(), seen, flush=True)
    time.sleep(0.03)
`

// blink is how long it may take from one look to the next; the judge takes what it has
// not heard of for so long for gone.
const blink = 250 * time.Millisecond

// eye tells a judge what a machine has.
type eye struct {
	cancel context.CancelFunc
	done   chan error
}

func look(ctx context.Context, n *lab.Node, j *judge.Judge) (*eye, error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	six := netip.MustParseAddr(address6).As16()
	cmd, err := n.Command(ctx, "python3", "-c", inside, address4, hex.EncodeToString(six[:]), unit)
	if err != nil {
		cancel()
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		cancel()
		return nil, err
	}
	e := &eye{cancel: cancel, done: make(chan error, 1)}
	go func() {
		var c matched
		last := time.Now()
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var began, ended int64
			var seen string
			if _, err := fmt.Sscan(lines.Text(), &began, &ended, &seen); err != nil {
				j.Miss()
				continue
			}
			c.hear(time.Now(), ended)
			from, to := c.time(began), c.time(ended)
			if to.Sub(last) > blink {
				j.Miss()
			}
			last = to
			for _, t := range things(seen) {
				j.See(t, n.Name(), from, to)
			}
		}
		e.done <- cmd.Wait()
	}()
	return e, nil
}

func things(seen string) []judge.Thing {
	var all []judge.Thing
	for mark, t := range map[string]judge.Thing{
		"4": {Kind: judge.Address, Name: address4}, "6": {Kind: judge.Address, Name: address6}, "s": {Kind: judge.Service, Name: unit},
	} {
		if strings.Contains(seen, mark) {
			all = append(all, t)
		}
	}
	return all
}

// close ends it. It has failed if it ended before.
func (e *eye) close() error {
	select {
	case err := <-e.done:
		return errors.Join(errors.New("nobody looked into the machine any more"), err)
	default:
	}
	e.cancel()
	<-e.done // killed, as it was told
	return nil
}
