// SPDX-License-Identifier: Apache-2.0

package unit

import (
	"context"
	"slices"

	"github.com/godbus/dbus/v5"
)

// masters are the cluster managers that units may be ordered before, so that at a
// shutdown they are stopped by the manager and not under it.
func masters() []string {
	return []string{"mailhad.service", "pacemaker.service", "pacemaker_remote.service"}
}

// unblock lets a stop go on that waits for the end of the manager that asks for it: what
// is ordered before a unit is stopped after it (systemd.unit(5), Before=), and so each
// would wait for the other. The job that is there already is merged with one that minds
// no order; it keeps its number. A bus that is lost shows to whoever waits for the job.
func (j *job) unblock(ctx context.Context, c *conn) {
	if j.op != "stop" {
		return
	}
	var units []unitInfo
	if err := c.manage(ctx, "ListUnitsByNames", []any{masters()}, &units); err != nil {
		return
	}
	var ending []string
	for _, u := range units {
		if slices.Contains(masters(), u.Name) && (u.JobType == "stop" || u.JobType == "restart") {
			ending = append(ending, u.Name)
		}
	}
	if len(ending) == 0 {
		return
	}
	var before []string
	call := c.send(ctx, unitPath(j.before.Name), propsFace+".Get", unitFace, "Before")
	if err := storeProperty(<-call.Done, &before); err != nil {
		return
	}
	if !slices.ContainsFunc(ending, func(name string) bool { return slices.Contains(before, name) }) {
		return
	}
	var path dbus.ObjectPath
	_ = c.manage(ctx, j.method, []any{j.before.Name, "ignore-dependencies"}, &path)
}
