// SPDX-License-Identifier: Apache-2.0

package directory

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/mailha/mailha/agents"
)

// sighting is what another replica had when it was asked.
type sighting struct {
	At  time.Time `json:"at"`
	Has state     `json:"has"`
}

// sightings are the last ones of each replica, by its URL. They are kept beside
// the data, where they outlive a boot: a replica that comes up while another one
// is dead has to know that it lacks what that one had.
type sightings map[string]sighting

// besideData is a file next to the data's directory, which belongs to the server,
// or empty if more than root can write there.
func besideData(f agents.Facts, suffix string) string {
	if f.DataDir == "" {
		return ""
	}
	info, err := os.Stat(filepath.Dir(f.DataDir))
	if err != nil {
		return ""
	}
	const others = 0o022
	if st, ok := info.Sys().(*syscall.Stat_t); !ok || st.Uid != 0 || info.Mode().Perm()&others != 0 {
		return ""
	}
	return f.DataDir + suffix
}

func sightingsPath(f agents.Facts) string { return besideData(f, ".mailha-peers") }

// loadSightings takes a file that a power cut tore for none.
func loadSightings(f agents.Facts) (sightings, error) {
	path, seen := sightingsPath(f), sightings{}
	if path == "" {
		return seen, nil
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return seen, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read what was seen of other replicas: %w", err)
	}
	if json.Unmarshal(data, &seen) != nil || seen == nil {
		return sightings{}, nil
	}
	return seen, nil
}

// note keeps what was seen of the others just now.
func (o *OpenLDAP) note(f agents.Facts, live []other) sightings {
	seen, err := loadSightings(f)
	if err != nil {
		o.log.Warn("a replica that is dead now cannot be compared with", "error", err)
		seen = sightings{}
	}
	for _, q := range live {
		seen[q.String()] = sighting{At: time.Now(), Has: q.has}
	}
	if path := sightingsPath(f); path != "" && len(live) > 0 {
		if err := seen.save(path); err != nil {
			o.log.Warn("cannot note what other replicas have", "error", err)
		}
	}
	return seen
}

func (seen sightings) save(path string) error {
	data, err := json.Marshal(seen)
	if err != nil {
		return err
	}
	tmp := path + ".new"
	if err := os.WriteFile(tmp, append(data, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

// last is what the lost ones had when they were last seen, all together.
func (seen sightings) last(lost []other) state {
	had := state{}
	for _, q := range lost {
		had = had.join(seen[q.String()].Has)
	}
	return had
}
