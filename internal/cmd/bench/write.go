// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/mailha/mailha/internal/bench"
)

const head = `# Benchmarks

Written by ` + "`make bench`" + `; do not edit. The parts can be measured one at a
time (` + "`go run ./internal/cmd/bench -only costs`" + `), so each says on what it was.

Both sets of agents ran on the same nodes in the same run, in turn. Figures are
medians; machines that run this are noisy, so look at the ratios (mailha's figure
to the peer's), not at single times.

What each monitor notices of planted faults is in [faults.md](faults.md).
`

// method says what the figures of a part are.
func method(part string) string {
	if part == moves {
		return `## Moves and losses of nodes

A client outside the cluster sends an echo request every 5 ms and opens a new
SMTP connection every 20 ms; a blackout is the longest time between two answers.
A planned move is ` + "`crm_resource --move`" + `; a node kill cuts a node's power, and
includes Corosync's detection with its default token and fencing, which are the
same for both sets.
`
	}
	return `## Calls

An agent is executed as Pacemaker does it, inside a node without a cluster. Both
monitors are at depth 0 and, but for the addresses, which can be held side by
side, look in turn at the same running service, which ours has started. CPU time
includes all descendants that an agent waits for; processes and threads are
counted on the whole machine, so for starts they include the service's own. The
start-up of a call is what each pays before it does anything: mailha an action
that there is not, a shell agent the functions that all of them read first.
`
}

// writeBoard writes the part that compares more than two.
func writeBoard(part string, board *bench.Board, on string) error {
	var data, page bytes.Buffer
	if err := bench.WriteJSON(&data, board); err != nil {
		return err
	}
	method := contestMethod
	if part == cuts {
		method = cutsMethod
	}
	fmt.Fprintf(&page, "%s\n%s.\n\n", method, on)
	board.Write(&page, missedBecause())
	if err := os.MkdirAll(outDir, 0o755); err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(outDir, part+".json"), data.Bytes(), 0o644),
		renewPage(filepath.Join("docs", "benchmarks.md"), part, page.String()),
	)
}

// contestMethod says what the figures of failover are.
const contestMethod = `## mailhad, Pacemaker and keepalived

Each has three nodes of its own with the same Postfix, whose queue is on the node's own
disk; all nodes are up at the same time, and those compared take turns, act by act. A
client outside sends an echo request every millisecond and opens a new SMTP connection
every 5 ms; a blackout is the longest time between two answers. Somebody else asks on
the wire, 50 times a second, who has the address. Figures are medians, the worst in
parentheses.

- mailhad: a group of ` + "`vip`, and `mta` with `standby = \"warm\"`" + `; without a fence device, with
  the default lease and with the least that it takes, while etcd's members elect after 0.7 s;
  and with one that takes a fiftieth of a second, while they elect after 0.2 s.
- Pacemaker with Corosync's default token and a fence device that takes a twentieth of a
  second: ocf:heartbeat:IPaddr2 and ocf:heartbeat:postfix as a group, and with Postfix
  as a clone that runs everywhere. Monitors every 10 s.
- keepalived: Postfix runs everywhere and is looked at every second. Nothing fences, no
  majority is asked. A planned move makes the other node rank higher, which is the way
  that clients notice least.

"Noticed" is from the kill to the line in the journal, by one clock.

The 1,000 addresses are 20 resources of kind ` + "`vip`" + ` with 50 each, in one group that moves as
planned; arp_rate is 250 for each, for a port that takes that many. The decision is the
line "taken" in the journal of the node that they go to; packets are counted on the wire.
`

// cutsMethod says what the figures of cuts are.
const cutsMethod = `## The active node loses its power

As above, on nodes of their own, in turn: the node that has the address is cut off, loses
what it had not written to its disks, and all its processes. mailhad without a fence device
may take over only when the lease is over. With one that takes a fiftieth of a second it takes
over when the device has confirmed that the node is off; once with an idle node, which
leads etcd then, and once where each node has something to do and the one that is lost
led etcd. Pacemaker has the same device, and Postfix as a clone. keepalived asks nobody and
fences nobody: what it takes over may still be there.
`

