// SPDX-License-Identifier: Apache-2.0

package state

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
)

// ErrSaved: a file is not a saved state that can be loaded, or not whole.
var ErrSaved = errors.New("not a saved state that can be used")

// Saved is what a saved state holds, as of when it was saved.
type Saved struct {
	Cluster string
	At      time.Time
	Config  Config // without TOML if the cluster had none
	Groups  []Group
	Wishes  []Wish
	events  []line
}

// ReadSaved reads a saved state, and believes nothing of it before all of it was
// read. It returns ErrSaved.
func ReadSaved(file string) (Saved, error) {
	fail := func(err error) (Saved, error) { return Saved{}, fmt.Errorf("read %s: %w", file, err) }
	info, err := os.Stat(file)
	if err != nil {
		return Saved{}, fmt.Errorf("read a saved state: %w", err)
	}
	if info.Size() > maxSaved {
		return fail(fmt.Errorf("%w: it has %d MB", ErrSaved, info.Size()>>20))
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return Saved{}, fmt.Errorf("read a saved state: %w", err)
	}
	saved, err := parseSaved(text)
	if err != nil {
		return fail(err)
	}
	return saved, nil
}

// parseSaved reads the text, or says what is wrong with it.
func parseSaved(text []byte) (Saved, error) {
	fail := func(format string, args ...any) (Saved, error) {
		return Saved{}, fmt.Errorf("%w: "+format, append([]any{ErrSaved}, args...)...)
	}
	body := text[:max(0, len(text)-2*sha256.Size-1)]
	sum := sha256.Sum256(body)
	if string(text[len(body):]) != hex.EncodeToString(sum[:])+"\n" {
		return fail("its checksum is wrong, it was cut off or changed")
	}
	first, rest, _ := bytes.Cut(body, []byte("\n"))
	var h header
	if err := strict(first, &h); err != nil || h.Mailha != savedMark {
		return fail("it does not begin as one")
	}
	if h.V != format {
		return fail("it is of format %d, this mailha reads %d", h.V, format)
	}
	if err := checkName(h.Cluster); err != nil {
		return fail("%w", err)
	}
	s := Saved{Cluster: h.Cluster, At: h.At}
	count := 0
	for text := range bytes.Lines(rest) {
		count++
		var l line
		if err := strict(text, &l); err != nil {
			return fail("line %d: %w", count+1, err)
		}
		if err := s.add(l); err != nil {
			return fail("line %d: %w", count+1, err)
		}
	}
	if count != h.Records {
		return fail("it has %d records instead of %d", count, h.Records)
	}
	return s, nil
}

func (s *Saved) add(l line) error {
	k := keys("/mailha/" + s.Cluster + "/")
	kv := &mvccpb.KeyValue{Key: []byte(string(k) + l.Key), Value: l.Value}
	switch key := string(kv.Key); {
	case key == k.config():
		c, err := readConfig(kv)
		s.Config = c
		return err
	case strings.HasPrefix(key, k.groups()):
		g, err := k.readGroup(kv)
		s.Groups = append(s.Groups, g)
		return errors.Join(err, checkName(g.Name))
	case strings.HasPrefix(key, k.wishes()):
		w, err := k.readWish(kv)
		s.Wishes = append(s.Wishes, w)
		return err
	case strings.HasPrefix(key, k.events()):
		_, err := readEvent(kv)
		s.events = append(s.events, l)
		return err
	}
	return fmt.Errorf("it has the key %q", l.Key)
}

// Returns are the wishes that come back with a saved state: orders that stand until
// somebody takes them back, or until a time that has not come yet. What was of the
// moment does not: a move or a restart may have been done since, a maintenance may
// have been ended, and a node that was off may be on again.
func (s Saved) Returns(now time.Time) (back, over []Wish) {
	for _, w := range s.Wishes {
		switch {
		case w.Kind == Hear:
		case w.Over(now):
			over = append(over, w)
		case w.Kind == Standby, w.Kind == Ban, w.Kind == Stop, w.Kind == StopGroup:
			back = append(back, w)
		default:
			over = append(over, w)
		}
	}
	return back, over
}
