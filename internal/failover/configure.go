// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"errors"
	"reflect"
	"time"

	"github.com/mailha/mailha/internal/state"
)

// configure follows the configuration that the cluster runs. What it means for what
// runs here, align and the plan find out.
func (e *Engine) configure(u *turn) {
	c := u.snapshot.Config
	switch {
	case e.Parse == nil || c.Rev == e.adopted && c.Rev != 0:
		return
	case c.Rev == 0:
		e.propose(u)
		return
	}
	e.adopted = c.Rev // once: a bad one is told once, and the one before is kept
	parsed, err := e.Parse(c.TOML)
	if err != nil {
		e.Log.Error("the cluster's configuration cannot be used by this node; it keeps the one that it has", "error", err)
		return
	}
	if e.Adopted != nil {
		e.Adopted(c.TOML)
	}
	if !reflect.DeepEqual(parsed, e.Cluster()) {
		e.Log.Info("the cluster's configuration is adopted", "by", c.By, "revision", c.Rev)
		e.cluster.Store(parsed)
	}
}

// propose puts this node's own file where there is none yet. Another node may be
// quicker.
func (e *Engine) propose(u *turn) {
	text, err := e.File()
	if err == nil {
		_, err = e.Store.PutConfig(u.ctx, state.Config{TOML: text, By: "mailhad on " + e.Node.Name, Since: time.Now()})
	}
	if err != nil && !errors.Is(err, state.ErrConflict) {
		e.Log.Warn("the cluster has no configuration yet", "error", err)
	}
}
