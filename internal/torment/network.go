// SPDX-License-Identifier: Apache-2.0

package torment

import (
	"context"
	"errors"
	"time"

	"github.com/mailha/mailha/internal/lab"
	"github.com/mailha/mailha/internal/scenario"
)

func cutLink(ctx context.Context, _ *scenario.System, n *lab.Node) error {
	return during(ctx, beyond, n.CutLink, n.MendLink)
}

func flap(ctx context.Context, _ *scenario.System, n *lab.Node) error {
	const times, pause = 5, 300 * time.Millisecond
	for range times {
		if err := during(ctx, pause, n.CutLink, n.MendLink); err != nil {
			return err
		}
		time.Sleep(pause)
	}
	return nil
}

// filtered has a node drop packets for a while.
func filtered(ctx context.Context, n *lab.Node, d time.Duration, rules string) error {
	return during(ctx, d, sh(n, "nft -f - <<'X'\n"+rules+"\nX"),
		sh(n, "for f in inet netdev arp; do nft delete table $f torment 2>/dev/null || :; done"))
}

// cutPeers keeps etcd's members apart, and its clients from it.
func cutPeers(ctx context.Context, _ *scenario.System, n *lab.Node) error {
	return filtered(ctx, n, beyond, `table inet torment {
	chain in { type filter hook input priority -300; iifname "eth0" tcp dport { 2379, 2380 } drop; iifname "eth0" tcp sport { 2379, 2380 } drop; }
	chain out { type filter hook output priority -300; oifname "eth0" tcp dport { 2379, 2380 } drop; oifname "eth0" tcp sport { 2379, 2380 } drop; }
}`)
}

// cutClients: nothing of it reaches the cluster, which cannot help.
func cutClients(ctx context.Context, _ *scenario.System, n *lab.Node) error {
	const some = 5 * time.Second
	return filtered(ctx, n, some, `table inet torment {
	chain in { type filter hook input priority -300; ip saddr 10.77.0.100 drop; ip6 saddr fd77::100 drop; }
	chain out { type filter hook output priority -300; ip daddr 10.77.0.100 drop; ip6 daddr fd77::100 drop; }
}`)
}

// deafen drops whatever comes in, ARP as well.
func deafen(ctx context.Context, _ *scenario.System, n *lab.Node) error {
	return filtered(ctx, n, beyond, `table netdev torment {
	chain in { type filter hook ingress device "eth0" priority -400; policy drop; }
}`)
}

// mute drops whatever goes out, ARP as well.
func mute(ctx context.Context, _ *scenario.System, n *lab.Node) error {
	return filtered(ctx, n, beyond, `table netdev torment {
	chain out { type filter hook egress device "eth0" priority -400; policy drop; }
}`)
}

// move asks a node to have a group moved, and does not wait.
func move(ctx context.Context, by *lab.Node, group string, to *lab.Node) error {
	return sh(by, "mailhactl group move --no-wait "+group+" "+to.Name())(ctx)
}

func moveTwice(ctx context.Context, s *scenario.System, p scenario.Part) error {
	from, err := s.Where(ctx, p)
	if err != nil {
		return err
	}
	to := others(s, from)
	second := make(chan error, 1)
	go func() { second <- move(ctx, to[1], p.Group(), to[1]) }()
	first := move(ctx, to[0], p.Group(), to[0])
	// One of the two may be told that the other was quicker.
	if secondErr := <-second; first != nil && secondErr != nil {
		return errors.Join(first, secondErr)
	}
	return nil
}

// inMove does something while a group is on its way.
func inMove(ctx context.Context, s *scenario.System, p scenario.Part, do func(ctx context.Context, from, to *lab.Node) error) error {
	from, err := s.Where(ctx, p)
	if err != nil {
		return err
	}
	to := others(s, from)[0]
	if err := move(ctx, to, p.Group(), to); err != nil {
		return err
	}
	return do(ctx, from, to)
}

func killBus(ctx context.Context, s *scenario.System, p scenario.Part) error {
	return inMove(ctx, s, p, func(ctx context.Context, from, to *lab.Node) error {
		const kill = "systemctl kill --signal=KILL dbus.service"
		return errors.Join(sh(from, kill)(ctx), sh(to, kill)(ctx))
	})
}

func reloadInMove(ctx context.Context, s *scenario.System, p scenario.Part) error {
	return inMove(ctx, s, p, func(ctx context.Context, from, _ *lab.Node) error {
		return sh(from, `mailhactl config show >/root/next.toml
sed -i "s/users, aliases and passwords.*\"/users, aliases and passwords, $(date +%s)\"/" /root/next.toml
mailhactl config apply --yes /root/next.toml`)(ctx)
	})
}
