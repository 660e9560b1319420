// SPDX-License-Identifier: Apache-2.0

package quorum

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
)

// What stands in the way of a member, as far as an operator acts on it differently.
var (
	// ErrNoData: the data directory is empty, and nothing says that this node
	// belongs to a cluster. It has to be founded or joined first.
	ErrNoData = errors.New("no cluster is known here")
	// ErrDiskLost: the data directory is empty, but the cluster has this node as
	// a member that had data. It must be replaced; it may not come back with none.
	ErrDiskLost = errors.New("this member has lost its data")
	// ErrRemoved: the others have removed this member, whose data are of no use any more.
	ErrRemoved = errors.New("this member was removed from the cluster")
)

// Member is this node's running member of etcd. Make it by Start.
type Member struct {
	cfg    Config
	etcd   *embed.Etcd
	client *clientv3.Client
	own    *clientv3.Client // of this member alone

	once sync.Once
	done chan struct{} // closed when it has failed or was closed
	err  error         // set before done is closed

	removed atomic.Bool // as the others say; its own data may not
	disk    disk
	stop    context.CancelFunc
	tending sync.WaitGroup
	closing sync.Once
	closed  chan struct{}
}

// Start runs the member that the data directory holds, and returns when it takes
// requests; one that must wait for others to be a majority takes none, but is
// returned all the same when ctx allows no more waiting for it: see Ready.
func Start(ctx context.Context, cfg Config) (*Member, error) {
	cfg, err := cfg.checked()
	if err != nil {
		return nil, err
	}
	initial := ""
	if !initialised(cfg.Dir) {
		if initial, err = look(ctx, cfg); err != nil {
			return nil, fmt.Errorf("start etcd: %w", err)
		}
		if err := forget(cfg.Dir); err != nil {
			return nil, fmt.Errorf("start etcd: %w", err)
		}
	} else if err := compare(ctx, cfg); err != nil {
		return nil, fmt.Errorf("start etcd: %w", err)
	}
	m, err := start(ctx, cfg, initial, embed.ClusterStateFlagExisting)
	if err != nil {
		return nil, err
	}
	if err := m.identify(); err != nil {
		cfg.Log.Warn("the cluster's number could not be kept beside its data: data of an older cluster would not be known as such", "error", err)
	}
	return m, nil
}

// Rescue makes a cluster of this member alone out of the data that it has, when
// the majority is lost for good. It throws nothing of these data away. The other
// members must never run again with the data that they have: two clusters would
// be two owners of everything. Afterwards they are replaced, one by one.
func Rescue(ctx context.Context, cfg Config) error {
	cfg, err := cfg.checked()
	if err != nil {
		return err
	}
	if !initialised(cfg.Dir) {
		return fmt.Errorf("%w: there is nothing in %s to make a cluster of", ErrNoData, cfg.Dir)
	}
	cfg.alone, cfg.Others = true, nil
	m, err := start(ctx, cfg, "", embed.ClusterStateFlagExisting)
	if err != nil {
		return err
	}
	defer m.Close(ctx)
	select {
	case <-m.Ready():
	case <-ctx.Done():
		return fmt.Errorf("make a cluster of this member alone: %w", ctx.Err())
	}
	if _, err := m.client.Get(ctx, "health"); err != nil {
		return fmt.Errorf("the cluster of this member alone does not answer: %w", err)
	}
	return m.Close(ctx)
}

// initialised says whether there are data of a member.
func initialised(dir string) bool {
	names, err := filepath.Glob(filepath.Join(dir, "member", "wal", "*.wal"))
	return err == nil && len(names) > 0
}

