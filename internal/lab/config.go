// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"path/filepath"
	"regexp"
	"strings"
)

// Networks of every lab, behind eth0 of each node and host.
var (
	Subnet4 = netip.MustParsePrefix("10.77.0.0/24")
	Subnet6 = netip.MustParsePrefix("fd77::/64")
)

const (
	// DiskPath is the shared disk, an ext4 file system, in each node. Further ones
	// have a number after it, from 2: see [Disk].
	DiskPath = "/dev/mailha-shared"
	// SharePath is the directory that all nodes and the host share, in each node.
	SharePath = "/lab"
	// MaxNodes is how many nodes a lab can have.
	MaxNodes = 9
	// MaxDisks is how many shared disks a lab can have.
	MaxDisks = 4

	clientOctet = 100
	nodeOctet   = 10
)

var (
	// ErrInUse means that the lab's owner is alive.
	ErrInUse = errors.New("lab is in use")
	// ErrNoLab means that there is no lab of that name.
	ErrNoLab = errors.New("no such lab")
	// ErrNotRunning means that the node is powered off.
	ErrNotRunning = errors.New("node is not running")
)

// Config says what kind of lab to make.
type Config struct {
	// Name tells labs apart: a lower-case letter, then up to 15 lower-case
	// letters or digits.
	Name string
	// Nodes is how many nodes to make, 1 to MaxNodes; 0 means 1.
	Nodes int
	// Disk asks for a shared disk: ext4 with multi-mount protection, which one
	// node at a time can mount from DiskPath.
	Disk bool
	// Disks asks for several of them, up to MaxDisks.
	Disks int
	// Layers are directories whose files lie over the base image of all nodes, the last
	// ones on top: what [Node.Keep] made. They have to stay as they are while the lab is
	// up.
	Layers []string
	// Machines asks for virtual machines: the first so many of the nodes have a kernel, a
	// clock and a watchdog device (i6300esb) of their own, and boot in half a minute.
	// They cannot fence, and have no terminal.
	Machines int
	// Memory is that of each machine, in MiB, at least 256; 0 means 512.
	Memory int
	// Watchdog is what a machine's watchdog does, as QEMU knows it: "reset", which is
	// meant if it is empty, "poweroff", "none" and others.
	Watchdog string
	// Log receives progress lines; nil discards them.
	Log io.Writer
	// Binary is a static build of internal/cmd/lab, which serves as keeper on
	// the host and as fence agent in the nodes; empty builds it with "go build".
	Binary string
	// Detached makes a lab without keeper and fencing, for a caller who goes on
	// with HandOver and then ends.
	Detached bool
}

var nameRE = regexp.MustCompile(`^[a-z][a-z0-9]{0,15}$`)

func checkName(name string) error {
	if !nameRE.MatchString(name) {
		return fmt.Errorf("lab name %q: want a lower-case letter, then up to 15 lower-case letters or digits", name)
	}
	return nil
}

func (c *Config) complete() error {
	if err := checkName(c.Name); err != nil {
		return err
	}
	if c.Nodes == 0 {
		c.Nodes = 1
	}
	if c.Nodes < 1 || c.Nodes > MaxNodes {
		return fmt.Errorf("lab %s: %d nodes asked for, 1 to %d are possible", c.Name, c.Nodes, MaxNodes)
	}
	if c.Disk {
		c.Disks = max(c.Disks, 1)
	}
	if c.Disks < 0 || c.Disks > MaxDisks {
		return fmt.Errorf("lab %s: %d disks asked for, up to %d are possible", c.Name, c.Disks, MaxDisks)
	}
	for _, dir := range c.Layers {
		if !filepath.IsAbs(dir) || strings.ContainsAny(dir, `:,\`) {
			return fmt.Errorf("lab %s: layer %q: want an absolute path without colon, comma or backslash", c.Name, dir)
		}
	}
	if c.Machines < 0 || c.Machines > c.Nodes {
		return fmt.Errorf("lab %s: %d of %d nodes asked for as virtual machines", c.Name, c.Machines, c.Nodes)
	}
	const least, usual = 256, 512
	if c.Memory == 0 {
		c.Memory = usual
	}
	if c.Memory < least {
		return fmt.Errorf("lab %s: %d MiB of memory asked for, a virtual machine needs %d", c.Name, c.Memory, least)
	}
	if c.Watchdog == "" {
		c.Watchdog = "reset"
	}
	if c.Log == nil {
		c.Log = io.Discard
	}
	return nil
}

// Disk is where a node has one of the shared disks; the first is number 1.
func Disk(number int) string {
	if number == 1 {
		return DiskPath
	}
	return fmt.Sprintf("%s%d", DiskPath, number)
}

func ip4(octet int) netip.Addr {
	a := Subnet4.Addr().As4()
	a[3] = byte(octet)
	return netip.AddrFrom4(a)
}

// ip6 gives fd77::N where N reads like the IPv4 octet: node 1 is fd77::11.
func ip6(octet int) netip.Addr {
	return netip.MustParseAddr(fmt.Sprintf("fd77::%d", octet))
}
