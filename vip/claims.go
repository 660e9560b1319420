// SPDX-License-Identifier: Apache-2.0

package vip

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/mailha/mailha/vip/netlink"
)

// watch is the claims watch: for each family a table of the kernel's packet filter which notes, in a set whose
// elements expire, who says by ARP or neighbour advertisement that he has one of our addresses. So claims are
// noticed although no process of ours runs when they are made. Claims of our own interfaces are sorted out when
// they are read, so a change of MAC needs no change of rules.
type watch struct {
	owner    string
	remember time.Duration
}

const (
	claimsSet = "claims"
	maxClaims = 64 // per family; a flood of forged claims must not fill memory
	hookARPIn = 0  // NF_ARP_IN

	nfgenmsgLen = 4
)

// claim is an element of the set.
type claim struct {
	addr netip.Addr
	Rival
}

func (w watch) table(family nftables.TableFamily) *nftables.Table {
	return &nftables.Table{Name: tableName("claims", w.owner), Family: family}
}

func watchFamily(a netip.Addr) nftables.TableFamily {
	if a.Is4() {
		return nftables.TableFamilyARP
	}
	return nftables.TableFamilyIPv6
}

// install replaces the watch by one for places that knows of no claims yet.
func (w watch) install(places []place) error {
	err := commit(func(c *nftables.Conn, start func(*nftables.Table)) error {
		chains := make(map[nftables.TableFamily]*nftables.Chain)
		for _, p := range places {
			t := w.table(watchFamily(p.addr()))
			if chains[t.Family] == nil {
				start(t)
				var err error
				if chains[t.Family], err = w.addChain(c, t); err != nil {
					return err
				}
			}
			chain := chains[t.Family]
			c.AddRule(&nftables.Rule{Table: chain.Table, Chain: chain, Exprs: w.rule(p)})
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("install claims watch: %w", err)
	}
	return nil
}

func (w watch) addChain(c *nftables.Conn, t *nftables.Table) (*nftables.Chain, error) {
	addrType, hook := nftables.TypeIPAddr, nftables.ChainHookRef(hookARPIn)
	if t.Family == nftables.TableFamilyIPv6 {
		addrType, hook = nftables.TypeIP6Addr, nftables.ChainHookInput
	}
	key, err := nftables.ConcatSetType(addrType, nftables.TypeEtherAddr)
	if err != nil {
		return nil, err
	}
	err = c.AddSet(&nftables.Set{
		Table: t, Name: claimsSet, KeyType: key, Concatenation: true, Dynamic: true,
		HasTimeout: true, Timeout: w.remember, Size: maxClaims,
	}, nil)
	if err != nil {
		return nil, err
	}
	return c.AddChain(&nftables.Chain{
		Name: "input", Table: t, Type: nftables.ChainTypeFilter, Hooknum: hook,
		Priority: nftables.ChainPriorityRaw, // before anybody drops the packet
	}), nil
}

// rule notes (address, Ethernet address) of each claim to p.
func (w watch) rule(p place) []expr.Any {
	exprs := []expr.Any{loadMeta(expr.MetaKeyIIFNAME), equal(ifname(p.link.name)...)}
	mac := uint32(reg + 4)
	if p.addr().Is4() {
		mac = reg + 1
		exprs = append(exprs,
			load(expr.PayloadBaseNetworkHeader, 14, 4, reg), equal(p.addr().AsSlice()...), // sender's IP address
			load(expr.PayloadBaseNetworkHeader, 8, 6, mac)) // sender's Ethernet address
	} else {
		exprs = append(exprs,
			loadMeta(expr.MetaKeyL4PROTO), equal(icmpv6),
			load(expr.PayloadBaseTransportHeader, 0, 1, reg), equal(136), // neighbour advertisement
			load(expr.PayloadBaseTransportHeader, 8, 16, reg), equal(p.addr().AsSlice()...), // target
			load(expr.PayloadBaseLLHeader, 6, 6, mac)) // source
	}
	return append(exprs, &expr.Dynset{
		SrcRegKey: reg, SetName: claimsSet, Operation: unix.NFT_DYNSET_OP_UPDATE, Timeout: w.remember,
	})
}

// remove removes the watch; none there is fine.
func (w watch) remove() error {
	err := remove(w.table(nftables.TableFamilyARP), w.table(nftables.TableFamilyIPv6))
	if unusable(err) {
		return nil
	}
	return err
}

// read returns the claims noted for the families of places. An error that matches unix.ENOENT means that the
// watch is not there.
func (w watch) read(ctx context.Context, places []place) ([]claim, error) {
	c, err := netlink.Open(ctx, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("read claims watch: %w", err)
	}
	defer c.Close()
	var families []nftables.TableFamily
	var claims []claim
	for _, p := range places {
		f := watchFamily(p.addr())
		if slices.Contains(families, f) {
			continue
		}
		families = append(families, f)
		list, err := c.Dump(unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_GETSETELEM, w.elementsRequest(f))
		if err != nil {
			return nil, fmt.Errorf("read claims watch: %w", err)
		}
		for _, m := range list {
			claims = append(claims, w.parse(m)...)
		}
	}
	return claims, nil
}

// elementsRequest asks for the elements of the set: a struct nfgenmsg and its attributes, linux/netfilter/nfnetlink.h
// and nf_tables.h.
func (w watch) elementsRequest(family nftables.TableFamily) []byte {
	b := []byte{byte(family), unix.NFNETLINK_V0, 0, 0}
	b = netlink.AppendString(b, unix.NFTA_SET_ELEM_LIST_TABLE, w.table(family).Name)
	return netlink.AppendString(b, unix.NFTA_SET_ELEM_LIST_SET, claimsSet)
}

// parse reads a message of elements.
func (w watch) parse(m []byte) []claim {
	if len(m) < nfgenmsgLen {
		return nil
	}
	var claims []claim
	for kind, list := range netlink.Attributes(m[nfgenmsgLen:]) {
		if kind != unix.NFTA_SET_ELEM_LIST_ELEMENTS {
			continue
		}
		for _, element := range netlink.Attributes(list) {
			if c, ok := w.parseElement(element); ok {
				claims = append(claims, c)
			}
		}
	}
	return claims
}

func (w watch) parseElement(element []byte) (claim, bool) {
	var key []byte
	var expires time.Duration
	for kind, value := range netlink.Attributes(element) {
		switch kind {
		case unix.NFTA_SET_ELEM_KEY:
			for kind, data := range netlink.Attributes(value) {
				if kind == unix.NFTA_DATA_VALUE {
					key = data
				}
			}
		case unix.NFTA_SET_ELEM_EXPIRATION:
			if len(value) == 8 {
				expires = time.Duration(binary.BigEndian.Uint64(value)) * time.Millisecond
			}
		}
	}
	size := len(key) - 8 // the Ethernet address is padded
	if size != 4 && size != 16 {
		return claim{}, false
	}
	a, _ := netip.AddrFromSlice(key[:size])
	return claim{a, Rival{net.HardwareAddr(key[size : size+6]), max(w.remember-expires, 0)}}, true
}
