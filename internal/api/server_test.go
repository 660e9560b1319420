// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/mailha/mailha/internal/api"
	"github.com/mailha/mailha/internal/api/apitest"
	"github.com/mailha/mailha/internal/state"
)

// request sends what no client of ours would.
func request(t *testing.T, c *apitest.Cluster, method, path, contentType, body string) (int, api.Fault) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", c.Socket)
	}}}
	req, err := http.NewRequestWithContext(t.Context(), method, "http://mailhad"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	// What a request says of its sender is not believed.
	req.Header.Set("X-Remote-User", "mallory")
	req.Header.Set("Authorization", "Basic bWFsbG9yeTp4")
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if kind := resp.Header.Get("Content-Type"); kind != "application/json" && resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("the answer is of the type %q", kind)
	}
	var failed api.Failed
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusMethodNotAllowed {
		if err := json.Unmarshal(data, &failed); err != nil || failed.Error.What == "" || failed.Error.Code == "" {
			t.Errorf("no error in %q: %v", data, err)
		}
	}
	return resp.StatusCode, failed.Error
}

func TestBadRequests(t *testing.T) {
	c := apitest.Serve(t)
	const js = "application/json"
	move := "/v1/groups/mx/move"
	for _, tt := range []struct {
		name, method, path, kind, body string
		status                         int
		code                           string
	}{
		{"nothing there", "GET", "/", "", "", 404, api.CodeNotFound},
		{"another version", "GET", "/v2/status", "", "", 404, api.CodeNotFound},
		{"way out", "GET", "/v1/explain/..%2f..%2fetc", "", "", 404, api.CodeNotFound},
		{"not JSON", "POST", move, js, "{", 400, api.CodeBadRequest},
		{"a list", "POST", move, js, "[]", 400, api.CodeBadRequest},
		{"a form", "POST", move, "application/x-www-form-urlencoded", "node=n2", 400, api.CodeBadRequest},
		{"no type", "POST", move, "", `{"node":"n2"}`, 400, api.CodeBadRequest},
		{"unknown field", "POST", move, js, `{"nod":"n2"}`, 400, api.CodeBadRequest},
		{"who", "POST", move, js, `{"node":"n2","by":"mallory"}`, 400, api.CodeBadRequest},
		{"two", "POST", move, js, `{"node":"n2"}{}`, 400, api.CodeBadRequest},
		{"huge", "POST", move, js, `{"why":"` + strings.Repeat("x", 1<<20) + `"}`, 400, api.CodeBadRequest},
		{"long", "POST", move, js, `{"why":"` + strings.Repeat("x", 201) + `"}`, 400, api.CodeBadRequest},
		{"escape", "POST", move, js, `{"why":"\u001b[2J"}`, 400, api.CodeBadRequest},
		{"the past", "POST", move, js, `{"for_seconds":-1}`, 400, api.CodeBadRequest},
		{"for ever", "POST", move, js, `{"for_seconds":1e300}`, 400, api.CodeBadRequest},
		{"no number", "POST", move, js, `{"for_seconds":"1h"}`, 400, api.CodeBadRequest},
		{"unknown group", "POST", "/v1/groups/nobody/move", js, "{}", 404, api.CodeNotFound},
		{"odd group", "POST", "/v1/groups/%00%0a/move", js, "{}", 404, api.CodeNotFound},
		{"unknown node", "POST", move, js, `{"node":"n9"}`, 404, api.CodeNotFound},
		{"witness", "POST", move, js, `{"node":"n3"}`, 409, api.CodeRefused},
		{"endless maintenance", "POST", "/v1/maintenance", "", "", 400, api.CodeBadRequest},
		{"many events", "GET", "/v1/events?limit=1001", "", "", 400, api.CodeBadRequest},
		{"no events", "GET", "/v1/events?limit=x", "", "", 400, api.CodeBadRequest},
		{"odd question", "GET", "/v1/what-if/cluster-down/n1", "", "", 404, api.CodeNotFound},
		{"bad file", "PUT", "/v1/config", js, `{"toml":"x","revision":5}`, 422, api.CodeInvalid},
		{"file too old", "PUT", "/v1/config", js, `{"toml":` + quoted(apitest.Config) + `,"revision":4}`, 409, api.CodeConflict},
		{"file with an odd name", "PUT", "/v1/config", js, `{"file":"\u001b","toml":""}`, 400, api.CodeBadRequest},
	} {
		status, fault := request(t, c, tt.method, tt.path, tt.kind, tt.body)
		if status != tt.status || fault.Code != tt.code {
			t.Errorf("%s: got %d %+v", tt.name, status, fault)
		}
		if strings.ContainsAny(fault.What+fault.Hint, "\x00\x1b\n") {
			t.Errorf("%s: %q would disturb a terminal", tt.name, fault.What)
		}
	}
	if status, _ := request(t, c, "POST", "/v1/status", js, "{}"); status != http.StatusMethodNotAllowed && status != http.StatusNotFound {
		t.Errorf("a status was posted: %d", status)
	}
	if w := c.Wishes(); len(w) != 0 {
		t.Errorf("something was changed: %v", w)
	}
}