func start(ctx context.Context, cfg Config, cluster, state string) (*Member, error) {
	if err := cfg.dir(); err != nil {
		return nil, err
	}
	m := &Member{cfg: cfg, done: make(chan struct{}), closed: make(chan struct{})}
	type result struct {
		etcd *embed.Etcd
		err  error
	}
	started := make(chan result, 1)
	log := logger{slog: cfg.Log, died: m.fail, removed: func() { m.removed.Store(true) }}
	// etcd gives its constructor no context, and may end the goroutine by its log.
	go func() {
		r := result{err: errors.New("etcd ended while it started")}
		defer func() { started <- r }()
		r.etcd, r.err = embed.StartEtcd(cfg.member(log, cluster, state))
	}()
	var r result
	select {
	case r = <-started:
	case <-ctx.Done():
		go func() { // it cannot be called back, but must not stay
			if r := <-started; r.etcd != nil {
				r.etcd.Close()
			}
		}()
		return nil, fmt.Errorf("start etcd: %w", ctx.Err())
	}
	if r.err != nil {
		select {
		case <-m.done:
			r.err = m.err // says why it gave up
		default:
		}
		return nil, fmt.Errorf("start etcd in %s: %w", cfg.Dir, r.err)
	}
	m.etcd = r.etcd
	// One that has just joined is asked nothing: it answers only that it learns.
	own, urls := cfg.url(cfg.Client), cfg.Others
	joins := cluster != "" && state == embed.ClusterStateFlagExisting
	if len(urls) == 0 || !joins && !m.Learner() {
		urls = []string{own.String()} // see follow
	}
	client, err := Dial(Endpoints{URLs: urls, TLS: cfg.TLS, Log: cfg.Log})
	if err != nil {
		return nil, errors.Join(err, m.Close(ctx))
	}
	m.client = client
	if m.own, err = Dial(Endpoints{URLs: []string{own.String()}, TLS: cfg.TLS, Log: cfg.Log}); err != nil {
		return nil, errors.Join(err, m.Close(ctx))
	}
	tending, stop := context.WithCancel(context.Background())
	m.stop = stop
	m.tending.Go(m.listen)
	m.tending.Go(func() { m.tend(tending) })
	select {
	case <-m.etcd.Server.ReadyNotify():
	case <-ctx.Done():
	case <-m.done:
		return nil, errors.Join(fmt.Errorf("start etcd in %s: %w", cfg.Dir, m.err), m.Close(ctx))
	}
	return m, nil
}

// ID is etcd's number of the member, which changes when it is replaced.
func (m *Member) ID() uint64 { return uint64(m.etcd.Server.MemberID()) }

// Ready is closed when the member has joined the others and takes requests.
func (m *Member) Ready() <-chan struct{} { return m.etcd.Server.ReadyNotify() }

// Client asks the cluster: this member, and whichever other one answers while this one
// does not. It is closed with the member.
func (m *Member) Client() *clientv3.Client { return m.client }

// Done is closed when the member has failed or was closed; Err says which. One
// that failed because of its disk cannot be closed any more, nor another be
// started beside it: the program should let go of what it owns, and then end.
func (m *Member) Done() <-chan struct{} { return m.done }

// Err is why the member failed: nil as long as it runs, and if it was closed.
func (m *Member) Err() error {
	select {
	case <-m.done:
		return m.err
	default:
		return nil
	}
}

func (m *Member) fail(err error) {
	m.once.Do(func() {
		m.err = err
		close(m.done)
	})
}

// listen notices that etcd ends by itself: removed by the others, or by an error.
func (m *Member) listen() {
	select {
	case err := <-m.etcd.Err():
		m.fail(m.reason(err))
	case <-m.etcd.Server.StopNotify():
		m.fail(m.reason(errors.New("etcd has stopped; its log says why")))
	case <-m.done:
	}
}

func (m *Member) reason(err error) error {
	if server := m.etcd.Server; m.removed.Load() || server.Cluster().Member(server.MemberID()) == nil {
		return fmt.Errorf("%w; to come back, it needs an empty directory instead of %s, and \"mailhactl cluster join\"", ErrRemoved, m.cfg.Dir)
	}
	return fmt.Errorf("etcd failed: %w", err)
}

// Close ends the member if it can be done before ctx ends, a few seconds at most
// where all is well. Further calls
// wait for the first.
func (m *Member) Close(ctx context.Context) error {
	m.fail(nil)
	m.closing.Do(func() {
		go func() {
			defer close(m.closed)
			if m.client != nil {
				if m.stop != nil {
					m.stop()
				}
				m.client.Close() // says only that its context ended
				if m.own != nil {
					m.own.Close()
				}
				m.tending.Wait()
			}
			select {
			case <-m.Ready():
			default:
				// Its Close would wait for servers that never came to serve.
				m.etcd.Server.Stop()
			}
			m.etcd.Close()
		}()
	})
	select {
	case <-m.closed:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("close etcd: %w", ctx.Err())
	}
}
