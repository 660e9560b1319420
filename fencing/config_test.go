// SPDX-License-Identifier: Apache-2.0

package fencing

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mailha/mailha/resources"
)

func TestDevices(t *testing.T) {
	c, err := resources.Parse("mailha.toml", []byte(`[cluster]
name = "x"
[[node]]
name = "n1"
address = "192.0.2.1"
[[node]]
name = "n2"
address = "192.0.2.2"
[[node]]
name = "n3"
address = "192.0.2.3"
[[fence]]
name = "pdu"
agent = "fence_apc"
ports = { n1 = 3, n2 = "4" }
level = 2
action = "off"
delay = "1s"
delay_random = "2s"
timeout = "3s"
attempts = 4
verify = "5s"
check_interval = "6m"
parameters = { ip = "192.0.2.9", ssh = true, power_wait = 5 }
secrets = { password = "/etc/mailha/pdu" }
[[fence]]
name = "plain"
agent = "/opt/fence_own"
nodes = "n3"
[[fence]]
name = "pill"
agent = "fence_mailha"
nodes = "n1"
[[fence]]
name = "pill-off"
agent = "fence_mailha"
nodes = "n2"
action = "off"
`), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []Device{
		{
			Name: "pdu", Agent: "fence_apc", Ports: map[string]string{"n1": "3", "n2": "4"}, Level: 2, Action: Off, Method: OnOff, Delay: time.Second, DelayRandom: 2 * time.Second,
			Timeout: 3 * time.Second, Attempts: 4, Verify: 5 * time.Second, CheckInterval: 6 * time.Minute,
			Parameters: map[string]string{"ip": "192.0.2.9", "ssh": "true", "power_wait": "5"}, Secrets: map[string]string{"password": "/etc/mailha/pdu"},
		},
		Device{Name: "plain", Agent: "/opt/fence_own", Ports: map[string]string{"n3": "n3"}}.withDefaults(),
		// It cannot switch on what it has ended.
		Device{Name: "pill", Agent: "fence_mailha", Ports: map[string]string{"n1": "n1"}, Method: Cycle, LeavesOn: true}.withDefaults(),
		Device{Name: "pill-off", Agent: "fence_mailha", Ports: map[string]string{"n2": "n2"}, Action: Off, LeavesOn: true}.withDefaults(),
	}
	got := Devices(c)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if _, err := New(Config{Devices: got}); err != nil {
		t.Error(err)
	}
}

// What an agent says is wrong has its place in the file.
func TestCheckFile(t *testing.T) {
	meta := filepath.Join(t.TempDir(), "meta")
	if err := os.WriteFile(meta, []byte(goodMetadata), 0o644); err != nil {
		t.Fatal(err)
	}
	count := filepath.Join(t.TempDir(), "count")
	good, broken := script(t, "echo >>"+count+"; cat "+meta).Agent, script(t, "exit 1").Agent
	text := []byte(fmt.Sprintf(`[cluster]
name = "x"
[[node]]
name = "n1"
[[fence]]
name = "a"
agent = %q
nodes = "n1"
secrets = { pasword = "/x" }
[fence.parameters]
ip = "192.0.2.1"
lanpuls = true
[[fence]]
name = "b"
agent = %[1]q
nodes = "n1"
[[fence]]
name = "c"
agent = "fence_there_is_none"
nodes = "n1"
[[fence]]
name = "d"
agent = %q
nodes = "n1"
`, good, broken))
	c, err := resources.Parse("mailha.toml", text, nil)
	if err != nil {
		t.Fatal(err)
	}
	problems, warnings := CheckFile(t.Context(), "mailha.toml", text, c)
	want := `mailha.toml:9: fence "a": ` + good + ` has no parameter "pasword"; did you mean "password"?
mailha.toml:12: fence "a": ` + good + ` has no parameter "lanpuls"; did you mean "lanplus"?
mailha.toml:13: fence "b": ` + good + ` needs parameter "ip"
mailha.toml:21: fence "d": agent ` + broken + `: no metadata: exit code 1, and no word about why`
	if diff := cmp.Diff(want, problems.Error()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if got, want := warnings.Error(), `mailha.toml:17: fence "c": agent fence_there_is_none is not installed on this node, so that its parameters are not checked; every node that may have to fence needs it`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if data, err := os.ReadFile(count); err != nil || string(data) != "\n" {
		t.Errorf("the agent was asked %d times, %v", len(data), err)
	}
}
