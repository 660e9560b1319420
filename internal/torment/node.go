// SPDX-License-Identifier: Apache-2.0

package torment

import (
	"context"
	"errors"
	"time"

	"github.com/mailha/mailha/internal/lab"
	"github.com/mailha/mailha/internal/scenario"
)

func freeze(ctx context.Context, _ *scenario.System, n *lab.Node) error {
	return during(ctx, beyond, n.Pause, n.Resume)
}

// stopDaemon: systemd's watchdog may be quicker than the undo.
func stopDaemon(ctx context.Context, _ *scenario.System, n *lab.Node) error {
	return during(ctx, beyond,
		sh(n, "systemctl kill --signal=STOP --kill-whom=main mailhad"),
		sh(n, "systemctl kill --signal=CONT --kill-whom=main mailhad || :"))
}

func killDaemon(ctx context.Context, _ *scenario.System, n *lab.Node) error {
	return sh(n, "systemctl kill --signal=KILL --kill-whom=main mailhad")(ctx)
}

func cutPower(ctx context.Context, s *scenario.System, n *lab.Node) error {
	return during(ctx, beyond, n.Kill, func(ctx context.Context) error { return s.Rejoin(ctx, n) })
}

// loseQuorum leaves one node alone, which has to let go of everything.
func loseQuorum(ctx context.Context, s *scenario.System, p scenario.Part) error {
	survivor, err := s.Where(ctx, p)
	if err != nil {
		return err
	}
	lost := others(s, survivor)
	return during(ctx, beyond,
		func(ctx context.Context) error { return errors.Join(lost[0].Kill(ctx), lost[1].Kill(ctx)) },
		func(ctx context.Context) error {
			if err := lost[0].Start(ctx); err != nil {
				return err
			}
			if err := lost[1].Start(ctx); err != nil {
				return err
			}
			// A member waits for another one, and systemd for the member.
			return errors.Join(
				sh(lost[0], "systemctl --no-block start mailhad")(ctx), sh(lost[1], "systemctl --no-block start mailhad")(ctx))
		})
}

// fillDisk has etcd on a small disk of its own for a while, which has no room left. The
// first start may fail there: etcd wants the rest of its log's 64 MB at once, and the second
// time does without.
func fillDisk(ctx context.Context, s *scenario.System, n *lab.Node) error {
	const small = `systemctl stop mailhad
size=$(($(du -sk /var/lib/mailha | cut -f1) + 1024))
mkdir -p /mnt/etcd; mount -t tmpfs -o size=${size}k etcd /mnt/etcd
cp -a --sparse=always /var/lib/mailha/. /mnt/etcd; mount --bind /mnt/etcd /var/lib/mailha
systemctl start mailhad || systemctl start mailhad; sleep 2
dd if=/dev/zero of=/var/lib/mailha/filler bs=64k 2>/dev/null || :`
	const back = `rm -f /var/lib/mailha/filler
systemctl stop mailhad
umount /var/lib/mailha; cp -a /mnt/etcd/. /var/lib/mailha; umount /mnt/etcd
systemctl start mailhad`
	return during(ctx, beyond, sh(n, small), sh(n, back))
}

// delAddress takes a service's address away.
func delAddress(ctx context.Context, s *scenario.System, p scenario.Part) error {
	n, err := s.Where(ctx, p)
	if err != nil {
		return err
	}
	const look = 2 * time.Second
	return during(ctx, look, sh(n, "ip addr del "+p.Address()+"/32 dev eth0"), func(context.Context) error { return nil })
}
