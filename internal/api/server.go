// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/mailha/mailha/internal/clock"
	"github.com/mailha/mailha/internal/state"
	"github.com/mailha/mailha/resources"
)

var errYet = errors.New("nothing has been heard yet")

// wishes is where operators' wishes go.
type wishes interface {
	PutWish(ctx context.Context, w state.Wish) (state.Wish, error)
	EndWish(ctx context.Context, w state.Wish, by, why string) error
}

// records is what operators change at once.
type records interface {
	PutConfig(ctx context.Context, c state.Config) (state.Config, error)
	Forgive(ctx context.Context, seen state.Group, resource, by string) (state.Group, error)
	Release(ctx context.Context, seen state.Group, by string) (state.Group, error)
}

// history is what happened.
type history interface {
	Events(ctx context.Context, limit int) ([]state.Event, error)
}

// Store is what the server needs of a [state.Store].
type Store interface {
	wishes
	records
	history
}

// Options are what a server needs.
type Options struct {
	Node    string // this one
	Version string // of mailha
	Store   Store
	// Snapshot is the latest state, and a channel that is closed when there is a
	// newer one; see Feed.
	Snapshot func() (state.Snapshot, <-chan struct{})
	// Cluster is the configuration that this node runs; nil: none yet. It is not
	// called during a request more than once.
	Cluster func() *resources.Cluster
	Survey  Survey
	Kinds   resources.Kinds
	Senses
	Clock   clock.Clock      // nil: clock.Boot
	Now     func() time.Time // nil: time.Now
	Metrics http.Handler     // of /metrics; nil: none
	Log     *slog.Logger     // nil: nowhere
}

// Server is the API. Its methods may be called from several goroutines.
type Server struct {
	Options
	mux *http.ServeMux
}

// Bounds of a request, and of all of them.
const (
	maxBody       = 64 << 10
	maxConfigBody = 4 << 20 // a file of 1 MiB, in JSON
	maxConns      = 128
	patience      = 8 * time.Second // with etcd
	settleTime    = 3 * time.Second // until this node has seen its own change
	readTime      = 20 * time.Second
	writeTime     = 30 * time.Second
	grace         = 2 * time.Second // for answers under way when the server ends
)

// New makes a server.
func New(opt Options) *Server {
	if opt.Clock == nil {
		opt.Clock = clock.Boot{}
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{Options: opt, mux: http.NewServeMux()}
	s.routes()
	return s
}

// Serve answers on a listener until ctx ends, which closes it. Who asks is found
// by the connection: the credentials of a unix socket's peer, or the common name
// of a client's certificate. Every other caller only looks.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	return s.serve(ctx, l, s)
}

// ServeMetrics answers /metrics, and nothing else, on a listener until ctx ends.
func (s *Server) ServeMetrics(ctx context.Context, l net.Listener) error {
	mux := http.NewServeMux()
	if s.Metrics != nil {
		mux.Handle("GET /metrics", s.Metrics)
	}
	return s.serve(ctx, limit(l, maxConns), mux)
}

func (s *Server) serve(ctx context.Context, l net.Listener, h http.Handler) error {
	// Streams end with the server.
	base, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	srv := &http.Server{
		Handler: h, ReadHeaderTimeout: readTime, ReadTimeout: readTime, WriteTimeout: writeTime, IdleTimeout: time.Minute,
		MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug),
		BaseContext: func(net.Listener) context.Context { return base },
		ConnContext: withCaller,
	}
	over := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(over)
		end()
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
		defer cancel()
		if srv.Shutdown(last) != nil {
			srv.Close()
		}
	})
	err := srv.Serve(l)
	if stop() {
		srv.Close()
		return err
	}
	<-over
	return nil
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// look is the state as it is now.
func (s *Server) look() (*view, <-chan struct{}) {
	snapshot, newer := s.Snapshot()
	v := look(snapshot, s.Cluster(), s.Node, s.Now().UTC().Truncate(time.Millisecond), s.Clock.Now(), s.Survey)
	v.hearts, v.checks, v.expires = ears{s.hearts()}, s.checks(), s.expires()
	return v, newer
}
