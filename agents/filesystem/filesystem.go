// SPDX-License-Identifier: Apache-2.0

package filesystem

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/mailha/mailha/agents"
)

// Type is the agent for the file system of a block device.
func Type() agents.Type {
	return agents.Type{
		Name:  "filesystem",
		Short: "File system of a block device, mounted on one node at a time",
		Long: `Mounts the file system of a block device on a directory, and unmounts it.

A stop succeeds only when the device is free: when the kernel lets it be opened exclusively, which it does neither while the file system is mounted somewhere else on the node, nor while a service has it in a mount namespace of its own, nor after a lazy unmount as long as anybody still has a file open. Processes that use the file system are ended, what is mounted inside of it is unmounted first, and a file system that was frozen is thawed. Nothing is waited for longer than the operation may take.

A start refuses a device that is mounted elsewhere on the node and a directory on which something else is mounted, waits for a device that is not there yet, and never lets a file system be mounted read-only that should not be.

The agent cannot see what other nodes do with a shared device. That no two of them mount it at the same time is up to the cluster's fencing; ext4 with multi-mount protection (tune2fs -O mmp) refuses the second mount by itself, is recommended on every shared device, and can be insisted on (require_mmp). A start that is refused by it names the node that has the file system. After that node has died without unmounting, a mount takes some 22 seconds or more, and the timeout of the start has to allow for it.

Network file systems, overlays and images in files are not for this agent: it mounts block devices only.`,
		Actions: []agents.Action{
			{Name: "start", Timeout: 90 * time.Second},
			{Name: "stop", Timeout: 60 * time.Second},
			{Name: "monitor", Timeout: 20 * time.Second, Interval: 10 * time.Second, Depth: agents.DepthShallow},
			{Name: "monitor", Timeout: 30 * time.Second, Interval: 60 * time.Second, Depth: agents.DepthProtocol},
			{Name: "monitor", Timeout: 30 * time.Second, Interval: 120 * time.Second, Depth: agents.DepthTransaction},
			{Name: "reload-agent", Timeout: 20 * time.Second},
			{Name: "validate-all", Timeout: 20 * time.Second},
			{Name: "meta-data", Timeout: 5 * time.Second},
		},
		Example: map[string]string{"device": "/dev/disk/by-id/scsi-mail", "directory": "/srv/mail", "fstype": "ext4", "options": "noatime"},
		New:     func(env agents.Env) agents.Agent { return New(env) },
	}
}

// Agent is the lifecycle of one mounted file system. It is an [agents.Agent].
type Agent struct {
	Device      Source
	Directory   Directory
	FSType      Word
	Options     Options
	Fsck        Check
	KillUsers   agents.Bool
	RequireMMP  agents.Bool
	MinFree     Percent
	CheckFile   Word
	Description agents.Text

	env     agents.Env
	log     *slog.Logger
	helpers helpers
}

// New returns the lifecycle with its defaults.
func New(env agents.Env) *Agent {
	return &Agent{
		Fsck: "auto", KillUsers: true, CheckFile: ".mailha-check",
		env: env, log: env.Logger().With("resource", env.Instance), helpers: newHelpers(env.FileName()),
	}
}

// Params is the parameter table.
func (a *Agent) Params() agents.Table {
	return agents.Table{
		{Name: "device", Value: &a.Device, Required: true, Unique: "device",
			Short: "Block device",
			Long:  "The path of the device, or UUID=, LABEL=, PARTUUID= or PARTLABEL= with what udev calls it by. Names that may be another device's after a boot, such as /dev/sdb, are best avoided."},
		{Name: "directory", Value: &a.Directory, Required: true, Unique: "directory",
			Short: "Mount point",
			Long:  "The directory to mount the file system on. If only its last part is missing it is made."},
		{Name: "fstype", Value: &a.FSType,
			Short: "Type of the file system",
			Long:  "Empty means that ext2, ext3, ext4, XFS and Btrfs are told by what is on the device; others have to be named. A device that has another one of these on it is not mounted."},
		{Name: "options", Value: &a.Options,
			Short: "Mount options",
			Long:  "As mount(8) takes them, separated by commas. Without ro among them the file system has to be writable."},
		{Name: "fsck", Value: &a.Fsck,
			Short: "When to check ext2, ext3 and ext4 before mounting: auto, yes or no",
			Long:  "With auto, e2fsck -p is run when the kernel has noted errors in the file system, and after an unclean end when there is no journal; a journal repairs the rest in less time when the file system is mounted. With yes it is run at each start, which takes no longer than a moment when the file system is clean. What it cannot repair by itself fails the start. Other file systems are not checked."},
		{Name: "require_mmp", Value: &a.RequireMMP, Reloadable: true,
			Short: "Whether a file system without multi-mount protection is refused",
			Long:  "Then only ext4 with the feature mmp is mounted, which no other node can mount at the same time, whatever becomes of the cluster. A file system gets it by tune2fs -O mmp while no node has it mounted, or by mkfs.ext4 -O mmp. Recommended wherever not every node can be fenced."},
		{Name: "kill_users", Value: &a.KillUsers, Reloadable: true,
			Short: "Whether a stop ends processes that use the file system",
			Long:  "They get SIGTERM, and SIGKILL after five seconds or a third of the stop's time, whatever is less. Otherwise a stop fails while there are any, which makes a cluster fence the node."},
		{Name: "min_free", Value: &a.MinFree, Reloadable: true,
			Short: "Least free space, in percent",
			Long:  "With less space or fewer inodes free for ordinary users than that, the file system is degraded. 0 means that it may be full."},
		{Name: "check_file", Value: &a.CheckFile, Reloadable: true,
			Short: "File that a monitor writes",
			Long:  "A name in the top directory of the file system. From depth 10 on a monitor writes it, has it synced to the device and reads it back, at depth 20 from the device itself."},
		agents.DescriptionParam(&a.Description),
	}
}