// missedBecause says why goals were missed, by the name of the figure.
func missedBecause() map[string]string {
	const leader = "Where the node that was cut led etcd, the others elect a leader first, and that one counts every lease from its beginning again, lest it end one that was renewed meanwhile."
	return map[string]string{
		"planned move, address away":  "Between release and announcement lie a write to etcd, which a majority has to have on its disks, and the question on the wire whether somebody else has the address.",
		"power cut, address away":     leader,
		"power cut, no SMTP greeting": leader,
	}
}

// write renews a part of the files and keeps the others.
func write(part string, results []bench.Result, on string) error {
	var table bytes.Buffer
	fmt.Fprintf(&table, "%s\n%s.\n\n", method(part), on)
	bench.WriteTable(&table, results)
	return errors.Join(
		renewList(filepath.Join(outDir, "bench.json"), results, part),
		renewPage(filepath.Join("docs", "benchmarks.md"), part, table.String()),
	)
}

func renewList(path string, results []bench.Result, part string) error {
	var list []bench.Result
	data, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(data, &list)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", path, err)
	}
	var b bytes.Buffer
	if err := bench.WriteJSON(&b, bench.Renewed(list, results, part)); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, b.Bytes(), 0o644)
}

func renewPage(path, part, text string) error {
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	page := bench.Compose(head, string(old), parts(), map[string]string{part: text})
	return os.WriteFile(path, []byte(page), 0o644)
}

// faultsHead says how to read the tables.
const faultsHead = `# Who notices what

Written by ` + "`make bench`" + `; do not edit. (This part alone:
` + "`go run ./internal/cmd/bench -only faults`" + `.)

%s.

Each fault was planted on a running service that all monitors had found well,
every monitor was called once while it was there, and after it was mended all
had to find the service well again. Faults that cannot befall a service are left
out for it. "yes" means that the monitor failed, "degraded" that it said that the
service serves but is not well (exit codes 190 and 191), "timeout" that it had
to be killed after 20 seconds, which a cluster manager takes for a failure too,
and "no" that it said that all is well.

To be fair: the agents of the neighbours have one depth, and were made to see
whether a process lives (postfix, dovecot), whether a server answers a search
(slapd), and whether an address is on this node (IPaddr2). They were never meant
to see most of this; services are often watched from outside the cluster as
well. ocf:heartbeat:Filesystem is what most clusters run beside the service,
with either set of agents: what it sees need not be seen by another.

Where clients do suffer, as from a full disk or a queue that cannot be written, a
"no" is a gap, whosever it is. It is none where clients notice nothing either: a
running service has read its configuration and keeps its files open, Postfix goes
on for a while with the processes that it has when its main one is stopped, and
Dovecot mends a broken index when it meets one. What is lost then is the warning
before the next restart. heartbeat:postfix runs the product's own check of
configuration and directories every time, at the price that
[benchmarks.md](benchmarks.md) has under "Calls".

After "started while another program holds the port" each set of agents has tried
a start itself, in vain, and the monitors say what came of it. A claim of an
address is remembered for half a minute, so that a cluster manager that looks
every ten seconds hears of one that lasted for a moment.
`

// writeFaults writes the part that has files of its own.
func writeFaults(rows []bench.Row, on string) error {
	var data, page bytes.Buffer
	if err := bench.WriteJSON(&data, rows); err != nil {
		return err
	}
	fmt.Fprintf(&page, faultsHead, on)
	bench.WriteSheet(&page, rows)
	if err := os.MkdirAll(outDir, 0o755); err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(outDir, "faults.json"), data.Bytes(), 0o644),
		os.WriteFile(filepath.Join("docs", "faults.md"), page.Bytes(), 0o644),
	)
}
