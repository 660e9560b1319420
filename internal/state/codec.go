// SPDX-License-Identifier: Apache-2.0

package state

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// format is the version of the records that this program writes. It changes with
// any change of a record, also with a new field: a node that does not know a
// field would lose it.
const format = 1

// Sizes in bytes that records may have. etcd takes 1.5 MiB at most.
const (
	maxRecord = 64 << 10
	maxConfig = 1 << 20
)

// ErrFormat: a record in etcd is not one that this program can read.
var ErrFormat = errors.New("unreadable record")

type envelope struct {
	V      int             `json:"v"`
	Record json.RawMessage `json:"record"`
}

func encode(record any, limit int) (string, error) {
	inner, err := json.Marshal(record)
	if err != nil {
		return "", fmt.Errorf("encode a record: %w", err)
	}
	data, err := json.Marshal(envelope{format, inner})
	if err != nil {
		return "", fmt.Errorf("encode a record: %w", err)
	}
	if len(data) > limit {
		return "", fmt.Errorf("a record of %d bytes is longer than %d", len(data), limit)
	}
	return string(data), nil
}

// decode reads what somebody wrote under a key. It takes nothing that it does not know.
func decode(key string, data []byte, limit int, record any) error {
	wrong := func(err error) error {
		return fmt.Errorf("etcd's key %s: %w: %w; \"mailhactl events\" says who changed what, \"etcdctl del\" removes a record that no mailha wrote", key, ErrFormat, err)
	}
	if len(data) > limit {
		return wrong(fmt.Errorf("it has %d bytes, more than %d", len(data), limit))
	}
	var e envelope
	if err := strict(data, &e); err != nil {
		var probe struct {
			V int `json:"v"`
		}
		if json.Unmarshal(data, &probe) != nil || probe.V <= format {
			return wrong(err)
		}
		e.V = probe.V
	}
	if e.V > format {
		return fmt.Errorf("etcd's key %s: %w: a newer mailha wrote it (format %d, this one reads %d): update mailha on this node", key, ErrFormat, e.V, format)
	}
	if e.V != format {
		return wrong(fmt.Errorf("it has the unknown format %d", e.V))
	}
	if err := strict(e.Record, record); err != nil {
		return wrong(err)
	}
	return nil
}

func strict(data []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the record")
	}
	return nil
}
