// SPDX-License-Identifier: Apache-2.0

package walls

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/mailha/mailha/agents"
	"github.com/mailha/mailha/internal/ocf"
	"github.com/mailha/mailha/internal/suite"
)

// longestShort is what fits beside a name in a list on a terminal.
const longestShort = 76

// paramFaults lists what is wrong with one row of a parameter table. It sets
// the parameter to its own default.
func paramFaults(p agents.Param) []string {
	var faults []string
	add := func(ok bool, fault string) {
		if !ok {
			faults = append(faults, fault)
		}
	}
	add(regexp.MustCompile(`^[a-z][a-z0-9_]*$`).MatchString(p.Name), "its name is not lower case with underscores")
	add(p.Short != "" && !strings.HasSuffix(p.Short, "."), "Short is empty or ends with a full stop")
	add(utf8.RuneCountInString(p.Short) <= longestShort, fmt.Sprintf("Short has more than %d columns", longestShort))
	add(strings.HasSuffix(p.Long, "."), "Long does not end with a full stop")
	add(slices.Contains([]string{"string", "integer", "boolean"}, p.Value.OCFType()), "OCF has no type "+p.Value.OCFType())
	if def := p.Value.String(); def != "" {
		add(!p.Required, "it is required and has a default")
		err := p.Value.Set(def)
		add(err == nil, fmt.Sprintf("its default %q is refused: %v", def, err))
		add(p.Value.String() == def, fmt.Sprintf("its default %q reads back as %q", def, p.Value))
	}
	return faults
}

// typeFaults lists what is wrong with an agent's type apart from its parameters.
func typeFaults(t agents.Type, params agents.Table) []string {
	var faults []string
	reloadable := slices.ContainsFunc(params, func(p agents.Param) bool { return p.Reloadable })
	for _, name := range []string{"start", "stop", "monitor", "validate-all", "meta-data", "reload-agent"} {
		switch has := slices.ContainsFunc(t.Actions, func(a agents.Action) bool { return a.Name == name }); {
		case name == "reload-agent" && has != reloadable:
			faults = append(faults, fmt.Sprintf("reload-agent is there: %t; a parameter is reloadable: %t", has, reloadable))
		case name != "reload-agent" && !has:
			faults = append(faults, "lacks the action "+name)
		}
	}
	intervals := map[time.Duration]bool{}
	for _, a := range t.Actions {
		if a.Timeout <= 0 || a.Timeout%time.Second != 0 || a.Interval%time.Second != 0 {
			faults = append(faults, a.Name+": its times are not whole seconds, or its timeout is not above zero")
		}
		if !slices.ContainsFunc(ocf.Actions(), func(n ocf.Note) bool { return n.Name == a.Name }) {
			faults = append(faults, a.Name+": ocf.Actions does not explain it")
		}
		if a.Role != "" && (a.Name != "monitor" || a.Role != agents.RolePromoted && a.Role != agents.RoleUnpromoted) {
			faults = append(faults, fmt.Sprintf("%s has the role %q", a.Name, a.Role))
		}
		if (a.Name == "monitor") != (a.Interval > 0) {
			faults = append(faults, a.Name+": only monitors recur, and all of them do")
		}
		// Pacemaker takes two of the same interval for one.
		if a.Name == "monitor" && intervals[a.Interval] {
			faults = append(faults, fmt.Sprintf("two monitors with the interval %s", a.Interval))
		}
		intervals[a.Interval] = true
	}
	names := map[string]bool{}
	for _, p := range params {
		if names[p.Name] {
			faults = append(faults, "two parameters "+p.Name)
		}
		names[p.Name] = true
	}
	if t.Short == "" || strings.HasSuffix(t.Short, ".") || !strings.HasSuffix(t.Long, ".") {
		faults = append(faults, "Short must be without a full stop, and Long end with one")
	}
	return faults
}

// roleFaults lists where a type and its agent differ about roles.
func roleFaults(t agents.Type, agent agents.Agent) []string {
	var faults []string
	_, promoter := agent.(agents.Promoter)
	for _, name := range []string{"promote", "demote"} {
		if has := slices.ContainsFunc(t.Actions, func(a agents.Action) bool { return a.Name == name }); has != promoter {
			faults = append(faults, fmt.Sprintf("%s is there: %t; the agent can be promoted: %t", name, has, promoter))
		}
	}
	for _, a := range t.Actions {
		if a.Name == "monitor" && (a.Role != "") != promoter {
			faults = append(faults, fmt.Sprintf("monitor at depth %d has the role %q; the agent can be promoted: %t", a.Depth, a.Role, promoter))
		}
	}
	return faults
}

// exampleFaults lists what is wrong with the example that the manual shows.
func exampleFaults(t agents.Type, agent agents.Agent) []string {
	var faults []string
	if len(t.Example) == 0 {
		faults = append(faults, "there is none")
	}
	for name, value := range t.Example {
		if strings.Trim(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,:/@_-") != "" || value == "" {
			faults = append(faults, fmt.Sprintf("%s=%q is not one word to a shell", name, value))
		}
	}
	table := agent.Params()
	if err := table.Unknown(t.Example); err != nil {
		faults = append(faults, err.Error())
	}
	if err := table.Parse(t.Example); err != nil {
		faults = append(faults, err.Error())
	}
	return faults
}

