// SPDX-License-Identifier: Apache-2.0

package labtests

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mailha/mailha/fencing"
	"github.com/mailha/mailha/internal/lab"
	"github.com/mailha/mailha/internal/lab/fence"
	"github.com/mailha/mailha/internal/lab/labtest"
)

// bareLab has nodes with the base image alone.
func bareLab(t *testing.T, nodes int) *lab.Lab {
	t.Helper()
	t.Parallel()
	if err := programs(); err != nil {
		t.Fatal(err)
	}
	return labtest.Up(t, lab.Config{Nodes: nodes, Binary: filepath.Join(scratch, "lab")})
}

// powerSwitch is a fence device that cuts the power of the lab's nodes.
func powerSwitch(t *testing.T, l *lab.Lab, name string, level int, params map[string]string) fencing.Device {
	t.Helper()
	agent := filepath.Join(t.TempDir(), "fence_lab")
	if err := os.Symlink(filepath.Join(scratch, "lab"), agent); err != nil {
		t.Fatal(err)
	}
	d := fencing.Device{
		Name: name, Agent: agent, Ports: map[string]string{}, Level: level, Action: fencing.Off, Attempts: 1,
		Timeout: 5 * time.Second, Verify: 50 * time.Millisecond, Parameters: map[string]string{"socket": filepath.Join(l.ShareDir(), fence.SocketName)},
	}
	for _, n := range l.Nodes() {
		d.Ports[n.Name()] = n.Name()
	}
	for k, v := range params {
		d.Parameters[k] = v
	}
	return d
}

// pulse has the nodes write something all the time, each by itself, and returns whether
// a node is heard.
func pulse(t *testing.T, l *lab.Lab) func(context.Context, string) bool {
	t.Helper()
	const unit = "[Unit]\nDefaultDependencies=no\n[Service]\nExecStart=/bin/sh -c 'while :; do echo >/lab/pulse-%H; sleep 0.02; done'\n[Install]\nWantedBy=multi-user.target\n"
	for _, n := range l.Nodes() {
		if err := n.Push("/etc/systemd/system/pulse.service", []byte(unit), 0o644); err != nil {
			t.Fatal(err)
		}
		run(t, n, "systemctl daemon-reload; systemctl -q enable --now pulse")
	}
	return func(_ context.Context, node string) bool {
		info, err := os.Stat(filepath.Join(l.ShareDir(), "pulse-"+node))
		return err == nil && time.Since(info.ModTime()) < 150*time.Millisecond
	}
}

// fenceTimes is how often each device is tried.
var fenceTimes = flag.Int("fence-times", 3, "how often each fence device is tried")

// Whatever its device does, a node that runs is never called off; and the device of the
// next level does it.
//
// The whole measure: go test -run TestFenceDevicesThatGoWrong ./internal/labtests -args -fence-times 10
func TestFenceDevicesThatGoWrong(t *testing.T) {
	times := *fenceTimes
	l := bareLab(t, 3)
	heard := pulse(t, l)
	free := make(chan *lab.Node, len(l.Nodes()))
	for _, n := range l.Nodes() {
		free <- n
	}
	// The tests below run beside each other, and this one ends when they have.
	t.Run("modes", func(t *testing.T) {
		for _, tt := range []wrongWay{
			{fence.Works, "", true, ""},
			{fence.Fails, "", false, "failed to switch off: fence_lab: off: Failed: Timed out waiting to power OFF (exit code 1)"},
			{fence.Hangs, "", false, "did not switch off within 1.2s"},
			{fence.Lies, "", false, "says off, and the node still answers: is it the right outlet?"},
			{fence.Contradicts, "", false, "says that it switched off, and that the outlet is on"},
			{fence.AnswersLate, "0.2", true, ""},
			{fence.AnswersLate, "5", false, "did not switch off within 1.2s"},
			{fence.ActsLate, "0.3", true, ""},
			{fence.ActsLate, "8", false, "says that it switched off, and that the outlet is on"},
		} {
			t.Run(strings.TrimSpace(tt.mode+" "+tt.late), func(t *testing.T) {
				t.Parallel()
				victim := <-free
				defer func() { free <- victim }()
				var took []time.Duration
				for range times {
					took = append(took, tt.shoot(t, l, victim, heard))
				}
				slices.Sort(took)
				t.Logf("median %v, worst %v", took[times/2].Round(time.Millisecond), took[times-1].Round(time.Millisecond))
			})
		}
	})
}

