// SPDX-License-Identifier: Apache-2.0

package quorum

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
)

// founding is where a new cluster is made, below the data directory.
const founding = "founding"

// Found makes a cluster of this node alone in its data directory, which must be
// empty, and leaves it there for Start, with all that fill has written into it; fill
// may be nil. It leaves all of it or nothing. Only "cluster init" and "cluster
// restore" may call it.
//
// Each cluster has a number of its own. By the name and the addresses alone, one that
// is founded again would have the number of the former one, whose members would take
// this one for theirs.
func Found(ctx context.Context, cfg Config, fill func(context.Context, *Client) error) error {
	cfg, err := cfg.checked()
	if err != nil {
		return err
	}
	if initialised(cfg.Dir) {
		return fmt.Errorf("%s already holds the data of a cluster; a new one needs an empty directory", cfg.Dir)
	}
	if err := cfg.dir(); err != nil {
		return err
	}
	final := cfg.Dir
	cfg.Dir, cfg.token = filepath.Join(final, founding), " "+rand.Text()
	if err := os.RemoveAll(cfg.Dir); err != nil { // of one that was interrupted
		return fmt.Errorf("found a cluster: %w", err)
	}
	if err := forget(final); err != nil {
		return fmt.Errorf("found a cluster: %w", err)
	}
	if err := found(ctx, cfg, fill); err != nil {
		return errors.Join(err, os.RemoveAll(cfg.Dir))
	}
	if err := install(cfg.Dir, final); err != nil {
		return fmt.Errorf("put the new cluster's data in place: %w", err)
	}
	return nil
}

func found(ctx context.Context, cfg Config, fill func(context.Context, *clientv3.Client) error) error {
	peer := cfg.url(cfg.Peer)
	m, err := start(ctx, cfg, cfg.Name+"="+peer.String(), embed.ClusterStateFlagNew)
	if err != nil {
		return err
	}
	if fill != nil {
		err = fill(ctx, m.client)
	}
	return errors.Join(err, m.Close(ctx))
}

// install moves the new data into the directory.
func install(from, to string) error {
	if err := os.Rename(filepath.Join(from, "member"), filepath.Join(to, "member")); err != nil {
		return err
	}
	for _, d := range []string{to, from} {
		dir, err := os.Open(d)
		if err != nil {
			return err
		}
		if err := errors.Join(dir.Sync(), dir.Close()); err != nil {
			return err
		}
	}
	return os.RemoveAll(from)
}
