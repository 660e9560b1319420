// SPDX-License-Identifier: Apache-2.0

package state

import (
	"context"
	"errors"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// breath is the pause before etcd is asked again that is not available: shorter than any
// election takes.
const breath = 20 * time.Millisecond

// keepAlive renews a lease, and asks as long as etcd says that it will be back, until ctx
// ends. The client's own KeepAliveOnce does that without a pause: a node whose etcd was
// refused kept a processor busy, and did so with the priority of real time.
func keepAlive(ctx context.Context, client *clientv3.Client, id clientv3.LeaseID) (time.Duration, error) {
	for {
		ttl, err := askOnce(ctx, client, id)
		if code := status.Code(err); code != codes.Unavailable && code != codes.Internal {
			return ttl, clientv3.ContextError(ctx, err)
		}
		t := time.NewTimer(breath)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return 0, errors.Join(ctx.Err(), err)
		}
	}
}

func askOnce(ctx context.Context, client *clientv3.Client, id clientv3.LeaseID) (time.Duration, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := etcdserverpb.NewLeaseClient(client.ActiveConnection()).LeaseKeepAlive(ctx)
	if err != nil {
		return 0, err
	}
	// With io.EOF the reason is what is received.
	_ = stream.Send(&etcdserverpb.LeaseKeepAliveRequest{ID: int64(id)})
	resp, err := stream.Recv()
	if err != nil {
		return 0, err
	}
	if resp.TTL <= 0 {
		return 0, rpctypes.ErrLeaseNotFound
	}
	return time.Duration(resp.TTL) * time.Second, nil
}
