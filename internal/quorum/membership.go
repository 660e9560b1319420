// SPDX-License-Identifier: Apache-2.0

package quorum

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// ErrNoMember: the cluster has no member of that name.
var ErrNoMember = errors.New("there is no such member")

// Peer is a member as the cluster knows it.
type Peer struct {
	ID      uint64
	Name    string // empty as long as it was added and has not started
	Peer    string // its URL for other members
	Client  string // its URL for clients; empty as long as it has not started
	Learner bool   // follows and does not count for a majority yet
}

// Peers are the members of the cluster, as a majority knows them.
func Peers(ctx context.Context, client *clientv3.Client) ([]Peer, error) {
	list, err := client.MemberList(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask etcd for its members: %w", err)
	}
	return peers(list.Members), nil
}

func peers(members []*etcdserverpb.Member) []Peer {
	var found []Peer
	for _, m := range members {
		p := Peer{ID: m.ID, Name: m.Name, Learner: m.IsLearner}
		if len(m.PeerURLs) > 0 {
			p.Peer = m.PeerURLs[0]
		}
		if len(m.ClientURLs) > 0 {
			p.Client = m.ClientURLs[0]
		}
		found = append(found, p)
	}
	slices.SortFunc(found, func(a, b Peer) int { return strings.Compare(a.Name+a.Peer, b.Name+b.Peer) })
	return found
}

// Admit adds a member that has not started yet, by its URL for the others. It
// follows as a learner, and makes itself a voter when it has caught up. To admit
// it again before it has started does nothing. It returns ErrDiskLost if the
// cluster knows a member of that name or at that place which has run already.
func Admit(ctx context.Context, client *clientv3.Client, name, peer string) error {
	known, err := Peers(ctx, client)
	if err != nil {
		return err
	}
	for _, p := range known {
		if p.Peer == peer && p.Name == "" {
			return nil
		}
		if p.Peer == peer || p.Name == name {
			return fmt.Errorf("%w: the cluster has a member %s at %s; run \"mailhactl cluster replace-member %s\" on another node if that is no more", ErrDiskLost, p.Name, p.Peer, p.Name)
		}
	}
	if err := add(ctx, client, peer); err != nil {
		return fmt.Errorf("add %s at %s to etcd: %w", name, peer, err)
	}
	return nil
}

// etcd changes nothing until all its voters have seen one another for five
// seconds (HealthInterval in its etcdserver/server.go).
const (
	healthy     = 12 * time.Second
	changeAgain = 500 * time.Millisecond
)

// patiently makes a change of the membership, and waits a while if etcd will not
// have it yet.
func patiently(ctx context.Context, change func() error) error {
	for deadline := time.Now().Add(healthy); ; {
		err := change()
		wait := errors.Is(err, rpctypes.ErrUnhealthy) || errors.Is(err, rpctypes.ErrTooManyLearners)
		if !wait || time.Now().After(deadline) {
			return advice(err)
		}
		select {
		case <-ctx.Done():
			return advice(err)
		case <-time.After(changeAgain):
		}
	}
}

func add(ctx context.Context, client *clientv3.Client, peer string) error {
	return patiently(ctx, func() error {
		_, err := client.MemberAddAsLearner(ctx, []string{peer})
		if errors.Is(err, rpctypes.ErrMemberNotFound) {
			// etcd makes a member's number of its URL and the second. One that was added and
			// removed within this second has it already.
			err = fmt.Errorf("%w: %w", rpctypes.ErrUnhealthy, err)
		}
		return err
	})
}

func remove(ctx context.Context, client *clientv3.Client, p Peer) error {
	err := patiently(ctx, func() error {
		_, err := client.MemberRemove(ctx, p.ID)
		return err
	})
	if err != nil {
		return fmt.Errorf("remove %s from etcd: %w", p.Name, err)
	}
	return nil
}

// Remove takes a member out for good. It can come back with an empty data
// directory only. It returns ErrNoMember.
func Remove(ctx context.Context, client *clientv3.Client, name string) error {
	p, err := find(ctx, client, name)
	if err != nil {
		return err
	}
	return remove(ctx, client, p)
}

// Replace takes a member out whose data are lost, and admits it anew at the same
// place: it starts with an empty data directory and catches up. It returns ErrNoMember.
func Replace(ctx context.Context, client *clientv3.Client, name string) error {
	p, err := find(ctx, client, name)
	if err != nil {
		return err
	}
	if err := remove(ctx, client, p); err != nil {
		return err
	}
	if err := add(ctx, client, p.Peer); err != nil {
		return fmt.Errorf("%s was removed from etcd and not added again, run \"mailhactl cluster join\" on it: %w", name, err)
	}
	return nil
}

func find(ctx context.Context, client *clientv3.Client, name string) (Peer, error) {
	known, err := Peers(ctx, client)
	if err != nil {
		return Peer{}, err
	}
	var names []string
	for _, p := range known {
		if p.Name == name {
			return p, nil
		}
		names = append(names, p.Name)
	}
	return Peer{}, fmt.Errorf("%w: %s; the members are %s", ErrNoMember, name, strings.Join(names, ", "))
}

// advice says what to do about the refusals of etcd that an operator meets.
func advice(err error) error {
	switch {
	case errors.Is(err, rpctypes.ErrUnhealthy), errors.Is(err, rpctypes.ErrMemberNotEnoughStarted):
		return fmt.Errorf("%w: not all members run and reach one another; start them, or remove one that is no more, first", err)
	case errors.Is(err, rpctypes.ErrTooManyLearners):
		return fmt.Errorf("%w: wait until those that have just joined have caught up", err)
	}
	return err
}

// look asks the others what this node is to them, whose data directory is empty.
// It returns the initial cluster in etcd's words for one that was admitted.
func look(ctx context.Context, cfg Config) (string, error) {
	if len(cfg.Others) == 0 {
		return "", fmt.Errorf("%w: %s is empty; run \"mailhactl cluster init\" on the first node, \"mailhactl cluster join\" on others", ErrNoData, cfg.Dir)
	}
	client, err := Dial(Endpoints{URLs: cfg.Others, TLS: cfg.TLS, Log: cfg.Log})
	if err != nil {
		return "", err
	}
	defer client.Close()
	known, err := Peers(ctx, client)
	if err != nil {
		return "", fmt.Errorf("%s is empty, and the other nodes cannot say what this one is to them: %w", cfg.Dir, err)
	}
	own := cfg.url(cfg.Peer)
	initial, admitted := []string{cfg.Name + "=" + own.String()}, false
	for _, p := range known {
		switch {
		case p.Peer == own.String() && p.Name == "":
			admitted = true
		case p.Peer == own.String(), p.Name == cfg.Name:
			return "", fmt.Errorf("%w: %s is empty, but the cluster knows %s at %s; run \"mailhactl cluster replace-member %s\" on another node, and then start this one",
				ErrDiskLost, cfg.Dir, p.Name, p.Peer, p.Name)
		case p.Name != "":
			initial = append(initial, p.Name+"="+p.Peer)
		default:
			// Another one that was admitted and has not started. etcd compares URLs
			// alone, and wants some name.
			initial = append(initial, fmt.Sprintf("unstarted-%x=%s", p.ID, p.Peer))
		}
	}
	if !admitted {
		return "", fmt.Errorf("%w: %s is empty, and the cluster does not know %s at %s; run \"mailhactl cluster join\"", ErrNoData, cfg.Dir, cfg.Name, own.String())
	}
	return strings.Join(initial, ","), nil
}
