// SPDX-License-Identifier: Apache-2.0

package quorum

import (
	"context"
	"errors"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Condition is a member as it says itself that it is.
type Condition struct {
	Peer
	Leads   bool
	Lost    bool   // it knows of no leader
	Size    int64  // of its database, in bytes
	Version string // of etcd
	Err     error  // it does not answer: nothing but Peer is known
}

// errNotStarted: a member was admitted, and has never run.
var errNotStarted = errors.New("it has not started yet")

// Conditions asks all members at once, and waits for none longer than two seconds.
func Conditions(ctx context.Context, client *clientv3.Client) ([]Condition, error) {
	known, err := Peers(ctx, client)
	if err != nil {
		return nil, err
	}
	all := make([]Condition, len(known))
	var asked sync.WaitGroup
	for i, p := range known {
		asked.Go(func() { all[i] = conditionOf(ctx, client, p) })
	}
	asked.Wait()
	return all, nil
}

func conditionOf(ctx context.Context, client *clientv3.Client, p Peer) Condition {
	const patience = 2 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if p.Client == "" {
		return Condition{Peer: p, Err: errNotStarted}
	}
	st, err := client.Status(ctx, p.Client)
	if err != nil {
		return Condition{Peer: p, Err: err}
	}
	return Condition{Peer: p, Leads: st.Leader == p.ID, Lost: st.Leader == 0, Size: st.DbSize, Version: st.Version}
}