func TestTables(t *testing.T) {
	for _, typ := range suite.Types() {
		t.Run(typ.Name, func(t *testing.T) {
			params := typ.New(agents.Env{}).Params()
			for _, p := range params {
				for _, fault := range paramFaults(p) {
					t.Errorf("parameter %s: %s", p.Name, fault)
				}
			}
			for _, fault := range typeFaults(typ, params) {
				t.Error(fault)
			}
			agent := typ.New(agents.Env{})
			for _, fault := range roleFaults(typ, agent) {
				t.Error(fault)
			}
			for _, fault := range exampleFaults(typ, agent) {
				t.Errorf("example: %s", fault)
			}
			if err := agent.Validate(t.Context(), agents.DepthShallow); err != nil {
				t.Errorf("example: %v", err)
			}
		})
	}
}

// lossy shows something else than it was set to.
type lossy struct{ agents.Text }

func (*lossy) OCFType() string    { return "date" }
func (l *lossy) Set(string) error { return l.Text.Set("other") }

// The rules find each fault by itself.
func TestRulesAboutTables(t *testing.T) {
	text, number := agents.Text("x"), agents.Duration(25*time.Hour)
	good := agents.Param{Name: "a_1", Value: &text, Short: "A text", Long: "It is one."}
	if faults := paramFaults(good); faults != nil {
		t.Errorf("a good parameter: %q", faults)
	}
	for name, change := range map[string]func(*agents.Param){
		"lower case":          func(p *agents.Param) { p.Name = "a-1" },
		"ends with a full":    func(p *agents.Param) { p.Short = "A text." },
		"more than 76":        func(p *agents.Param) { p.Short = strings.Repeat("ä", 77) },
		"does not end":        func(p *agents.Param) { p.Long = "It is one" },
		"has a default":       func(p *agents.Param) { p.Required = true },
		"is refused":          func(p *agents.Param) { p.Value = &number },
		`reads back as "oth`:  func(p *agents.Param) { p.Value = &lossy{"x"} },
		"OCF has no type dat": func(p *agents.Param) { p.Value = &lossy{} },
	} {
		p := good
		change(&p)
		if faults := strings.Join(paramFaults(p), "; "); !strings.Contains(faults, name) {
			t.Errorf("want a fault with %q, got %q", name, faults)
		}
	}

	for name, change := range map[string]func(*agents.Type, *agents.Table){
		"lacks the action stop":  func(t *agents.Type, _ *agents.Table) { t.Actions = drop(t.Actions, "stop") },
		"reload-agent is there":  func(t *agents.Type, _ *agents.Table) { t.Actions = drop(t.Actions, "reload-agent") },
		"parameter is reloadabl": func(_ *agents.Type, params *agents.Table) { *params = nil },
		"above zero":             func(t *agents.Type, _ *agents.Table) { t.Actions[0].Timeout = 0 },
		"whole seconds":          func(t *agents.Type, _ *agents.Table) { t.Actions[0].Timeout = 1500 * time.Millisecond },
		"does not explain":       func(t *agents.Type, _ *agents.Table) { t.Actions[0].Name = "recover" },
		"has the role":           func(t *agents.Type, _ *agents.Table) { t.Actions[0].Role = agents.RolePromoted },
		"only monitors recur":    func(t *agents.Type, _ *agents.Table) { t.Actions[0].Interval = time.Second },
		"two monitors":           func(t *agents.Type, _ *agents.Table) { t.Actions = append(t.Actions, t.Actions[2]) },
		"two parameters":         func(_ *agents.Type, params *agents.Table) { *params = append(*params, (*params)[0]) },
		"without a full stop":    func(t *agents.Type, _ *agents.Table) { t.Short += "." },
	} {
		typ := agents.VIPType()
		params := typ.New(agents.Env{}).Params()
		change(&typ, &params)
		if faults := strings.Join(typeFaults(typ, params), "; "); !strings.Contains(faults, name) {
			t.Errorf("want a fault with %q, got %q", name, faults)
		}
	}

	for name, change := range map[string]func(*agents.Type){
		"promote is there": func(t *agents.Type) { t.Actions = append(t.Actions, agents.Action{Name: "promote"}) },
		"demote is there":  func(t *agents.Type) { t.Actions = append(t.Actions, agents.Action{Name: "demote"}) },
		"has the role":     func(t *agents.Type) { t.Actions[2].Role = agents.RoleUnpromoted },
	} {
		typ := agents.VIPType()
		change(&typ)
		if faults := strings.Join(roleFaults(typ, typ.New(agents.Env{})), "; "); !strings.Contains(faults, name) {
			t.Errorf("want a fault with %q, got %q", name, faults)
		}
	}

	for name, example := range map[string]map[string]string{
		"there is none":     nil,
		"not one word":      {"ip": "192.0.2.1 192.0.2.2"},
		"no such parameter": {"ip": "192.0.2.1", "no": "x"},
		"required":          {"nic": "eth0"},
		"parameter ip":      {"ip": "192.0.2"},
	} {
		typ := agents.VIPType()
		typ.Example = example
		if faults := strings.Join(exampleFaults(typ, typ.New(agents.Env{})), "; "); !strings.Contains(faults, name) {
			t.Errorf("want a fault with %q, got %q", name, faults)
		}
	}
}

func drop(actions []agents.Action, name string) []agents.Action {
	return slices.DeleteFunc(slices.Clone(actions), func(a agents.Action) bool { return a.Name == name })
}
