// SPDX-License-Identifier: Apache-2.0

package torment

import (
	"context"

	"github.com/mailha/mailha/internal/lab"
	"github.com/mailha/mailha/internal/scenario"
)

// restore has all nodes lose what etcd held, while the group's epoch is greater than in
// the snapshot that is left.
func restore(ctx context.Context, s *scenario.System, p scenario.Part) error {
	home, err := s.Where(ctx, p)
	if err != nil {
		return err
	}
	const file = "/root/before.state"
	if err := sh(home, "mailhactl cluster snapshot "+file)(ctx); err != nil {
		return err
	}
	for _, to := range []*lab.Node{others(s, home)[0], home} {
		if err := sh(home, "mailhactl group move "+p.Group()+" "+to.Name())(ctx); err != nil {
			return err
		}
	}
	err = s.Lab.Each(func(n *lab.Node) error {
		return sh(n, `rm -rf /var/lib/mailha/etcd
systemctl kill --signal=KILL --kill-whom=main mailhad
systemctl stop mailhad`)(ctx)
	})
	if err != nil {
		return err
	}
	if err := sh(home, "mailhactl cluster restore --yes "+file)(ctx); err != nil {
		return err
	}
	return s.Lab.Each(func(n *lab.Node) error { return sh(n, "systemctl --no-block start mailhad")(ctx) })
}
