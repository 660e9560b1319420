// SPDX-License-Identifier: Apache-2.0

package api

import (
	"fmt"
	"time"
)

// A certificate is renewed when eight months are left. One that has less than these has not
// been, though it was tried many times.
const (
	expiresSoon = 180 * 24 * time.Hour
	expiresNow  = 30 * 24 * time.Hour
)

// certificate tells of this node's own if it ends: nobody lets the node in then.
func (j *judge) certificate() {
	left := j.expires.Sub(j.now)
	if j.expires.IsZero() || left > expiresSoon {
		return
	}
	severity, what := SeverityWarning, "ends"
	if left < expiresNow {
		severity = SeverityError
	}
	if left < 0 {
		what = "has ended"
	}
	j.add(severity, Problem{
		What: fmt.Sprintf("the certificate of %s %s on %s, and could not be renewed", j.node, what, j.expires.Format(time.DateOnly)), Node: j.node,
		Hint: "see why, and whether the clock is right: journalctl -u mailhad --grep certificate",
	})
}
