// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"unicode"

	"github.com/mailha/mailha/internal/state"
)

// routes are all that there is.
func (s *Server) routes() {
	for pattern, show := range map[string]func(*http.Request, *view) (any, error){
		"GET /v1/version":               s.version,
		"GET /v1/events":                s.events,
		"GET /v1/plan":                  func(_ *http.Request, v *view) (any, error) { return v.planned(), nil },
		"GET /v1/explain/{name}":        func(r *http.Request, v *view) (any, error) { return v.explain(r.PathValue("name")) },
		"GET /v1/what-if/{what}/{node}": func(r *http.Request, v *view) (any, error) { return v.whatIf(r.PathValue("what"), r.PathValue("node")) },
		"GET /v1/config":                s.config,
	} {
		s.mux.HandleFunc(pattern, s.answer(func(w http.ResponseWriter, r *http.Request) (any, error) {
			v, _ := s.look()
			return show(r, v)
		}))
	}
	s.mux.HandleFunc("GET /v1/status", s.status)
	for pattern, do := range map[string]func(*order) (Done, error){
		"POST /v1/groups/{name}/move":          (*order).move,
		"DELETE /v1/groups/{name}/move":        (*order).unmove,
		"POST /v1/groups/{name}/bans/{node}":   (*order).ban,
		"DELETE /v1/groups/{name}/bans/{node}": (*order).unban,
		"DELETE /v1/groups/{name}/bans":        (*order).unban,
		"POST /v1/groups/{name}/stop":          (*order).stopGroup,
		"DELETE /v1/groups/{name}/stop":        (*order).startGroup,
		"POST /v1/groups/{name}/release":       (*order).release,
		"POST /v1/nodes/{node}/standby":        (*order).standby,
		"DELETE /v1/nodes/{node}/standby":      (*order).online,
		"POST /v1/nodes/{node}/fenced":         (*order).fenced,
		"POST /v1/nodes/{node}/fence":          (*order).fence,
		"POST /v1/maintenance":                 (*order).maintain,
		"DELETE /v1/maintenance":               (*order).resume,
		"POST /v1/resources/{name}/stop":       (*order).stop,
		"DELETE /v1/resources/{name}/stop":     (*order).start,
		"POST /v1/resources/{name}/restart":    (*order).restart,
		"POST /v1/failures/forget":             (*order).forget,
	} {
		s.mux.HandleFunc(pattern, s.answer(func(w http.ResponseWriter, r *http.Request) (any, error) {
			return s.order(w, r, do)
		}))
	}
	s.mux.HandleFunc("POST /v1/config/review", s.answer(s.review))
	s.mux.HandleFunc("PUT /v1/config", s.answer(s.apply))
	if s.Metrics != nil {
		s.mux.Handle("GET /metrics", s.Metrics)
	}
	s.mux.HandleFunc("/", s.answer(func(http.ResponseWriter, *http.Request) (any, error) {
		return nil, fault(CodeNotFound, "see mailhactl(8); an older mailhad may not have it", "there is no such request")
	}))
}

// answer writes what a handler returns.
func (s *Server) answer(handle func(http.ResponseWriter, *http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), patience)
		defer cancel()
		body, err := handle(w, r.WithContext(ctx))
		status := http.StatusOK
		if err != nil {
			f := faultOf(err)
			if f.Code == CodeFailed || r.Method != http.MethodGet {
				s.Log.Warn("a request came to nothing", "request", r.Method+" "+r.URL.Path, "by", s.caller(r).name, "error", err)
			}
			status, body = f.status(), Failed{*f}
		}
		data, err := json.Marshal(body)
		if err != nil {
			s.Log.Error("an answer cannot be written", "error", err)
			status, data = http.StatusInternalServerError, []byte(`{"error":{"code":"failed","what":"the answer cannot be written"}}`)
		}
		header(w)
		w.WriteHeader(status)
		w.Write(append(data, '\n')) // who is gone needs no answer
	}
}

func header(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
}

// body reads a request's JSON, which has nothing but what is known. None at all
// is as good as an empty object.
func body(w http.ResponseWriter, r *http.Request, limit int64, into any) error {
	if r.ContentLength == 0 {
		return nil
	}
	// A web page cannot send this type to another site unasked.
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return fault(CodeBadRequest, "", "a request's body is of the type application/json")
	}
	err := decode(http.MaxBytesReader(w, r.Body, limit), into)
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return fault(CodeBadRequest, "", "a request of this kind has no more than %d bytes", limit)
	}
	if err != nil {
		return fault(CodeBadRequest, "", "the request cannot be read: %s", err)
	}
	return nil
}

func decode(r io.Reader, into any) error {
	dec := json.NewDecoder(r)
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		if errors.Is(err, io.EOF) {
			return nil
		}
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		if err != nil {
			return err
		}
		return errors.New("something follows it")
	}
	return nil
}

// words checks a text of an operator's that others read on their terminals.
func words(text string) error {
	const most = 200
	if len([]rune(text)) > most {
		return fault(CodeBadRequest, "", "why has more than %d characters", most)
	}
	for _, c := range text {
		if !unicode.IsPrint(c) {
			return fault(CodeBadRequest, "", "why has a character that cannot be printed")
		}
	}
	return nil
}

func (s *Server) version(*http.Request, *view) (any, error) { return Version{s.Version, s.Node}, nil }

func (s *Server) events(r *http.Request, _ *view) (any, error) {
	most := 100
	if text := r.URL.Query().Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > state.MaxEvents {
			return nil, fault(CodeBadRequest, "", "limit=%q is not between 1 and %d", text, state.MaxEvents)
		}
		most = n
	}
	all, err := s.Store.Events(r.Context(), most)
	if err != nil && len(all) == 0 {
		return nil, err
	}
	out := Events{Events: []Event{}}
	if err != nil {
		out.Fault = err.Error()
	}
	for _, e := range all {
		out.Events = append(out.Events, Event{At: e.At, Node: e.Node, By: e.By, Group: e.Group, Resource: e.Resource, What: e.What})
	}
	return out, nil
}