// wrongWay is a mode of a device, and what becomes of it.
type wrongWay struct {
	mode, late string
	confirmed  bool   // by this device
	reason     string // why not
}

// silence is longer than a busy machine lets a node that runs be silent.
func (w wrongWay) silence() time.Duration {
	if w.mode == fence.Lies {
		return 2 * time.Second
	}
	return 0 // whatever else goes wrong, the status shows it
}

// shoot fences a node that runs by a device that goes wrong, and where it can by another
// one, and leaves the node up.
func (w wrongWay) shoot(t *testing.T, l *lab.Lab, victim *lab.Node, heard func(context.Context, string) bool) time.Duration {
	t.Helper()
	await(t, 20*time.Second, "the node's pulse", func() bool { return heard(t.Context(), victim.Name()) })
	params := map[string]string{"mode": w.mode}
	if w.late != "" {
		params["late"] = w.late
	}
	devices := []fencing.Device{powerSwitch(t, l, "wrong", 1, params)}
	// What a device does that late would hit the node after it came back.
	second := !w.confirmed && w.mode != fence.ActsLate
	if second {
		devices = append(devices, powerSwitch(t, l, "right", 2, nil))
		devices[1].Timeout = 20 * time.Second
	}
	switch {
	case w.confirmed:
		devices[0].Timeout = 20 * time.Second
	case w.mode == fence.Hangs, w.mode == fence.AnswersLate: // whose answer is not waited for
		devices[0].Timeout = 1200 * time.Millisecond
	}
	f, err := fencing.New(fencing.Config{Devices: devices, Answers: heard, Grace: time.Second, Silence: w.silence()})
	if err != nil {
		t.Fatal(err)
	}
	told := 0
	r := f.Fence(t.Context(), fencing.Order{Node: victim.Name(), Confirmed: func(fencing.Result) {
		told++
		if victim.Running() {
			t.Error("it is called off, and runs")
		}
	}})
	by := []string{"wrong"}
	if second {
		by = []string{"right"}
	}
	all := strings.Join(r.Lines(), "\n")
	if r.Confirmed != (w.confirmed || second) || told == 1 != r.Confirmed || r.Confirmed && !slices.Equal(r.By, by) || !strings.Contains(all, w.reason) {
		t.Errorf("got %s", all)
	}
	await(t, 20*time.Second, "its end", func() bool { return !victim.Running() })
	if err := victim.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r.Took()
}

// What fencing by the lab's switch costs: the call that cuts the power, and the status.
func TestFencingIsQuick(t *testing.T) {
	times := *fenceTimes
	l := bareLab(t, 2)
	victim := l.Nodes()[1]
	f, err := fencing.New(fencing.Config{Devices: []fencing.Device{powerSwitch(t, l, "switch", 1, nil)}, Node: l.Nodes()[0].Name()})
	if err != nil {
		t.Fatal(err)
	}
	if c, err := f.Check(t.Context(), "switch"); err != nil || !c.OK || len(c.Ports) != 2 {
		t.Errorf("check: %+v, %v", c, err)
	}
	var took, off []time.Duration
	for range times {
		r := f.Fence(t.Context(), fencing.Order{Node: victim.Name()})
		if !r.Confirmed || victim.Running() {
			t.Fatalf("%s", strings.Join(r.Lines(), "\n"))
		}
		took = append(took, r.Took())
		history, err := l.FenceHistory()
		if err != nil {
			t.Fatal(err)
		}
		off = append(off, history[len(history)-1].OffIn)
		if err := victim.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(took)
	slices.Sort(off)
	t.Logf("off and status: median %v, worst %v; of which cutting the power: median %v, worst %v", took[times/2], took[times-1], off[times/2], off[times-1])
	const most = 5 * time.Second // it is not a benchmark
	if took[times/2] > most {
		t.Errorf("it takes %v", took[times/2])
	}
}
