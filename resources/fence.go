// SPDX-License-Identifier: Apache-2.0

package resources

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Fence is a device that can switch nodes off.
type Fence struct {
	Name string
	// Agent is the name of a program in /usr/sbin that begins with fence_, or an
	// absolute path.
	Agent string
	// Ports has each node that it can switch off with its outlet, which is the node's
	// own name if the file says nothing else. It is never empty.
	Ports map[string]string
	// Level is when its turn is, 1 to 9: all devices of a node's level have to succeed,
	// or else those of the next are asked.
	Level  int
	Action FenceAction
	// Method is how it ends a node that is to run again.
	Method FenceMethod
	// Delay and up to DelayRandom more are waited before each attempt, up to 5m.
	Delay, DelayRandom time.Duration
	Timeout            time.Duration // of one attempt, 1s to 10m
	Attempts           int           // 1 to 10
	Verify             time.Duration // between two questions for the status, 10ms to 10s
	CheckInterval      time.Duration // 1m to 24h
	// LeavesOn says that a node which it has fenced may go on to answer on the network.
	LeavesOn bool
	// Parameters are the agent's, as text; Secrets are those of which the file has only
	// the names of other files, absolute.
	Parameters, Secrets map[string]string
}

// FenceAction is what becomes of a node when it is off.
type FenceAction string

const (
	FenceReboot FenceAction = "reboot" // it is switched on again
	FenceOff    FenceAction = "off"    // it stays off until somebody switches it on
)

// FenceMethod is how a node that is to run again is ended, in the words of fence-agents.
type FenceMethod string

const (
	FenceOnOff FenceMethod = "onoff" // off, its status, and on again
	// FenceCycle is the agent's own reboot, whose success is the proof: nothing shows a node
	// to be off that comes back by itself.
	FenceCycle FenceMethod = "cycle"
)

// fenceText is a device with its places.
type fenceText struct {
	*section
	Fence
	ports map[string]place // by node
}

// fenceGiven are parameters that mailhad sets itself.
func fenceGiven() []string { return []string{"action", "option", "plug", "port", "nodename"} }

func (c *checker) readFence(s *section) {
	f := &fenceText{section: s, ports: map[string]place{}}
	f.Name = s.named("fence", `^[a-zA-Z0-9][-_.a-zA-Z0-9]*$`, nameRule)
	s.required("agent", `such as agent = "fence_ipmilan"`)
	agent := s.text("agent", "")
	if f.Agent = agent.text; s.get("agent") != nil && s.get("agent").form == formText && !strings.HasPrefix(f.Agent, "/") && !regexp.MustCompile(`^fence_[A-Za-z0-9_.-]+$`).MatchString(f.Agent) {
		s.problem(agent.at, "it begins with fence_ and is in /usr/sbin, or write the whole path", "agent = %q is no fence agent's name", f.Agent)
	}
	f.readPorts()
	f.Level = s.number("level", 1, 1, 9)
	f.Action = choice(s, "action", FenceReboot, FenceReboot, FenceOff)
	f.readMethod()
	f.Delay = s.duration("delay", span{0, 0, 5 * time.Minute})
	f.DelayRandom = s.duration("delay_random", span{0, 0, 5 * time.Minute})
	f.Timeout = s.duration("timeout", span{time.Minute, time.Second, 10 * time.Minute})
	f.Attempts = s.number("attempts", 2, 1, 10)
	f.Verify = s.duration("verify", span{500 * time.Millisecond, 10 * time.Millisecond, 10 * time.Second})
	f.CheckInterval = s.duration("check_interval", span{time.Hour, time.Minute, 24 * time.Hour})
	f.LeavesOn = s.bool("leaves_on", f.fromWithin())
	if p := s.sub("parameters", s.label); p != nil {
		f.Parameters = p.fenceParams()
	}
	if p := s.sub("secrets", s.label); p != nil {
		f.Secrets = p.fenceSecrets(f.Parameters)
	}
	s.rest()
	if i := slices.IndexFunc(c.fences, func(o *fenceText) bool { return o.Name == f.Name && f.Name != "" }); i >= 0 {
		s.problem(s.at, "", "a fence device of that name is in line %d already", c.fences[i].section.at.line)
	}
	c.fences = append(c.fences, f)
}

// fromWithin says whether the agent has a node end itself, and cannot switch it on.
func (f *fenceText) fromWithin() bool { return filepath.Base(f.Agent) == "fence_mailha" }

func (f *fenceText) readMethod() {
	standard := FenceOnOff
	if f.fromWithin() && f.Action == FenceReboot {
		standard = FenceCycle
	}
	f.Method = choice(f.section, "method", standard, FenceOnOff, FenceCycle)
	if f.Method == FenceCycle && f.Action == FenceOff {
		f.problem(f.get("method").at, "leave method out", "method = %q is for nodes that run again, and action is %q", FenceCycle, FenceOff)
		f.Method = FenceOnOff
	}
}

