// SPDX-License-Identifier: Apache-2.0

package state

import (
	"bufio"
	"bytes"
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
// fits any version of etcd, embedded or not. Presences and invitations are not in
// it: they are of the moment.

// header is the first line of a saved state.
type header struct {
	Mailha  string    `json:"mailha"` // "state"
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

// Saved says how far a long task is.
type Saved func(done, total int)

// Save writes the state of one moment into a new file of mode 0600, whole or not
// at all; a file of that name is replaced. progress may be nil.
func (s *Store) Save(ctx context.Context, file string, progress Saved) error {
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
	return nil
}

func (s *Store) save(ctx context.Context, w io.Writer, progress Saved) error {
	sum := sha256.New()
	out := json.NewEncoder(io.MultiWriter(w, sum))
	prefix := string(s.keys)
	count, err := s.client.Get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil {
		return fmt.Errorf("read etcd: %w", err)
	}
	rev, total := count.Header.Revision, 0
	for _, kv := range count.Kvs {
		if s.saved(string(kv.Key)) {
			total++
		}
	}
	cluster := strings.TrimSuffix(strings.TrimPrefix(prefix, "/mailha/"), "/")
	if err := out.Encode(header{savedMark, format, cluster, now(), total}); err != nil {
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
			if !s.saved(string(kv.Key)) {
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
func (s *Store) saved(key string) bool {
	k := s.keys
	return key == k.config() || strings.HasPrefix(key, k.groups()) || strings.HasPrefix(key, k.wishes()) || strings.HasPrefix(key, k.events())
}

// ErrSaved: a file is not a saved state of this cluster, or not whole.
var ErrSaved = errors.New("not a saved state that can be used")

// Load writes a saved state into a cluster that has none yet. It looks at the
// whole file before it writes anything. Groups come back as they were owned, of
// owners that are not present: they are taken over as after the loss of a node.
// If it fails half-way, the data of the new cluster are to be thrown away.
func (s *Store) Load(ctx context.Context, file string, progress Saved) error {
	lines, err := s.readSaved(file)
	if err != nil {
		return fmt.Errorf("load the state from %s: %w", file, err)
	}
	prefix := string(s.keys)
	there, err := s.client.Get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil {
		return fmt.Errorf("load the state: read etcd: %w", err)
	}
	if there.Count > 0 {
		return fmt.Errorf("load the state: cluster has %d records already; it is loaded into a new cluster only", there.Count)
	}
	for done := 0; done < len(lines); {
		var ops []clientv3.Op
		for size := 0; done+len(ops) < len(lines) && len(ops) < batch; {
			l := lines[done+len(ops)]
			if size += len(l.Value); size > maxConfig && len(ops) > 0 {
				break // etcd takes no more at once
			}
			ops = append(ops, clientv3.OpPut(prefix+l.Key, string(l.Value)))
		}
		if _, err := s.client.Txn(ctx).Then(ops...).Commit(); err != nil {
			return fmt.Errorf("load the state: write to etcd: %w", err)
		}
		done += len(ops)
		if progress != nil {
			progress(done, len(lines))
		}
	}
	return s.Note(ctx, Event{What: "the state was restored from " + filepath.Base(file)})
}

func (s *Store) readSaved(file string) ([]line, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxSaved {
		return nil, fmt.Errorf("%w: it has %d MB", ErrSaved, info.Size()>>20)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return parseSaved(text, s.keys)
}

// parseSaved reads the file, or says what is wrong with it.
func parseSaved(text []byte, k keys) ([]line, error) {
	body := text[:max(0, len(text)-2*sha256.Size-1)]
	sum := sha256.Sum256(body)
	if string(text[len(body):]) != hex.EncodeToString(sum[:])+"\n" {
		return nil, fmt.Errorf("%w: its checksum is wrong, it was cut off or changed", ErrSaved)
	}
	first, rest, _ := bytes.Cut(body, []byte("\n"))
	var h header
	if err := strict(first, &h); err != nil || h.Mailha != savedMark {
		return nil, fmt.Errorf("%w: it does not begin as one", ErrSaved)
	}
	if h.V != format {
		return nil, fmt.Errorf("%w: it is of format %d, this mailha reads %d", ErrSaved, h.V, format)
	}
	if own := "/mailha/" + h.Cluster + "/"; own != string(k) {
		return nil, fmt.Errorf("%w: it is of the cluster %q", ErrSaved, h.Cluster)
	}
	var lines []line
	for text := range bytes.Lines(rest) {
		var l line
		if err := strict(text, &l); err != nil {
			return nil, fmt.Errorf("%w: line %d: %w", ErrSaved, len(lines)+2, err)
		}
		store := Store{keys: k}
		if !store.saved(string(k) + l.Key) {
			return nil, fmt.Errorf("%w: line %d has the key %q", ErrSaved, len(lines)+2, l.Key)
		}
		lines = append(lines, l)
	}
	if len(lines) != h.Records {
		return nil, fmt.Errorf("%w: it has %d records instead of %d", ErrSaved, len(lines), h.Records)
	}
	return lines, nil
}
