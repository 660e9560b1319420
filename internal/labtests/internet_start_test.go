// SPDX-License-Identifier: Apache-2.0

package labtests

import (
	"strings"
	"testing"
	"time"

	"github.com/mailha/mailha/internal/scenario"
)

// A part that takes connections and says nothing does not keep the others from
// their clients.
func TestInternetWithAMutePart(t *testing.T) {
	p := newFront(t)
	n, r := p.node, internet("protocols", "smtp imap", "imap_unit", "mute.service")
	run(t, n, `printf '[Service]\nExecStart=python3 -c "import signal, socket; s = socket.create_server((\\"\\", 143)); signal.pause()"\n' >/etc/systemd/system/mute.service
		systemctl daemon-reload`)
	const timeout = 21 * time.Second // of which a third is left for what comes after
	if a := r.must(t, n, "start", call{timeout: timeout}, success); a.took > timeout*3/4 {
		t.Errorf("hardly in time: %s", a)
	}
	greets(t, p, "25")
	if a := r.do(t, n, "monitor", recurring); a.code != degraded || !strings.Contains(a.reason, "imap") {
		t.Errorf("the IMAP proxy says nothing: %s", a)
	}
	r.stop(t, n)
	bare(t, n)
}

// Postfix finds Dovecot when it asks for passwords, however long that takes to start.
func TestInternetStartsPostfixLast(t *testing.T) {
	p := newFront(t)
	n, r := p.node, internet()
	run(t, n, `dir='/etc/systemd/system/`+scenario.FrontUnit+`.d'; mkdir -p "$dir"; printf '[Service]\nExecStartPre=sleep 2\n' >"$dir/slow.conf"; systemctl daemon-reload`)
	r.start(t, n)
	r.monitor(t, n, 10)
	r.stop(t, n)
	bare(t, n)
}
