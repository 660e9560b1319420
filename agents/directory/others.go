// SPDX-License-Identifier: Apache-2.0

package directory

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mailha/mailha/agents/ldap"
)

// Another replica that takes longer counts as one that cannot be reached. The
// kernel at the other end connects in no time, so that two tries are for packets
// that get lost: after the death of a node this is waited for.
const (
	connectTime  = 300 * time.Millisecond
	connectTries = 2
	answerTime   = 2 * time.Second // all together
)

// other is what was found out about another replica.
type other struct {
	source
	has state
	err error // it could not be asked
}

// hosts are the addresses of all replicas, as far as they are found at once: a name
// server that does not answer must not keep a start waiting.
func (o *OpenLDAP) hosts(ctx context.Context, s settings) []netip.Addr {
	const short = 200 * time.Millisecond
	ctx, cancel := context.WithTimeout(ctx, short)
	defer cancel()
	all := o.sources(s)
	found := make([][]netip.Addr, len(all))
	var looks sync.WaitGroup
	for i, q := range all {
		looks.Go(func() { found[i] = resolve(ctx, q.url.Host) })
	}
	looks.Wait()
	addrs := slices.Concat(found...)
	slices.SortFunc(addrs, netip.Addr.Compare)
	return slices.Compact(addrs)
}

// others lists the other replicas.
func (o *OpenLDAP) others(ctx context.Context, s settings) ([]source, error) {
	all := o.sources(s)
	own, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("tell this replica from the others: %w", err)
	}
	return slices.DeleteFunc(all, func(q source) bool { return isHere(ctx, q.url.Host, own) }), nil
}

// sources are all replicas that are known, this one perhaps among them.
func (o *OpenLDAP) sources(s settings) []source {
	var all []source
	for _, d := range s.databases {
		for _, src := range d.sources {
			if !slices.ContainsFunc(all, func(q source) bool { return q.url == src.url }) {
				all = append(all, src)
			}
		}
	}
	if len(o.peers) > 0 {
		named := make([]source, len(o.peers))
		for i, url := range o.peers {
			named[i] = source{url: url}
			if j := slices.IndexFunc(all, func(q source) bool { return q.url == url }); j >= 0 {
				named[i] = all[j]
			}
		}
		all = named
	}
	return all
}

// isHere says whether one of the host's addresses is one of this node's. A name
// that is not found is nobody's, which the attempt to ask it tells.
func isHere(ctx context.Context, host string, own []net.Addr) bool {
	addrs := resolve(ctx, host)
	return slices.ContainsFunc(own, func(a net.Addr) bool {
		p, err := netip.ParsePrefix(a.String())
		return err == nil && slices.Contains(addrs, p.Addr().Unmap())
	})
}

// survey asks the others at the same time what they have. It does not wait for
// the rest when one has all of enough, unless that is nil.
func survey(ctx context.Context, sources []source, s settings, enough state) []other {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	found := make([]other, len(sources))
	var asked sync.WaitGroup
	for i, src := range sources {
		asked.Go(func() {
			has, err := src.ask(ctx, s)
			found[i] = other{source: src, has: has, err: err}
			if err == nil && enough != nil && !has.lacks(enough) {
				cancel()
			}
		})
	}
	asked.Wait()
	return found
}

// ask connects anew each time: what hangs is given up with its connection.
func (src source) ask(ctx context.Context, s settings) (state, error) {
	cfg, err := src.tlsConfig()
	if err != nil {
		return nil, err
	}
	c, err := src.connect(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if src.starttls {
		if err := c.StartTLS(cfg); err != nil {
			return nil, err
		}
	}
	if err := src.login(c); err != nil {
		return nil, err
	}
	return readState(c, s)
}

func (src source) connect(ctx context.Context, cfg *tls.Config) (c *ldap.Conn, err error) {
	for range connectTries {
		if c, err = ldap.Dial(ctx, src.url, connectTime, cfg); err == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
	}
	return c, err
}

// readState reads contextCSN of each database. One without it has no changes, or
// does not show them.
func readState(c *ldap.Conn, s settings) (state, error) {
	has := state{}
	for _, d := range s.databases {
		e, err := c.Read(d.suffix, "contextCSN")
		if err != nil && !errors.Is(err, ldap.NoSuchObject) {
			return nil, err
		}
		if has[d.suffix], err = parseCSNs(e.Values("contextCSN")); err != nil {
			return nil, err
		}
	}
	return has, nil
}

// silent says whether a replica shows no changes at all of a database of which we
// have some.
func (has state) silent(own state) bool {
	for suffix, c := range own {
		if len(c) > 0 && len(has[suffix]) == 0 {
			return true
		}
	}
	return false
}

var errSilent = errors.New("shows no contextCSN: it is empty, or who asks may not read that")

// reached divides the others into those that answered and those that did not.
func reached(all []other, own state) (live, lost []other) {
	for _, q := range all {
		if q.err == nil && q.has.silent(own) {
			q.err = fmt.Errorf("%s: %w", q, errSilent)
		}
		if q.err == nil {
			live = append(live, q)
		} else {
			lost = append(lost, q)
		}
	}
	return live, lost
}

// together is what one of them has.
func together(all []other) state {
	has := state{}
	for _, q := range all {
		has = has.join(q.has)
	}
	return has
}

func names(all []other) string {
	texts := make([]string, len(all))
	for i, q := range all {
		texts[i] = q.String()
	}
	return strings.Join(texts, ", ")
}
