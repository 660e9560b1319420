// SPDX-License-Identifier: Apache-2.0

package api

import (
	"encoding/json"
	"net/http"
	"time"
)

// tick is how often a stream has a line though nothing has happened: seconds
// pass by, and who reads it learns that we are alive.
const tick = time.Second

// status answers once, or with ?watch a line for each change until the caller
// goes away (application/x-ndjson).
func (s *Server) status(w http.ResponseWriter, r *http.Request) {
	if !r.URL.Query().Has("watch") {
		s.answer(func(http.ResponseWriter, *http.Request) (any, error) {
			v, _ := s.look()
			return v.status(), nil
		})(w, r)
		return
	}
	header(w)
	w.Header().Set("Content-Type", "application/x-ndjson")
	control := http.NewResponseController(w)
	// The deadline of reading the request would end the stream.
	if control.SetReadDeadline(time.Time{}) != nil {
		return
	}
	beat := time.NewTicker(tick)
	defer beat.Stop()
	for {
		v, newer := s.look()
		data, err := json.Marshal(v.status())
		if err != nil {
			s.Log.Error("an answer cannot be written", "error", err)
			return
		}
		// Whoever does not read is let go.
		if control.SetWriteDeadline(time.Now().Add(writeTime)) != nil {
			return
		}
		if _, err := w.Write(append(data, '\n')); err != nil {
			return
		}
		if control.Flush() != nil {
			return
		}
		select {
		case <-newer:
			// A burst of changes is one line.
			select {
			case <-time.After(tick / 20):
			case <-r.Context().Done():
				return
			}
		case <-beat.C:
		case <-r.Context().Done():
			return
		}
	}
}