func quoted(s string) string {
	data, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(data)
}

func TestWhoWasQuicker(t *testing.T) {
	c := apitest.Serve(t)
	client := api.Dial(c.Socket)
	c.Conflict(2)
	if _, err := client.Ask(t.Context(), api.Path("groups", "mx", "move"), api.Change{}); err != nil {
		t.Errorf("two were quicker: %v", err)
	}
	c.Conflict(100)
	var fault *api.Fault
	if _, err := client.Ask(t.Context(), api.Path("groups", "box", "move"), api.Change{}); !errors.As(err, &fault) || fault.Code != api.CodeConflict {
		t.Errorf("all were quicker: %v", err)
	}
}

func TestWithoutMajority(t *testing.T) {
	c := apitest.Serve(t)
	client := api.Dial(c.Socket)
	var fault *api.Fault
	c.Fail(context.DeadlineExceeded)
	if _, err := client.Ask(t.Context(), api.Path("groups", "mx", "move"), api.Change{}); !errors.As(err, &fault) || fault.Code != api.CodeUnavailable {
		t.Errorf("etcd did not answer: %v", err)
	}
	c.Change(func(s *state.Snapshot) { s.Stale = errors.New("no leader") })
	if _, err := client.Ask(t.Context(), api.Path("groups", "mx", "move"), api.Change{}); !errors.As(err, &fault) || fault.Code != api.CodeUnavailable || !strings.Contains(fault.What, "no leader") {
		t.Errorf("the state is stale: %v", err)
	}
	if s, err := client.Status(t.Context()); err != nil || !s.Stale || s.Health != api.Error || len(s.Groups) != 2 {
		t.Errorf("a stale state is shown: %+v, %v", s, err)
	}
}

func TestStreamTellsEachChange(t *testing.T) {
	c := apitest.Serve(t)
	seen := 0
	err := api.Dial(c.Socket).Watch(t.Context(), func(s api.Status) error {
		if seen == 0 && s.Maintenance != nil {
			t.Error("there is maintenance already")
		}
		seen++
		if s.Maintenance != nil {
			return io.EOF
		}
		c.Change(func(s *state.Snapshot) {
			s.Wishes = []state.Wish{{Kind: state.Maintenance, By: "alice", Since: apitest.Now, Until: apitest.Now.Add(time.Hour), Rev: 3}}
		})
		return nil
	})
	if !errors.Is(err, io.EOF) || seen < 2 {
		t.Errorf("%d seen, %v", seen, err)
	}
}

// A stream outlives the time that a request may take to be read, but not the server.
func TestStreamEndsWithTheServer(t *testing.T) {
	c := apitest.Serve(t)
	ctx, stop := context.WithCancel(t.Context())
	path := t.TempDir() + "/second.sock"
	l, err := api.Listen(ctx, path, "no-such-group")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Server.Serve(ctx, l) }()
	err = api.Dial(path).Watch(t.Context(), func(api.Status) error { stop(); return nil })
	if !errors.Is(err, api.ErrUnreachable) {
		t.Errorf("the stream: %v", err)
	}
	if err := <-ended; err != nil {
		t.Errorf("the server: %v", err)
	}
	if _, err := api.Dial(path).Status(t.Context()); !errors.Is(err, api.ErrUnreachable) {
		t.Errorf("after its end: %v", err)
	}
}

