// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"context"
	"errors"
	"io"
	"path/filepath"

	"github.com/mailha/mailha/internal/lab"
)

// Solo is one node without a cluster that can run all services of the mail
// system, each with its data on a disk of its own: the queue in /srv/mail, the
// mailboxes in /srv/store, the directory in /var/lib/mailha-ldap. Nothing runs
// there yet. Beside it stands another node, which runs the directory's second
// replica, and may claim what the first one has.
type Solo struct {
	Lab         *lab.Lab
	Node, Other *lab.Node
}

// DirectoryData is where the directory keeps its database.
const DirectoryData = "/var/lib/mailha-ldap"

// SoloUp brings it up. Source is the directory of this module. Progress goes to
// log.
func SoloUp(ctx context.Context, name, source string, log io.Writer) (*Solo, error) {
	l, err := lab.Up(ctx, lab.Config{Name: name, Nodes: 2, Disks: 4, Log: log})
	if err != nil {
		return nil, err
	}
	s := &Solo{Lab: l, Node: l.Nodes()[0], Other: l.Nodes()[1]}
	if err := s.furnish(ctx, source); err != nil {
		return nil, errors.Join(err, l.Down())
	}
	return s, nil
}

func (s *Solo) furnish(ctx context.Context, source string) error {
	if err := makeInstall(ctx, source, filepath.Join(s.Lab.ShareDir(), "install")); err != nil {
		return err
	}
	if err := s.Lab.Each(func(n *lab.Node) error { return FurnishSystem(ctx, n, Users(2)) }); err != nil {
		return err
	}
	if err := MakeSystemDisks(ctx, s.Node); err != nil {
		return err
	}
	script := `set -eu
mount ` + lab.Disk(1) + ` /srv/mail; mount ` + lab.Disk(2) + ` /srv/store
mount ` + lab.Disk(3) + ` /mnt; cp -a ` + DirectoryData + `/. /mnt; chown openldap:openldap /mnt; umount /mnt
mount ` + lab.Disk(3) + ` ` + DirectoryData
	if _, err := s.Node.Output(ctx, "sh", "-c", script); err != nil {
		return err
	}
	_, err := s.Other.Output(ctx, "systemctl", "start", DirectoryUnit)
	return err
}
