// SPDX-License-Identifier: Apache-2.0

package kinds_test

import (
	"strings"
	"testing"

	"github.com/mailha/mailha/internal/kinds"
	"github.com/mailha/mailha/internal/suite"
	"github.com/mailha/mailha/resources"
)

func TestReferenceIsOfTheKindsThatShip(t *testing.T) {
	if _, err := resources.Parse("reference.toml", []byte(resources.Reference()), kinds.Of(suite.Types())); err != nil {
		t.Error(err)
	}
}

func TestWrongParametersAreTold(t *testing.T) {
	const text = `
[cluster]
name = "mail"
[[node]]
name = "n1"
[[group]]
name = "mail"
[[resource]]
name = "vip"
kind = "vip"
group = "mail"
params = { ip = "192.0.2.300/24", nick = "eth0" }
[[resource]]
name = "news"
kind = "service"
group = "mail"
`
	_, err := resources.Parse("x.toml", []byte(text), kinds.Of(suite.Types()))
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"x.toml:12: ", "192.0.2.300", "nick", "unit: required"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in\n%s", want, err)
		}
	}
}

// Two instances of Postfix are told apart by their directories, whatever Exim's
// file is called by default.
func TestTwoInstancesOfAProduct(t *testing.T) {
	const text = `
[cluster]
name = "mail"
[[node]]
name = "n1"
[[group]]
name = "mail"
[[resource]]
name = "in"
kind = "mta"
group = "mail"
params = { config_dir = "/etc/postfix-in" }
[[resource]]
name = "out"
kind = "mta"
group = "mail"
`
	if _, err := resources.Parse("x.toml", []byte(text), kinds.Of(suite.Types())); err != nil {
		t.Error(err)
	}
	same := strings.Replace(text, "/etc/postfix-in", "/etc/postfix", 1)
	if _, err := resources.Parse("x.toml", []byte(same), kinds.Of(suite.Types())); err == nil || !strings.Contains(err.Error(), "config_dir") {
		t.Errorf("two instances of one directory: %v", err)
	}
}

func TestEveryKindHasItsFigures(t *testing.T) {
	for _, k := range kinds.Of(suite.Types()) {
		if k.StartTimeout == 0 || k.StopTimeout == 0 || len(k.Monitors) == 0 || len(k.Params) == 0 {
			t.Errorf("%s: %+v", k.Name, k)
		}
		for i, m := range k.Monitors {
			if i > 0 && k.Monitors[i-1].Depth >= m.Depth {
				t.Errorf("%s has two monitors of depth %d", k.Name, m.Depth)
			}
		}
	}
}

func TestUnguarded(t *testing.T) {
	k, ok := kinds.Of(suite.Types()).Kind("filesystem")
	if !ok || k.Unguarded == nil {
		t.Fatal("a shared disk is nothing to guard")
	}
	for more, want := range map[string]string{"": "/dev/x", "require_mmp": "", "options": ""} {
		params := map[string]string{"device": "/dev/x", "directory": "/srv"}
		if more != "" {
			params[more] = map[string]string{"require_mmp": "true", "options": "noatime,ro"}[more]
		}
		if got := k.Unguarded(params); got != want {
			t.Errorf("with %q: %q, want %q", more, got, want)
		}
	}
	if got := k.Unguarded(map[string]string{"device": "x"}); got != "" {
		t.Errorf("with bad parameters: %q", got)
	}
}
