// SPDX-License-Identifier: Apache-2.0

package fenceagent

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// option is a parameter of the agent, in both of its forms.
type option struct {
	name     string // on standard input and, with hyphens, as a long option
	letter   string // the short option; empty: none
	kind     string // string, second, boolean: as metadata have it
	standard string // the default; empty: none
	required bool
	text     string
	former   bool   // deprecated: another one has taken its place
	instead  string // whose former name is this: another parameter's
}

// Defaults of the parameters.
const (
	defaultConfig  = "/etc/mailha/mailha.toml"
	defaultTimeout = "60"
)

// options are all parameters, in the order in which they are shown.
func options() []option {
	return []option{
		{name: "action", letter: "o", kind: "string", standard: Reboot, required: true, text: "What to do."},
		{name: "config", letter: "c", kind: "string", standard: defaultConfig, text: "The configuration: the name of the cluster, its nodes, and how its etcd is reached."},
		{name: "delay", kind: "second", standard: "0", text: "Wait so long before anything is done."},
		{name: "plug", letter: "n", kind: "string", required: true, instead: "port", text: "The node, by its name in the configuration."},
		{name: "port", kind: "string", text: "The node, by its name in the configuration.", former: true},
		{name: "power_timeout", kind: "second", standard: defaultTimeout, text: "Wait so long for the proof that the node is off: longer than its lease and margin."},
		{name: "verbose", letter: "v", kind: "boolean", text: "Say more on standard error."},
		{name: "version", letter: "V", kind: "boolean", text: "Print the version, and end."},
		{name: "help", letter: "h", kind: "boolean", text: "Print how it is called, and end."},
	}
}

// request is what was asked for.
type request struct {
	action, node, config string
	delay, timeout       time.Duration
	verbose, version     bool
	help                 bool
}

var errUsage = errors.New("fence_mailha -h says how it is called")

// values are the parameters as text; those that were not given have their default.
type values map[string]string

func defaults() values {
	v := values{}
	for _, o := range options() {
		v[o.name] = o.standard
	}
	return v
}

// parseArgs reads the command line.
func parseArgs(args []string) (values, error) {
	v := defaults()
	fs := flag.NewFlagSet("fence_mailha", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	for _, o := range options() {
		set := func(text string) error {
			v[o.name] = text
			return nil
		}
		for _, name := range []string{strings.ReplaceAll(o.name, "_", "-"), o.letter} {
			switch {
			case name == "":
			case o.kind == "boolean":
				fs.BoolFunc(name, o.text, set)
			default:
				fs.Func(name, o.text, set)
			}
		}
	}
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			v["help"] = "true"
			return v, nil
		}
		return nil, fmt.Errorf("%w: %w", err, errUsage)
	}
	if fs.NArg() > 0 {
		return nil, fmt.Errorf("it takes no %q: %w", fs.Arg(0), errUsage)
	}
	return v, nil
}

// Bounds of what is read from a caller.
const (
	maxInput = 64 << 10
	maxNode  = 253
)

// parseInput reads the lines that a cluster manager writes: name=value, with empty lines
// and comments between them. What is not known is passed over, as fence agents do, and
// told: managers give all agents parameters of their own.
func parseInput(r io.Reader, warn func(string)) (values, error) {
	v := defaults()
	known := options()
	scan := bufio.NewScanner(io.LimitReader(r, maxInput+1))
	read := 0
	for scan.Scan() {
		if read += len(scan.Bytes()) + 1; read > maxInput {
			return nil, fmt.Errorf("standard input has more than %d bytes", maxInput)
		}
		line := strings.TrimSpace(scan.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		name = strings.TrimSpace(name)
		switch {
		case !ok:
			return nil, fmt.Errorf("standard input: %.60q is no name=value", line)
		case name == "nodename" || name == "option": // of the manager's, and of long ago
			if name == "nodename" && v["plug"] == "" {
				v["nodename"] = value
			}
			if name == "option" {
				v["action"] = value
			}
		case slices.ContainsFunc(known, func(o option) bool { return o.name == name }):
			v[name] = value
		default:
			warn(fmt.Sprintf("parameter %.60q is none of this agent's, and has no effect", name))
		}
	}
	if err := scan.Err(); err != nil {
		return nil, fmt.Errorf("read standard input: %w", err)
	}
	return v, nil
}

// request checks the values.
func (v values) request() (request, error) {
	r := request{action: strings.ToLower(v["action"]), node: v["plug"], config: v["config"]}
	for _, other := range []string{"port", "nodename"} {
		if r.node == "" {
			r.node = v[other]
		}
	}
	var errs []error
	seconds := func(name string) time.Duration {
		d, err := time.ParseDuration(strings.TrimSuffix(strings.TrimSpace(v[name]), "s") + "s")
		if err != nil || d < 0 || d > time.Hour {
			errs = append(errs, fmt.Errorf("%s = %.30q is no number of seconds from 0 to 3600", name, v[name]))
		}
		return d
	}
	yes := func(name string) bool {
		switch strings.ToLower(v[name]) {
		case "", "0", "false", "no", "off":
			return false
		case "1", "true", "yes", "on":
			return true
		}
		errs = append(errs, fmt.Errorf("%s = %.30q is neither true nor false", name, v[name]))
		return false
	}
	r.delay, r.timeout = seconds("delay"), seconds("power_timeout")
	r.verbose, r.version, r.help = yes("verbose"), yes("version"), yes("help")
	if len(r.node) > maxNode {
		errs = append(errs, fmt.Errorf("the name of the node has more than %d characters", maxNode))
	}
	return r, errors.Join(errs...)
}
