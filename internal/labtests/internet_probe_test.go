// SPDX-License-Identifier: Apache-2.0

package labtests

import "testing"

// What lacks on a node whose front door has died there does not mean that nothing is here: the
// addresses are.
func TestProbeOfInternetWhileHeld(t *testing.T) {
	n, r := newFront(t).node, internet("protocols", "smtp")
	r.start(t, n)
	run(t, n, "postconf -c /etc/postfix-front -e smtp_bind_address= && kill -9 $(cat /srv/front/queue/pid/master.pid)")
	await(t, patience, "Postfix to be gone", func() bool { return len(pids(t, n, "master")) == 0 })
	r.must(t, n, "monitor", call{}, generic)
	r.stop(t, n)
	bare(t, n)
	r.must(t, n, "monitor", call{}, notRunning)
}
