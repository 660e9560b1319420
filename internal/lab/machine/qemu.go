// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// Program is QEMU.
const Program = "qemu-system-x86_64"

const (
	controlParameter = "mailha.control" // the machine's address on the second wire
	disksParameter   = "mailha.disks"   // names of the disks, in their order, with commas between them
)

// Config is what a machine is made of.
type Config struct {
	Number    int // from 1, unlike that of any other machine on the same networks
	Memory    int // in MiB
	Kernel    Kernel
	Initramfs string
	Root      string   // directory of the host
	Share     string   // another one, which it has as /lab
	Wire      string   // tap device of its network
	Control   string   // tap device of the other one
	Monitor   string   // path of a unix socket
	Disks     []string // devices of the host
	DiskNames []string // as the machine is to call them
	Watchdog  string   // what happens when its watchdog device is not fed: as QEMU's "-action watchdog="
}

// needlessUnits are some of which each costs an emulated machine a tenth of a second or
// more, and one that waits, without udev, for the console's device in vain.
func needlessUnits() []string {
	return []string{
		"serial-getty@ttyS0.service", "systemd-modules-load.service", "dev-hugepages.mount", "dev-mqueue.mount",
		"sys-kernel-debug.mount", "sys-kernel-tracing.mount", "sys-fs-fuse-connections.mount", "sys-kernel-config.mount",
	}
}

// Argv is the command line of QEMU. The machine's console is its standard output.
func (c Config) Argv() []string {
	cmdline := []string{
		"console=ttyS0", "quiet", "panic=-1", "net.ifnames=0", "mitigations=off", "systemd.show_status=0",
		controlParameter + "=" + c.guestPrefix().String(), disksParameter + "=" + strings.Join(c.DiskNames, ","),
	}
	for _, unit := range needlessUnits() {
		cmdline = append(cmdline, "systemd.mask="+unit)
	}
	argv := []string{
		Program, "-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio",
		"-machine", "pc,usb=off", "-accel", "tcg", "-cpu", "max", "-smp", "1", "-m", fmt.Sprint(c.Memory),
		"-kernel", c.Kernel.Image, "-initrd", c.Initramfs, "-append", strings.Join(cmdline, " "),
		"-rtc", "base=utc,clock=host",
		"-qmp", "unix:" + c.Monitor + ",server=on,wait=off",
		"-device", "i6300esb", "-action", "watchdog=" + c.Watchdog,
		"-netdev", "tap,id=wire,ifname=" + c.Wire + ",script=no,downscript=no",
		"-device", "virtio-net-pci,id=eth,netdev=wire,romfile=,mac=" + c.mac(0).String(),
		"-netdev", "tap,id=control,ifname=" + c.Control + ",script=no,downscript=no",
		"-device", "virtio-net-pci,netdev=control,romfile=,mac=" + c.mac(1).String(),
	}
	for tag, dir := range map[string]string{rootTag: c.Root, shareTag: c.Share} {
		argv = append(argv, "-virtfs", "local,security_model=passthrough,multidevs=remap,mount_tag="+tag+",path="+dir)
	}
	for i, d := range c.Disks {
		argv = append(argv, "-drive", fmt.Sprintf("if=none,id=disk%d,format=raw,cache=none,file=%s", i, d), "-device", fmt.Sprintf("virtio-blk-pci,drive=disk%d", i))
	}
	return argv
}

// MAC is the hardware address of a machine's own wire.
func MAC(number int) net.HardwareAddr { return Config{Number: number}.mac(0) }

func (c Config) mac(wire int) net.HardwareAddr {
	return net.HardwareAddr{0x52, 0x54, 0, 0x77, byte(wire), byte(c.Number)} // QEMU's own prefix
}

// A control wire is a network of two.
const controlBits = 30

func controlAddr(number, host int) netip.Addr {
	return netip.AddrFrom4([4]byte{169, 254, 77, byte(4*number + host)})
}

func (c Config) guestPrefix() netip.Prefix {
	return netip.PrefixFrom(controlAddr(c.Number, 2), controlBits)
}

// ControlHost is the host's own address on a machine's control wire.
func ControlHost(number int) netip.Prefix {
	return netip.PrefixFrom(controlAddr(number, 1), controlBits)
}

// ControlAddr is where a machine serves commands.
func ControlAddr(number int) netip.AddrPort {
	return netip.AddrPortFrom(controlAddr(number, 2), controlPort)
}
