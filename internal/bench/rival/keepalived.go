// SPDX-License-Identifier: Apache-2.0

package rival

import (
	"context"
	"fmt"
	"time"

	"github.com/mailha/mailha/internal/lab"
	"github.com/mailha/mailha/internal/scenario"
)

// keepalived moves the address alone; Postfix runs everywhere. Nothing fences, and no
// majority is asked.
type keepalived struct {
	ground *Ground
	advert string         // seconds
	rank   map[string]int // of nodes
	top    int
}

// Keepaliveds are keepalived with its default interval, with a tenth of it and with a
// twentieth.
func Keepaliveds(g *Ground) []Rival {
	return []Rival{&keepalived{ground: g, advert: "1"}, &keepalived{ground: g, advert: "0.1"}, &keepalived{ground: g, advert: "0.05"}}
}

func (k *keepalived) Name() string    { return "keepalived, advert " + k.advert + " s" }
func (k *keepalived) Ground() *Ground { return k.ground }

// write gives a node its configuration. Version 3 is for intervals below a second; the
// script is the one of keepalived's own examples.
func (k *keepalived) write(n *lab.Node) error {
	version := "2"
	if k.advert != "1" {
		version = "3"
	}
	return n.Push("/etc/keepalived/keepalived.conf", []byte(fmt.Sprintf(`global_defs {
	vrrp_version %s
	script_user root
	enable_script_security
}
vrrp_script postfix {
	script "/usr/bin/killall -0 master"
	interval 1
}
vrrp_instance mail {
	state BACKUP
	interface eth0
	virtual_router_id 51
	advert_int %s
	priority %d
	virtual_ipaddress {
		%s/32 dev eth0
	}
	track_script {
		postfix
	}
}
`, version, k.advert, k.rank[n.Name()], Address)), 0o644)
}

func (k *keepalived) Enter(ctx context.Context) error {
	k.rank, k.top = map[string]int{}, 100
	for _, n := range k.ground.Lab.Nodes() {
		k.top++
		k.rank[n.Name()] = k.top
		if err := k.start(ctx, n); err != nil {
			return err
		}
	}
	return k.settled(ctx)
}

func (k *keepalived) start(ctx context.Context, n *lab.Node) error {
	if err := k.write(n); err != nil {
		return err
	}
	_, err := n.Output(ctx, "systemctl", "restart", scenario.MTAUnit, "keepalived")
	return err
}

// first is the node that ranks highest, which takes the address whenever it is up.
func (k *keepalived) first() *lab.Node {
	var best *lab.Node
	for _, n := range k.ground.Lab.Nodes() {
		if best == nil || k.rank[n.Name()] > k.rank[best.Name()] {
			best = n
		}
	}
	return best
}

func (k *keepalived) settled(ctx context.Context) error { return k.ground.untilOne(ctx, k.first()) }

// Move has the node rank higher than all others. A stop of the daemon on the other node
// would be the other way; it leaves clients without the address for longer.
func (k *keepalived) Move(ctx context.Context, to *lab.Node) error {
	k.top++
	const most = 254
	if k.top > most {
		return fmt.Errorf("more than %d moves", most)
	}
	k.rank[to.Name()] = k.top
	if err := k.write(to); err != nil {
		return err
	}
	_, err := to.Output(ctx, "systemctl", "reload", "keepalived")
	return err
}

func (k *keepalived) Mend(ctx context.Context, n *lab.Node) error {
	if !n.Running() {
		// It stays where it is now; it would go back else.
		if held := k.ground.Holders(); len(held) == 1 {
			if err := k.Move(ctx, held[0]); err != nil {
				return err
			}
		}
		if err := n.Start(ctx); err != nil {
			return err
		}
		if err := k.start(ctx, n); err != nil {
			return err
		}
	} else if _, err := n.Output(ctx, "systemctl", "restart", scenario.MTAUnit); err != nil {
		return err
	}
	return k.settled(ctx)
}

func (*keepalived) Notice() string { return `(Script|VRRP_Script).*postfix.*(failed|returned|FAULT)` }

func (*keepalived) Lease() time.Duration { return 0 }

func (*keepalived) Versions() []string { return []string{"keepalived"} }
