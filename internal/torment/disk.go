// SPDX-License-Identifier: Apache-2.0

package torment

import (
	"context"
	"errors"

	"github.com/mailha/mailha/internal/lab"
	"github.com/mailha/mailha/internal/scenario"
)

// hangDisk has the store's file system take no writes for a while, with somebody in the
// middle of one, whom no signal reaches, and kills mailhad. The next one cannot stop the
// store, and nobody else may have it before it is stopped.
func hangDisk(ctx context.Context, s *scenario.System, _ scenario.Part) error {
	const dir = "/srv/store"
	for _, p := range s.Parts() {
		if p.Group() == "store" {
			return onVictim(func(ctx context.Context, _ *scenario.System, n *lab.Node) error {
				return during(ctx, 2*beyond,
					sh(n, "fsfreeze -f "+dir+`
systemd-run --quiet --collect --unit=torment-writer --working-directory=`+dir+` sh -c 'echo x >.torment; rm .torment'
until grep -q '^State:.D' /proc/$(systemctl show -P MainPID torment-writer)/status; do :; done
systemctl kill --signal=KILL --kill-whom=main mailhad`),
					sh(n, "fsfreeze -u "+dir))
			})(ctx, s, p)
		}
	}
	return errors.New("there is no store")
}
