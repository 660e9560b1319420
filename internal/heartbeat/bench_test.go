// SPDX-License-Identifier: Apache-2.0

package heartbeat

import (
	"testing"
	"time"
)

func BenchmarkSay(b *testing.B) {
	p, cluster, k := example(), clusterID("mail"), key(1)
	for b.Loop() {
		p.encode(nil, cluster, k)
	}
}

func BenchmarkHear(b *testing.B) {
	nodes := []Node{
		{Name: "n1", Life: 1, Addresses: addresses(0)}, {Name: "n2", Life: 2, Key: public(1), Addresses: addresses(1)},
		{Name: "n3", Life: 3, Key: public(2), Addresses: addresses(2)},
	}
	m := newMind("n1", Defaults())
	now := noon
	m.follow(nodes, now)
	cluster := clusterID("mail")
	p := packet{life: 2, interval: 50 * ms, of: []sight{{life: 1, state: Alive, echo: 1}, {life: 3, state: Alive, echo: 1}}}
	var all [][]byte
	for range 1000 {
		p.sequence++
		p.sent++
		all = append(all, p.encode(nil, cluster, key(1)))
	}
	i := 0
	for b.Loop() {
		if i++; i == len(all) {
			i = 0
			m.follow(nodes[:1], now)
			m.follow(nodes, now)
		}
		now = now.Add(time.Millisecond)
		m.hear(address(0, 0), address(1, 0), all[i], cluster, now)
	}
	if m.ignored[Forged]+m.ignored[Unaware] > 0 {
		b.Error(m.ignored)
	}
}

func BenchmarkJudge(b *testing.B) {
	m := newMind("n1", Defaults())
	now := noon
	m.follow([]Node{{Name: "n1", Life: 1}, {Name: "n2", Life: 2}, {Name: "n3", Life: 3}}, now)
	for b.Loop() {
		m.judge(now)
	}
}
