// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"
	"strings"

	"github.com/mailha/mailha/internal/lab"
	"github.com/mailha/mailha/internal/scenario"
)

// watch is one monitor.
type watch struct {
	name  string // in the table
	agent agent
	depth int
}

// subject is a service with its address, those who watch it, and what befalls it.
type subject struct {
	service string
	addrs   []string // of the service
	ours    agent    // given them below
	roles   bool
	theirs  agent // for the same service
	depths  []int // of ours
	peers   []watch
	prepare string // on the node, before the start
	other   string // on the other node
	faults  []fault
}

// fault is planted and mended by shell scripts.
type fault struct {
	name        string
	plant, mend string
	elsewhere   bool // on the other node
	restart     bool // the service is started, by each set of agents, while it is there
}

// ipaddr2 watches an address that is there.
func ipaddr2(addr string) watch {
	return watch{name: "heartbeat:IPaddr2", agent: agent{"heartbeat/IPaddr2", map[string]string{"ip": addr, "cidr_netmask": "32", "nic": "eth0"}}}
}

// filesystem watches what most clusters have beside either set of agents.
func filesystem(disk int, dir string) []watch {
	a := agent{"heartbeat/Filesystem", map[string]string{"device": lab.Disk(disk), "directory": dir, "fstype": "ext4"}}
	return []watch{{"heartbeat:Filesystem", a, 0}, {"heartbeat:Filesystem at depth 20", a, 20}}
}

// subjects are the services that are there.
func subjects() []subject {
	all := []subject{
		{
			service: "vip", addrs: []string{"10.77.0.60"}, ours: agent{Type: "mailha/vip"}, depths: []int{0},
			peers:  []watch{ipaddr2("10.77.0.60")},
			faults: []fault{claimed("10.77.0.60")},
		},
		{
			service: "mta (Postfix)", addrs: []string{scenario.MTAAddr4, scenario.MTAAddr6}, ours: mta().with("drain_timeout", "1s"), theirs: postfix(), depths: []int{0, 10, 20},
			peers:   append([]watch{{"heartbeat:postfix", postfix(), 0}, ipaddr2(scenario.MTAAddr4)}, filesystem(1, "/srv/mail")...),
			prepare: `postconf -c /etc/postfix-mx -e smtpd_tls_security_level=may smtpd_tls_cert_file=/etc/bench/live.pem smtpd_tls_key_file=/etc/bench/live.pem`,
			other:   own(scenario.DirectoryAddr4),
			faults:  mtaFaults(),
		},
		{
			service: "store (Dovecot)", addrs: []string{scenario.StoreAddr4, scenario.StoreAddr6}, ours: store(), theirs: dovecot(), depths: []int{0, 10, 20},
			peers:   append([]watch{{"heartbeat:dovecot", dovecot(), 0}, ipaddr2(scenario.StoreAddr4)}, filesystem(2, "/srv/store")...),
			prepare: usualDovecot + `; sed -i 's|^ssl = no|ssl = yes\nssl_cert = </etc/bench/live.pem\nssl_key = </etc/bench/live.pem|' /etc/dovecot-store/dovecot.conf`,
			other:   own(scenario.DirectoryAddr4),
			faults:  storeFaults(),
		},
		{
			service: "directory (OpenLDAP)", addrs: []string{scenario.DirectoryAddr4, scenario.DirectoryAddr6}, ours: directory(), roles: true, theirs: slapd(), depths: []int{0, 10, 20},
			peers:   append([]watch{{"heartbeat:slapd", slapd().with("services", "ldap://"+scenario.DirectoryAddr4), 0}, ipaddr2(scenario.DirectoryAddr4)}, filesystem(3, scenario.DirectoryData)...),
			prepare: offerLDAPTLS,
			other:   disown(scenario.DirectoryAddr4),
			faults:  directoryFaults(),
		},
	}
	var there []subject
	for _, s := range all {
		if s.ours = s.ours.with("ip", strings.Join(s.addrs, " ")); s.ours.shipped() {
			there = append(there, s)
		}
	}
	return there
}

// watches are ours and theirs.
func (s subject) watches() (ours, theirs []watch) {
	for _, depth := range s.depths {
		ours = append(ours, watch{fmt.Sprintf("mailha at depth %d", depth), s.ours, depth})
	}
	return ours, s.peers
}
