// SPDX-License-Identifier: Apache-2.0

package labtests

import (
	"strings"
	"testing"
	"time"

	"github.com/mailha/mailha/internal/lab"
)

// A stop does not wait for clients of an address that somebody has taken away: it is the
// stop that they wait for, and the start after it.
func TestAddressGone(t *testing.T) {
	p := newPlace(t, lab.Config{})
	n := p.node
	r := mta("drain_timeout", "20s")
	r.start(t, n)
	busy := connect(t, p.Client(), vip4)
	busy.begin("unfinished@example.test")
	run(t, n, "ip addr del "+vip4+"/32 dev eth0; ip addr del "+vip6+"/128 dev eth0")
	if a := r.do(t, n, "monitor", recurring); a.code == success {
		t.Errorf("nobody misses the address: %s", a)
	}
	const most = 5 * time.Second
	if a := r.must(t, n, "stop", call{}, success); a.took > most || !strings.Contains(a.log, "address is gone") {
		t.Errorf("it waited for clients that it cannot hear: %s", a)
	}
	bare(t, n)
	r.start(t, n)
}
