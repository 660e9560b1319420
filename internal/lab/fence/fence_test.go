// SPDX-License-Identifier: Apache-2.0

package fence

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// rack is a Power whose nodes are switches.
type rack struct {
	mu    sync.Mutex
	on    map[string]bool
	calls []string
	stuck string // a node that can't be proved off
	noUp  string // a node that does not come up
}

func (r *rack) Nodes() []string { return []string{"node1", "node2"} }

func (r *rack) Off(ctx context.Context, node string) error { return r.set(ctx, node, false) }

func (r *rack) On(ctx context.Context, node string) error { return r.set(ctx, node, true) }

func (r *rack) set(_ context.Context, node string, on bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.on[node]; !ok {
		return fmt.Errorf("no node %q", node)
	}
	if !on && node == r.stuck {
		return errors.New("processes are left")
	}
	if on && node == r.noUp {
		return errors.New("does not boot")
	}
	r.on[node] = on
	r.calls = append(r.calls, fmt.Sprint(node, on))
	return nil
}

func (r *rack) IsOn(node string) (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	on, ok := r.on[node]
	if !ok {
		return false, fmt.Errorf("no node %q", node)
	}
	return on, nil
}

func serve(t *testing.T, r *rack) (socket, log string) {
	t.Helper()
	dir := t.TempDir()
	socket, log = filepath.Join(dir, SocketName), filepath.Join(dir, "log")
	if err := os.WriteFile(socket, nil, 0o600); err != nil { // what a dead server left
		t.Fatal(err)
	}
	s, err := Listen(socket, log, r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return socket, log
}

func TestAgent(t *testing.T) {
	for _, tt := range []struct {
		name, stdin string
		code        int
		stdout      string // prefix
		stderr      string // part
		calls       []string
	}{
		{"off", "action=off\nplug=node1\n", 0, "", "", []string{"node1false"}},
		{"off, old name", "action=off\nport=node1\n", 0, "", "", []string{"node1false"}},
		{"off, as Pacemaker sends it", "nodename=node1\naction=off\nport=\nplug=\ncrm_meta_timeout=20000\n", 0, "", "", []string{"node1false"}},
		{"plug wins", "nodename=node2\naction=off\nplug=node1\n", 0, "", "", []string{"node1false"}},
		{"default is reboot", "plug=node1\n", 0, "", "", []string{"node1false", "node1true"}},
		{"on", "action=on\nplug=node2\n", 0, "", "", []string{"node2true"}},
		{"on fails", "action=on\nplug=noup\n", 1, "", "does not boot", nil},
		{"status on", "action=status\nplug=node1\n", 0, "", "", nil},
		{"status off", "action=status\nplug=node2\n", 2, "", "", nil},
		{"status unknown", "action=status\nplug=nodeX\n", 1, "", `no node "nodeX"`, nil},
		{"not proved off", "action=off\nplug=stuck\n", 1, "", "processes are left", nil},
		{"not proved off, reboot", "action=reboot\nplug=stuck\n", 1, "", "processes are left", nil},
		{"off is what counts in a reboot", "action=reboot\nplug=noup\n", 0, "", "", []string{"noupfalse"}},
		{"no node", "action=off\n", 1, "", `no node ""`, nil},
		{"list", "action=list\n", 0, "node1,\nnode2,\n", "", nil},
		{"monitor", "action=monitor\n", 0, "", "", nil},
		{"validate", "action=validate-all\n", 0, "", "", nil},
		{"metadata", "action=metadata\n", 0, "<?xml", "", nil},
		{"unknown action", "action=explode\nplug=node1\n", 1, "", "unknown action", nil},
		{"fails", "action=off\nplug=node1\nmode=fails\n", 1, "", "waiting to power OFF", nil},
		{"lies", "action=off\nplug=node1\nmode=lies\n", 0, "", "", nil},
		{"lies on", "action=status\nplug=node1\nmode=lies\n", 2, "", "", nil},
		{"contradicts", "action=off\nplug=node1\nmode=contradicts\n", 0, "", "", nil},
		{"contradicts itself", "action=status\nplug=node1\nmode=contradicts\n", 0, "", "", nil},
		{"answers late", "action=off\nplug=node1\nmode=answers-late\nlate=0.01\n", 0, "", "", []string{"node1false"}},
		{"no such mode", "action=off\nplug=node1\nmode=x\n", 1, "", "no mode", nil},
		{"another socket", "action=off\nplug=node1\nsocket=/none\n", 1, "", "/none", nil},
		{"noise", "# plug=node2\n\nnonsense\n action = x\naction=off\nplug=node1", 0, "", "", []string{"node1false"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := &rack{on: map[string]bool{"node1": true, "node2": false, "stuck": true, "noup": true}, stuck: "stuck", noUp: "noup"}
			socket, _ := serve(t, r)
			var stdout, stderr bytes.Buffer
			code := Agent(t.Context(), socket, strings.NewReader(tt.stdin), &stdout, &stderr)
			if code != tt.code || !strings.HasPrefix(stdout.String(), tt.stdout) || !strings.Contains(stderr.String(), tt.stderr) {
				t.Errorf("got %d, %q, %q; want %d, %q, %q", code, &stdout, &stderr, tt.code, tt.stdout, tt.stderr)
			}
			if diff := cmp.Diff(tt.calls, r.calls); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
		})
	}
}

// Without an answer nothing may be taken for off.
func TestAgentWithoutServer(t *testing.T) {
	for name, answer := range map[string]func(context.Context, net.Conn){
		"mute":     func(ctx context.Context, _ net.Conn) { <-ctx.Done() },
		"hangs up": func(context.Context, net.Conn) {},
		"nonsense": func(_ context.Context, c net.Conn) { io.WriteString(c, "off\n") },
		"half":     func(_ context.Context, c net.Conn) { io.WriteString(c, `{"on":false`) },
	} {
		for _, action := range []string{"status", "off"} {
			socket := filepath.Join(t.TempDir(), SocketName)
			l, err := net.Listen("unix", socket)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			var wg sync.WaitGroup
			wg.Go(func() {
				if c, err := l.Accept(); err == nil {
					answer(ctx, c)
					c.Close()
				}
			})
			if code := Agent(ctx, socket, strings.NewReader("action="+action+"\nplug=node1\n"), io.Discard, io.Discard); code != 1 {
				t.Errorf("%s: %s: exit code %d", name, action, code)
			}
			cancel()
			l.Close()
			wg.Wait()
		}
	}
	socket := filepath.Join(t.TempDir(), "none")
	if code := Agent(t.Context(), socket, strings.NewReader("action=off\nplug=x"), io.Discard, io.Discard); code != 1 {
		t.Errorf("no socket: exit code %d", code)
	}
}

func TestHistory(t *testing.T) {
	r := &rack{on: map[string]bool{"node1": true, "node2": true}, stuck: "node2"}
	socket, log := serve(t, r)
	if h, err := History(log); err != nil || h != nil {
		t.Errorf("before anything: %v, %v", h, err)
	}
	var wg sync.WaitGroup
	for range 20 { // lines of actions at the same time must not mix
		wg.Go(func() {
			Agent(t.Context(), socket, strings.NewReader("action=reboot\nplug=node1"), io.Discard, io.Discard)
			Agent(t.Context(), socket, strings.NewReader("action=off\nplug=node2"), io.Discard, io.Discard)
			Agent(t.Context(), socket, strings.NewReader("action=status\nplug=node2"), io.Discard, io.Discard)
		})
	}
	wg.Wait()
	h, err := History(log)
	if err != nil || len(h) != 40 {
		t.Fatalf("got %d events, %v; want 40", len(h), err)
	}
	for _, e := range h {
		ok := e.Node == "node1" && e.Action == Reboot && e.Err == "" && e.OffIn > 0 && e.Took >= e.OffIn ||
			e.Node == "node2" && e.Action == Off && strings.Contains(e.Err, "left") && e.OffIn == 0
		if !ok || time.Since(e.Time) > time.Minute {
			t.Errorf("event %+v", e)
		}
	}
	f, err := os.OpenFile(log, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	io.WriteString(f, `{"time":"20`) // being written
	if h, err := History(log); err != nil || len(h) != 40 {
		t.Errorf("with half a line: got %d events, %v", len(h), err)
	}
}

// Two clients that never send anything must not keep the server from closing.
func TestServerCloses(t *testing.T) {
	dir := t.TempDir()
	s, err := Listen(filepath.Join(dir, SocketName), filepath.Join(dir, "log"), &rack{})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		c, err := net.Dial("unix", filepath.Join(dir, SocketName))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	start := time.Now()
	s.Close()
	if took := time.Since(start); took > time.Second {
		t.Errorf("took %v", took)
	}
}

func TestMetadataIsXML(t *testing.T) {
	var agent struct {
		Name    string `xml:"name,attr"`
		Actions []struct {
			Name string `xml:"name,attr"`
		} `xml:"actions>action"`
	}
	if err := xml.Unmarshal([]byte(metadata), &agent); err != nil {
		t.Fatal(err)
	}
	if agent.Name != "fence_lab" || len(agent.Actions) != 8 {
		t.Errorf("got %+v", agent)
	}
}

func FuzzReadOptions(f *testing.F) {
	f.Add("action=off\nplug=node1\n")
	f.Add("=\n==\n#=\nplug=\x00\n")
	f.Fuzz(func(t *testing.T, in string) {
		o, err := readOptions(strings.NewReader(in))
		if err == nil && o["action"] == "" {
			t.Errorf("%q: no action", in)
		}
	})
}
