// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"log/slog"

	"github.com/mailha/mailha/internal/enrol"
	"github.com/mailha/mailha/internal/kinds"
	"github.com/mailha/mailha/resources"
)

// latest is the configuration that this node starts with: that which the cluster ran when
// it was last here, unless its file was edited since or is of another cluster.
func (d *Daemon) latest(own *resources.Cluster) *resources.Cluster {
	copied := enrol.Applied(own)
	text, err := enrol.LatestApplied(d.File, copied)
	if err != nil {
		d.Log.Warn("this node starts with its file, as what the cluster ran last cannot be read", "error", err)
		return own
	}
	if text == "" {
		return own
	}
	c, err := resources.Parse(copied, []byte(text), kinds.Of(d.Types))
	if err != nil {
		d.Log.Warn("this node starts with its file, as what the cluster ran last cannot be used", "error", err)
		return own
	}
	if _, here := c.Node(d.Node); !here || c.Name != own.Name || enrol.Applied(c) != copied {
		return own
	}
	return c
}

// keeper writes down what the cluster runs, one after the other, beside the loop.
type keeper chan string

func keep(file string, log *slog.Logger) keeper {
	k := make(keeper, 1)
	go func() {
		for text := range k {
			if err := enrol.KeepApplied(file, text); err != nil {
				log.Warn("the next start goes by an older configuration until the cluster is reached", "error", err)
			}
		}
	}()
	return k
}

// adopted replaces what is not written yet. One goroutine alone calls it.
func (k keeper) adopted(text string) {
	select {
	case <-k:
	default:
	}
	k <- text
}
