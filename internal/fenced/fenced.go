// SPDX-License-Identifier: Apache-2.0

// Package fenced is mailha-fenced: it has a node be fenced through etcd, by its own
// watchdog, where there is no power switch and no shared disk.
//
// It must never arm a watchdog whose times do not fit the lease, and never run where
// mailhad feeds one: one device guards one promise.
package fenced

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"

	"github.com/mailha/mailha/fencing/watchdog"
	"github.com/mailha/mailha/internal/enrol"
	"github.com/mailha/mailha/internal/poison"
	"github.com/mailha/mailha/internal/poison/machine"
	"github.com/mailha/mailha/resources"
)

// Daemon is what mailha-fenced is made of.
type Daemon struct {
	File  string // the configuration
	Node  string // the name of this node; empty: the host's
	Kinds resources.Kinds
	Log   *slog.Logger
}

// load reads the configuration and finds this node in it.
func (d *Daemon) load() (*resources.Cluster, error) {
	c, err := Load(d.File, d.Kinds)
	if err != nil {
		return nil, err
	}
	if d.Node == "" {
		if d.Node, err = os.Hostname(); err != nil {
			return nil, fmt.Errorf("find the name of this node: %w", err)
		}
	}
	n, ok := c.Node(d.Node)
	switch {
	case !ok:
		return nil, fmt.Errorf("%s: this node, %s, is not in [[node]]; its name can be given with -node", d.File, d.Node)
	case n.Witness:
		return nil, fmt.Errorf("%s: %s is a witness: it has nothing that others could take over", d.File, d.Node)
	case c.Watchdog.Mode != resources.WatchdogOff:
		return nil, fmt.Errorf("%s: [watchdog] mode = %q has mailhad feed the watchdog, which one program can: set it to \"off\", or do without mailha-fenced", d.File, c.Watchdog.Mode)
	}
	return c, nil
}

// Load reads the configuration.
func Load(file string, kinds resources.Kinds) (*resources.Cluster, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	return resources.Parse(file, data, kinds)
}

// Limit is how long a node lives after its last look at etcd: until others take over.
func Limit(c *resources.Cluster) time.Duration { return c.Lease + c.Margin }

// slack is what a look at etcd may take that is answered late, with the time between two.
const slack = 2 * time.Second

// terms are what is asked of a device: the longest timeout with which every look counts,
// unless the configuration says another one.
func terms(c *resources.Cluster, d watchdog.Device) watchdog.Terms {
	t := watchdog.Terms{Lease: c.Lease, Margin: c.Margin, Timeout: c.Watchdog.Timeout, Interval: poison.FeedEach}
	if t.Timeout == 0 {
		t.Timeout = max((Limit(c) - watchdog.Lateness - slack).Truncate(time.Second), time.Second)
		if d.Max > 0 {
			t.Timeout = min(t.Timeout, d.Max)
		}
	}
	return t
}

// arm arms the configured device, or the first of the machine's that can be.
func (d *Daemon) arm(c *resources.Cluster) (poison.Guard, error) {
	devices, err := watchdog.Find()
	if c.Watchdog.Device != "" {
		var one watchdog.Device
		one, err = watchdog.Look(c.Watchdog.Device)
		devices = []watchdog.Device{one}
	}
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, device := range devices {
		guard, err := watchdog.Arm(device, terms(c, device))
		if err == nil {
			d.Log.Info("the watchdog is armed", "device", guard.Device().String(), "timeout", guard.Timeout())
			return guard, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// Run is the daemon until ctx ends.
func (d *Daemon) Run(ctx context.Context) error {
	c, err := d.load()
	if err != nil {
		return err
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return fmt.Errorf("which boot this is: %w", err)
	}
	// A machine that is short of memory needs its watchdog fed, too.
	if err := unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE | unix.MCL_ONFAULT); err != nil {
		d.Log.Warn("this program may be swapped out, which may cost the node", "error", err)
	}
	client, err := enrol.Dial(c, d.Log)
	if err != nil {
		return err
	}
	defer client.Close()
	const leaveFor = 20 * time.Second
	t := poison.Target{
		Store: poison.Open(client, c.Name), Node: d.Node, Life: strings.TrimSpace(string(boot)), Limit: Limit(c),
		Arm: func() (poison.Guard, error) { return d.arm(c) }, End: machine.This(), Log: d.Log,
		Tell: func(text string) { _, _ = sd.SdNotify(false, text) },
	}
	return t.Run(ctx, leaveFor)
}