// Validate checks the parameters.
func (a *Agent) Validate(ctx context.Context, depth agents.Depth) error {
	if a.Device == "" || a.Directory == "" {
		return fmt.Errorf("%w: device and directory are required", agents.ErrParameter)
	}
	if depth < agents.DepthProtocol {
		return nil
	}
	const patience = 5 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return bounded(ctx, "look at "+a.Device.path(), func() error { return a.fits(ctx) })
}

// fits says whether this node could mount it.
func (a *Agent) fits(ctx context.Context) error {
	if err := ownNamespace(); err != nil {
		return err
	}
	for _, name := range []string{"mount", "umount"} {
		if _, err := exec.LookPath(name); err != nil {
			return fmt.Errorf("%w: the program %s is missing", agents.ErrInstalled, name)
		}
	}
	if info, err := os.Stat(filepath.Dir(string(a.Directory))); err != nil || !info.IsDir() {
		return fmt.Errorf("%w: there is no directory %s to have the mount point %s in", agents.ErrInstalled, filepath.Dir(string(a.Directory)), a.Directory)
	}
	if info, err := os.Stat(string(a.Directory)); err == nil && !info.IsDir() {
		return fmt.Errorf("%w: %s is no directory", agents.ErrNode, a.Directory)
	}
	_, err := blockNumber(a.Device.path())
	switch {
	case errors.Is(err, errNoBlock):
		return fmt.Errorf("%w: %w; only file systems on block devices can be mounted by this agent", agents.ErrNode, err)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: the device %s is not there; is the storage connected?", agents.ErrInstalled, a.Device.path())
	case err != nil || os.Geteuid() != 0:
		return err
	}
	_, s, err := a.kind(ctx)
	if err != nil {
		return err
	}
	return a.protected(s)
}

// protected refuses what another node could mount at the same time, if that is asked for.
func (a *Agent) protected(s super) error {
	if !bool(a.RequireMMP) || s.mmp != 0 || a.Options.readOnly() {
		return nil
	}
	path := a.Device.path()
	if s.kind != "ext4" {
		return fmt.Errorf("%w: require_mmp is set, and the file system on %s has no multi-mount protection: only ext4 can have it", agents.ErrNode, path)
	}
	return fmt.Errorf("%w: require_mmp is set, and the file system on %s has no multi-mount protection; while no node has it mounted: tune2fs -O mmp %[2]s", agents.ErrNode, path)
}

// Unguarded is the device, where nothing but the cluster keeps a second node from mounting it.
func (a *Agent) Unguarded() string {
	if bool(a.RequireMMP) || a.Options.readOnly() {
		return ""
	}
	return a.Device.path()
}

// kind is the type to mount as, with what the device tells.
func (a *Agent) kind(ctx context.Context) (string, super, error) {
	s, err := a.helpers.super(ctx, a.Device.path())
	switch {
	case err != nil:
		return "", s, err
	case a.FSType == "" && s.kind == "":
		return "", s, fmt.Errorf("%w: there is no file system on %s that this agent knows; name it in the parameter fstype, or make one", agents.ErrNode, a.Device.path())
	case a.FSType == "":
		return s.kind, s, nil
	case s.kind != "" && s.kind != string(a.FSType) && (s.kind != "ext4" || a.FSType != "ext2" && a.FSType != "ext3"):
		return "", s, fmt.Errorf("%w: on %s is %s, not %s", agents.ErrNode, a.Device.path(), s.kind, a.FSType)
	}
	return string(a.FSType), s, nil
}

// ownNamespace refuses to mount where the node's services would not see it.
func ownNamespace() error {
	self, err1 := os.Readlink("/proc/self/ns/mnt")
	first, err2 := os.Readlink("/proc/1/ns/mnt")
	if err1 == nil && err2 == nil && self != first {
		return fmt.Errorf("%w: this is called in a mount namespace of its own, where nobody else sees what it mounts; is a unit of the cluster manager confined (PrivateTmp=, ProtectSystem= and the like in systemd.exec(5))?", agents.ErrNode)
	}
	return nil
}

// Reload has nothing to do here: each call reads the parameters anew.
func (a *Agent) Reload(ctx context.Context) error { return a.Monitor(ctx, agents.DepthShallow) }

func (a *Agent) show(st agents.Status) { a.env.Show(a.Description, st) }
