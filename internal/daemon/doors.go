// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"log/slog"
	"net"
	"reflect"
	"time"

	"github.com/mailha/mailha/internal/api"
	"github.com/mailha/mailha/resources"
)

// door is a way in that the configuration may ask for beside the unix socket. What
// cannot be opened is tried again, and never keeps services from running.
type door struct {
	name string
	// wanted is what of the configuration the door depends on; nil: it is not wanted.
	wanted func(resources.API) any
	listen func(context.Context, resources.API) (net.Listener, error)
	serve  func(context.Context, net.Listener) error
}

func doors(server *api.Server) []door {
	return []door{
		{
			name: "API",
			wanted: func(a resources.API) any {
				if !a.Listen.IsValid() {
					return nil
				}
				return [...]string{a.Listen.String(), a.CertFile, a.KeyFile, a.ClientCAFile}
			},
			listen: api.ListenTLS, serve: server.Serve,
		},
		{
			name: "metrics",
			wanted: func(a resources.API) any {
				if !a.Metrics.IsValid() {
					return nil
				}
				return a.Metrics
			},
			listen: func(ctx context.Context, a resources.API) (net.Listener, error) {
				return new(net.ListenConfig).Listen(ctx, "tcp", a.Metrics.String())
			},
			serve: server.ServeMetrics,
		},
	}
}

// keep has the door as the configuration wants it at any time, until ctx ends.
func (d door) keep(ctx context.Context, configured func() resources.API, log *slog.Logger) {
	const each, again = time.Second, 5 // looks, and how many of them until another try
	log = log.With("door", d.name)
	tick := time.NewTicker(each)
	defer tick.Stop()
	var has any
	said := ""
	shut := func() {}
	defer func() { shut() }()
	for look := 0; ; look++ {
		a := configured()
		if want := d.wanted(a); !reflect.DeepEqual(want, has) && (said == "" || look%again == 0) {
			shut()
			has, shut = nil, func() {}
			if want == nil {
				said = ""
			} else if l, err := d.listen(ctx, a); err == nil {
				log.Info("opened", "address", l.Addr())
				has, said, shut = want, "", d.open(ctx, l, log)
			} else if text := err.Error(); text != said {
				said = text
				log.Error("nobody can come in there; it is tried again", "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// open serves until what it returns is called, which waits for the end of it.
func (d door) open(ctx context.Context, l net.Listener, log *slog.Logger) (shut func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := d.serve(ctx, l); err != nil {
			log.Error("nobody is let in any more", "error", err)
		}
	}()
	return func() { cancel(); <-done }
}
