// SPDX-License-Identifier: Apache-2.0

package state

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
)

// lender answers for etcd's leases: a server whose answers can be counted and chosen.
type lender struct {
	etcdserverpb.UnimplementedLeaseServer
	asked  atomic.Int64
	answer func(n int64) (ttl int64, err error)
}

func (l *lender) LeaseKeepAlive(stream etcdserverpb.Lease_LeaseKeepAliveServer) error {
	req, err := stream.Recv()
	if err != nil {
		return err
	}
	ttl, err := l.answer(l.asked.Add(1))
	if err != nil {
		return err
	}
	return stream.Send(&etcdserverpb.LeaseKeepAliveResponse{ID: req.ID, TTL: ttl})
}

func lend(t *testing.T, answer func(n int64) (int64, error)) (*lender, *clientv3.Client) {
	t.Helper()
	at, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l, s := &lender{answer: answer}, grpc.NewServer()
	etcdserverpb.RegisterLeaseServer(s, l)
	go func() { _ = s.Serve(at) }()
	t.Cleanup(s.Stop)
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{at.Addr().String()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return l, c
}

// An etcd that refuses is asked again, but not as fast as a processor can.
func TestKeepAliveTakesBreath(t *testing.T) {
	const patience = 500 * time.Millisecond
	l, c := lend(t, func(int64) (int64, error) { return 0, rpctypes.ErrGRPCNoLeader })
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := keepAlive(ctx, c, 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the end of its time", err)
	}
	if n := l.asked.Load(); n < 2 || n > int64(patience/breath)+1 {
		t.Errorf("asked %d times within %s", n, patience)
	}
}

func TestKeepAlive(t *testing.T) {
	for name, tt := range map[string]struct {
		answer func(n int64) (int64, error)
		ttl    time.Duration
		err    error
		asked  int64
	}{
		"renewed": {func(int64) (int64, error) { return 7, nil }, 7 * time.Second, nil, 1},
		"an election goes by": {func(n int64) (int64, error) {
			if n < 4 {
				return 0, rpctypes.ErrGRPCNoLeader
			}
			return 7, nil
		}, 7 * time.Second, nil, 4},
		"it has ended": {func(int64) (int64, error) { return 0, nil }, 0, rpctypes.ErrLeaseNotFound, 1},
	} {
		t.Run(name, func(t *testing.T) {
			l, c := lend(t, tt.answer)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			ttl, err := keepAlive(ctx, c, 1)
			if ttl != tt.ttl || !errors.Is(err, tt.err) {
				t.Errorf("got %v and %v, want %v and %v", ttl, err, tt.ttl, tt.err)
			}
			if n := l.asked.Load(); n != tt.asked {
				t.Errorf("asked %d times, want %d", n, tt.asked)
			}
		})
	}
	t.Run("nobody is there", func(t *testing.T) {
		c, err := clientv3.New(clientv3.Config{Endpoints: []string{"127.0.0.1:1"}})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if _, err := keepAlive(ctx, c, 1); err == nil {
			t.Error("renewed by nobody")
		}
	})
}
