// SPDX-License-Identifier: Apache-2.0

package quorum

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// ErrOther: this node's data are of another cluster than that which other nodes run,
// such as the one before a restore. With enough like it, it would be a second cluster
// with the same addresses.
var ErrOther = errors.New("this member's data are of another cluster")

// numbered is the file in the data directory that has the cluster's number.
const numbered = "cluster"

// identify keeps the cluster's number where compare finds it.
func (m *Member) identify() error {
	file := filepath.Join(m.cfg.Dir, numbered)
	text := m.etcd.Server.Cluster().ID().String() + "\n"
	if old, err := os.ReadFile(file); err == nil && string(old) == text {
		return nil
	}
	if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

// forget removes the number of a cluster whose data are no longer there.
func forget(dir string) error {
	if err := os.Remove(filepath.Join(dir, numbered)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// How long a start waits for what others say: for the first one, who may be off, and
// for the rest. A daemon that comes back has to be present before its lease ends.
const (
	firstWord = time.Second
	lastWord  = 300 * time.Millisecond
)

// compare asks the others for the number of their cluster before this node's member
// comes up. Whoever comes later gives way. That nobody answers is no reason to.
func compare(ctx context.Context, cfg Config) error {
	text, err := os.ReadFile(filepath.Join(cfg.Dir, numbered))
	if err != nil {
		return nil // it has never run, or its disk is about to tell by itself
	}
	own, err := strconv.ParseUint(strings.TrimSpace(string(text)), 16, 64)
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, firstWord)
	defer cancel()
	type word struct {
		from   string
		number uint64
		err    error
	}
	words := make(chan word, len(cfg.Others))
	for _, url := range cfg.Others {
		go func() {
			number, err := numberOf(ctx, cfg, url)
			words <- word{url, number, err}
		}()
	}
	for range cfg.Others {
		w := <-words
		switch {
		case w.err != nil:
		case w.number != own:
			return fmt.Errorf("%w than that of %s: it was restored or founded anew; if that is the right one, move %s away here, and start mailhad again (mailhactl cluster join, should it say so)", ErrOther, w.from, cfg.Dir)
		default:
			stop := time.AfterFunc(lastWord, cancel)
			defer stop.Stop()
		}
	}
	return nil
}

func numberOf(ctx context.Context, cfg Config, url string) (uint64, error) {
	client, err := Dial(Endpoints{URLs: []string{url}, TLS: cfg.TLS, Log: cfg.Log})
	if err != nil {
		return 0, err
	}
	defer client.Close()
	status, err := client.Status(ctx, url)
	if err != nil {
		return 0, err
	}
	return status.Header.ClusterId, nil
}