// readPorts reads nodes = ["a", "b"] or ports = { a = "1", b = "2" }.
func (f *fenceText) readPorts() {
	f.Ports = map[string]string{}
	nodes, ports := f.get("nodes"), f.get("ports")
	switch {
	case nodes == nil && ports == nil && !f.torn:
		f.problem(f.at, `write ports = { node1 = "3" } with each node's outlet, or nodes = ["node1"] if the agent knows nodes by their names or has but one`, "nodes is missing")
	case nodes != nil && ports != nil:
		f.problem(nodes.at, "leave nodes out", "nodes and ports say the same")
	}
	for _, i := range f.texts("nodes") {
		f.Ports[i.text], f.ports[i.text] = i.text, i.at
	}
	s := f.sub("ports", f.label)
	if s == nil {
		return
	}
	owner := map[string]string{}
	for _, k := range s.keys {
		text := k.text
		switch {
		case k.form != formText && k.form != formNumber:
			s.problem(k.value.at, `write it as `+k.name+` = "3"`, "the outlet of node %q has to be a string, and is %s", k.name, k.form)
			continue
		case text == "" || control(text):
			s.problem(k.value.at, "", "the outlet of node %q is empty or has a control character in it", k.name)
			continue
		case owner[text] != "":
			s.problem(k.value.at, "each node has its own", "outlet %q is that of node %q already", text, owner[text])
		}
		owner[text] = k.name
		f.Ports[k.name], f.ports[k.name] = text, k.at
	}
	if len(s.keys) == 0 {
		s.problem(s.at, `such as ports = { node1 = "3" }`, "ports is empty")
	}
}

func control(text string) bool {
	return strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// fenceName says whether a parameter may be set at all.
func (s *section) fenceName(k key) bool {
	switch {
	case slices.Contains(fenceGiven(), k.name):
		s.problem(k.at, "ports names the outlets, and action what becomes of a node", "parameter %s is mailhad's to set", k.name)
	case !regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]*$`).MatchString(k.name):
		s.problem(k.at, "", "%q is no parameter's name", k.name)
	default:
		return true
	}
	return false
}

func (s *section) fenceParams() map[string]string {
	all := map[string]string{}
	for _, k := range s.keys {
		text, ok := s.param(k)
		switch {
		case !s.fenceName(k) || !ok:
		case secretive(k.name):
			s.problem(k.at, fmt.Sprintf(`write it into a file of root's with mode 0600, and secrets = { %s = "/etc/mailha/FILE" }: all who may look see this file`, k.name), "parameter %s is a secret", k.name)
		default:
			all[k.name] = text
		}
	}
	return all
}

// secretive says whether a parameter is a secret by its name, as agents have them.
func secretive(name string) bool {
	if strings.HasSuffix(name, "_script") || strings.HasSuffix(name, "_file") {
		return false
	}
	return slices.ContainsFunc([]string{"passw", "secret", "token", "apikey", "hexadecimal_kg"}, func(part string) bool { return strings.Contains(name, part) })
}

func (s *section) fenceSecrets(params map[string]string) map[string]string {
	all := map[string]string{}
	for _, k := range s.keys {
		if !s.fenceName(k) {
			continue
		}
		if _, twice := params[k.name]; twice {
			s.problem(k.at, "leave one of them out", "%s is in parameters, too", k.name)
		}
		if file := s.path(k.name, ""); file != "" {
			all[k.name] = file
		}
	}
	return all
}

// checkFence looks at whether a device's nodes are nodes, and its word is worth something.
func (c *checker) checkFence(f *fenceText) {
	if f.Method == FenceCycle && !f.fromWithin() {
		c.warn(f.get("method").at, fmt.Sprintf("fence %q: a reboot by %s is believed without a look at the node's power; one that cuts nothing has its groups on two nodes", f.Name, filepath.Base(f.Agent)), "leave method out, unless the agent returns only when the node's life is over for certain")
	}
	for _, k := range f.order() {
		n, ok := c.cluster.Node(k)
		switch {
		case !ok:
			f.problem(f.ports[k], DidYouMean(k, names(c.cluster.Nodes, func(n Node) string { return n.Name })), "node %q is not in [[node]]", k)
		case n.Witness:
			f.problem(f.ports[k], "take it out", "node %q is a witness, has nothing, and is never fenced", k)
		}
	}
	c.cluster.Fences = append(c.cluster.Fences, f.Fence)
}

// order is the nodes in the file's order.
func (f *fenceText) order() []string {
	var all []string
	for name := range f.ports {
		all = append(all, name)
	}
	slices.SortFunc(all, func(a, b string) int {
		x, y := f.ports[a], f.ports[b]
		if x.line != y.line {
			return x.line - y.line
		}
		return x.column - y.column
	})
	return all
}

// Fence finds a fence device.
func (c *Cluster) Fence(name string) (Fence, bool) {
	return find(c.Fences, func(f Fence) bool { return f.Name == name })
}

// FenceProblem puts something that is wrong with a fence device of a file at its place
// there: that of the parameter or secret, or if that is empty, of the device.
func FenceProblem(file string, data []byte, fence, param, what, hint string) Problem {
	d := read(file, data)
	root := &section{document: d, table: d.root}
	at := place{1, 1}
	for _, s := range root.subs("fence") {
		if k := s.get("name"); k == nil || k.text != fence {
			continue
		}
		at = s.at
		for _, name := range []string{"parameters", "secrets"} {
			if p := s.get(name); p != nil && p.form == formTable && p.table.get(param) != nil {
				at = p.table.get(param).at
			}
		}
	}
	return Problem{File: file, Line: at.line, Column: at.column, What: fmt.Sprintf("fence %q: %s", fence, what), Hint: hint}
}