func TestOtherAnswersAreNotBelieved(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"a page":     func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>") },
		"a bad page": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusBadGateway) },
		"an odd one": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusTeapot)
			io.WriteString(w, "{}")
		},
		"half of one": func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"cluster":`) },
	} {
		path := t.TempDir() + "/x.sock"
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		srv := httptest.NewUnstartedServer(answer)
		srv.Listener = l
		srv.Start()
		if s, err := api.Dial(path).Status(t.Context()); !errors.Is(err, api.ErrUnreachable) {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
		srv.Close()
	}
}

func TestMetricsAlone(t *testing.T) {
	s := api.New(api.Options{Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "up 1\n") })})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.ServeMetrics(ctx, l) }()
	for path, want := range map[string]int{"/metrics": 200, "/v1/status": 404, "/": 404} {
		resp, err := http.Get("http://" + l.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: %d", path, resp.StatusCode)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// Whatever comes, the answer is JSON, nothing panics, and mailhad is not at fault.
func FuzzRequest(f *testing.F) {
	f.Add("POST", "/v1/groups/mx/move", "application/json", []byte(`{"node":"n2","for_seconds":3}`))
	f.Add("PUT", "/v1/config", "application/json", []byte(`{"toml":"[cluster]\nname=\"x\"","revision":5}`))
	f.Add("POST", "/v1/config/review", "application/json", []byte(`{"toml":"[[node]]"}`))
	f.Add("GET", "/v1/explain/mx", "", []byte{})
	f.Add("DELETE", "/v1/groups/mx/bans/n1", "", []byte{})
	f.Add("POST", "/v1/maintenance", "application/json; charset=utf-8", []byte(`{"for_seconds":1e9,"why":"\u0000"}`))
	c := apitest.Serve(f)
	f.Fuzz(func(t *testing.T, method, path, kind string, body []byte) {
		req, err := http.NewRequest(method, "http://x/", strings.NewReader(string(body)))
		if err != nil {
			return
		}
		req.URL.Path = path
		req.Header.Set("Content-Type", kind)
		w := httptest.NewRecorder()
		c.Server.ServeHTTP(w, req) // from nobody: nothing can be changed
		if w.Code >= 500 {
			t.Errorf("%s %s: %d %s", method, path, w.Code, w.Body)
		}
		if w.Header().Get("Content-Type") == "application/json" && !json.Valid(w.Body.Bytes()) {
			t.Errorf("no JSON: %q", w.Body)
		}
		if len(c.Wishes()) > 0 {
			t.Error("somebody unknown has changed something")
		}
	})
}

// What is new in the file and still runs somewhere is refused: it was taken out of an
// earlier one a moment ago.
func TestApplyWaitsForStops(t *testing.T) {
	news := func(group string) string {
		return fmt.Sprintf("\n[[resource]]\nname = \"news\"\nkind = \"service\"\ngroup = %q\nparams = { unit = \"innd.service\" }\n", group)
	}
	for name, file := range map[string]string{
		"in a group that is there": apitest.Config + news("box"),
		"in a new group":           apitest.Config + "\n[[group]]\nname = \"extra\"\nnodes = [\"n2\"]\n" + news("extra"),
	} {
		t.Run(name, func(t *testing.T) {
			c := apitest.Serve(t)
			client := api.Dial(c.Socket)
			c.Change(func(s *state.Snapshot) {
				r := s.Reports["n1"]
				r.Resources = append(r.Resources[:len(r.Resources):len(r.Resources)], state.ResourceReport{Name: "news", Group: "mx", Phase: state.ResourceStopping})
				s.Reports["n1"] = r
			})
			review, err := client.Review(t.Context(), api.ConfigChange{TOML: file})
			if err != nil || !review.Refused() {
				t.Fatalf("%+v, %v", review, err)
			}
			var fault *api.Fault
			if _, err := client.Apply(t.Context(), api.ConfigChange{TOML: file, Revision: review.Revision}); !errors.As(err, &fault) || fault.Code != api.CodeRefused ||
				!strings.Contains(fault.What, `"news" is still stopping on node "n1"`) {
				t.Errorf("it was applied: %v", err)
			}
			c.Report("n1", "news", func(r *state.ResourceReport) { r.Phase = state.ResourceStopped })
			if _, err := client.Apply(t.Context(), api.ConfigChange{TOML: file, Revision: review.Revision}); err != nil {
				t.Error(err)
			}
		})
	}
}

// What stands until it is taken back is not what stands for a while.
func TestOrdersThatLast(t *testing.T) {
	c := apitest.Serve(t)
	client := api.Dial(c.Socket)
	for _, path := range []string{api.Path("nodes", "n2", "standby"), api.Path("resources", "postfix", "stop")} {
		for i, want := range []struct {
			change  api.Change
			already bool
		}{{api.Change{For: 60}, false}, {api.Change{}, false}, {api.Change{}, true}} {
			done, err := client.Ask(t.Context(), path, want.change)
			if err != nil || done.Already != want.already {
				t.Errorf("%s, %d: %+v, %v", path, i, done, err)
			}
		}
	}
}

// A node of another version may not be able to read the new file, and would be left what is
// new all the same.
func TestApplyWantsOneVersion(t *testing.T) {
	c := apitest.Serve(t)
	client := api.Dial(c.Socket)
	file := strings.Replace(apitest.Config, "name = \"mail\"", "name = \"mail\"\nmax_moves = 7", 1)
	c.Change(func(s *state.Snapshot) {
		n := s.Nodes["n2"]
		n.Version = "1.2.2"
		s.Nodes["n2"] = n
	})
	review, err := client.Review(t.Context(), api.ConfigChange{TOML: file})
	if err != nil {
		t.Fatal(err)
	}
	change := api.ConfigChange{TOML: file, Revision: review.Revision}
	var fault *api.Fault
	if _, err := client.Apply(t.Context(), change); !errors.As(err, &fault) || fault.Code != api.CodeRefused || !strings.Contains(fault.What, "n2 runs mailha 1.2.2, and n1 1.2.3") {
		t.Errorf("it was applied: %v", err)
	}
	change.Force = true
	if _, err := client.Apply(t.Context(), change); err != nil {
		t.Error(err)
	}
}
