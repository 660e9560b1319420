// SPDX-License-Identifier: Apache-2.0

package state

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// A saved state is a file of lines: a header, each record as it is in etcd, and
// SHA-256 of all that is before. It knows nothing of etcd's own format, so that it
// fits any version of etcd, embedded or not. Presences, reports and invitations are
// not in it: they are of the moment.

// header is the first line of a saved state.
type header struct {
	Mailha  string    `json:"mailha"` // "state"
	Says    string    `json:"says"`   // for who finds the file
	V       int       `json:"v"`
	Cluster string    `json:"cluster"`
	At      time.Time `json:"at"`
	Records int       `json:"records"`
}

// line is a record of a saved state; its key is below the cluster's prefix.
type line struct {
	Key   string          `json:"key"`
	Value json.RawMessage `json:"value"`
}

const (
	savedMark = "state"
	page      = 200     // records that are read at once
	batch     = 64      // records that are written at once
	maxSaved  = 1 << 30 // bytes
)

// Progress says how far a long task is.
type Progress func(done, total int)

// Save writes the state of one moment into a new file of mode 0600, whole or not
// at all, which outlives a power cut; a file of that name is replaced. progress may
// be nil.
func (s *Store) Save(ctx context.Context, file string, progress Progress) error {
	tmp, err := os.CreateTemp(filepath.Dir(file), ".mailha-*") // of mode 0600
	if err != nil {
		return fmt.Errorf("save the state: %w", err)
	}
	defer os.Remove(tmp.Name())
	out := bufio.NewWriter(tmp)
	err = s.save(ctx, out, progress)
	if err := errors.Join(err, out.Flush(), tmp.Sync(), tmp.Close()); err != nil {
		return fmt.Errorf("save the state in %s: %w", file, err)
	}
	if err := os.Rename(tmp.Name(), file); err != nil {
		return fmt.Errorf("save the state: %w", err)
	}
	dir, err := os.Open(filepath.Dir(file))
	if err == nil {
		err = errors.Join(dir.Sync(), dir.Close())
	}
	if err != nil {
		return fmt.Errorf("save the state in %s: %w", file, err)
	}
	return nil
}

func (s *Store) save(ctx context.Context, w io.Writer, progress Progress) error {
	sum := sha256.New()
	out := json.NewEncoder(io.MultiWriter(w, sum))
	prefix := string(s.keys)
	count, err := s.client.Get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil {
		return fmt.Errorf("read etcd: %w", err)
	}
	rev, total := count.Header.Revision, 0
	for _, kv := range count.Kvs {
		if s.keys.saved(string(kv.Key)) {
			total++
		}
	}
	cluster, at := strings.TrimSuffix(strings.TrimPrefix(prefix, "/mailha/"), "/"), now()
	says := fmt.Sprintf("what the mailha cluster %s had agreed on at %s: its configuration, who owned each group, what operators had asked for, and what had happened; mailhactl cluster restore brings it back; a checksum ends it, so that it cannot be edited",
		cluster, at.Format(time.RFC3339))
	if err := out.Encode(header{savedMark, says, format, cluster, at, total}); err != nil {
		return err
	}
	done, from, end := 0, prefix, clientv3.GetPrefixRangeEnd(prefix)
	for {
		resp, err := s.client.Get(ctx, from, clientv3.WithRange(end), clientv3.WithLimit(page), clientv3.WithRev(rev))
		if err != nil {
			return fmt.Errorf("read etcd: %w", err)
		}
		for _, kv := range resp.Kvs {
			from = string(kv.Key) + "\x00"
			if !s.keys.saved(string(kv.Key)) {
				continue
			}
			if !json.Valid(kv.Value) {
				return fmt.Errorf("etcd's key %s: %w: it is not JSON", kv.Key, ErrFormat)
			}
			if err := out.Encode(line{strings.TrimPrefix(string(kv.Key), prefix), kv.Value}); err != nil {
				return err
			}
			done++
		}
		if progress != nil {
			progress(done, total)
		}
		if !resp.More {
			break
		}
	}
	if done != total {
		return fmt.Errorf("%d records were read instead of %d", done, total)
	}
	_, err = fmt.Fprintln(w, hex.EncodeToString(sum.Sum(nil)))
	return err
}

// saved says whether a record belongs into a saved state.
func (k keys) saved(key string) bool {
	return key == k.config() || strings.HasPrefix(key, k.groups()) || strings.HasPrefix(key, k.wishes()) || strings.HasPrefix(key, k.events())
}
