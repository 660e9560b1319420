// SPDX-License-Identifier: Apache-2.0

package fencing

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"unicode"
)

// agentDir is where agents are that have no path.
const agentDir = "/usr/sbin"

// What an agent can be asked for (FenceAgentAPI.md, "Agent Operations and Return Values").
const (
	askOff      = "off"
	askOn       = "on"
	askReboot   = "reboot"
	askStatus   = "status"
	askMonitor  = "monitor"
	askMetadata = "metadata"
)

// Exit codes of an agent.
const (
	codeOK  = 0
	codeOff = 2 // of status and of monitor
)

// ErrNotInstalled is that there is no such agent on this node.
var ErrNotInstalled = errors.New("is not installed")

// locate finds an agent's program, which runs as root: nobody else may be able to
// change it, or to put another one in its place.
func locate(agent string) (string, error) {
	path := agent
	if !filepath.IsAbs(agent) {
		if !agentName.MatchString(agent) {
			return "", fmt.Errorf("%q is not the name of a fence agent, which begins with fence_", agent)
		}
		path = filepath.Join(agentDir, agent)
	}
	real, err := filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%s %w", path, ErrNotInstalled)
	}
	if err != nil {
		return "", err
	}
	info, err := os.Stat(real)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
		return "", fmt.Errorf("%s is no program", real)
	}
	// Its link as well: links of root's in directories of root's.
	for _, way := range []string{real, filepath.Dir(path)} {
		for at := way; ; at = filepath.Dir(at) {
			if err := owned(at); err != nil {
				return "", err
			}
			if at == "/" {
				break
			}
		}
	}
	return path, nil // by this name: some agents are several
}

// owned says whether only root can change a file or the entries of a directory.
func owned(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || st.Uid != 0 {
		return fmt.Errorf("%s does not belong to root, and is not run", path)
	}
	if info.Mode().Perm()&0o022 != 0 && !(info.IsDir() && info.Mode()&fs.ModeSticky != 0) {
		return fmt.Errorf("%s may be written by others than root (%s), and is not run", path, info.Mode())
	}
	return nil
}

// answer is what came of a call.
type answer struct {
	code int
	out  string
	said string // in a few words, why; fit for a log
}

// call runs the device's agent for a node; none: for the device.
func call(ctx context.Context, d Device, action, node string) (answer, error) {
	path, err := locate(d.Agent)
	if err != nil {
		return answer{}, err
	}
	lines := map[string]string{"action": action}
	maps.Copy(lines, d.Parameters)
	var hidden []string
	if action != askMetadata {
		for name, file := range d.Secrets {
			text, err := readSecret(file)
			if err != nil {
				return answer{}, fmt.Errorf("secret %s cannot be used: %w", name, err)
			}
			lines[name] = text
			hidden = append(hidden, text)
		}
	}
	if node != "" {
		// By its new name, its old one, and for agents that know nodes.
		lines["plug"], lines["port"], lines["nodename"] = d.Ports[node], d.Ports[node], node
	}
	input, err := options(lines)
	if err != nil {
		return answer{}, err
	}
	code, out, said, err := execute(ctx, path, input)
	return answer{code, out, gist(said, out, hidden)}, err
}

// options writes the lines that an agent reads.
func options(lines map[string]string) (string, error) {
	const most = 48 << 10 // fits into a pipe: an agent that does not read keeps nobody waiting
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(lines)) {
		if !paramName.MatchString(name) || unfit(lines[name]) {
			return "", fmt.Errorf("parameter %q cannot be written on a line", name)
		}
		fmt.Fprintf(&b, "%s=%s\n", name, lines[name])
	}
	if b.Len() > most {
		return "", errors.New("its parameters have more than 48 kB")
	}
	return b.String(), nil
}

// stamp is what Python's logging puts before a message.
var stamp = regexp.MustCompile(`^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d+ (ERROR|WARNING|INFO|DEBUG): `)

// gist is the line of what an agent printed that most probably says why, without secrets.
func gist(said, out string, hidden []string) string {
	for _, text := range []string{said, out} {
		slices.SortFunc(hidden, func(a, b string) int { return len(b) - len(a) })
		for _, secret := range hidden {
			text = strings.ReplaceAll(text, secret, "…")
		}
		best := ""
		for line := range strings.Lines(text) {
			line = stamp.ReplaceAllString(strings.TrimSpace(line), "")
			lower := strings.ToLower(line)
			switch {
			case line == "" || strings.HasPrefix(lower, "please use '-h'"):
			case best == "", strings.Contains(lower, "fail"), strings.Contains(lower, "error"), strings.Contains(lower, "unable"):
				best = line
			}
		}
		if best != "" {
			return clean(best)
		}
	}
	return ""
}

// clean makes foreign text fit for a line of a log.
func clean(text string) string {
	const most = 200
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	if all := []rune(text); len(all) > most {
		return string(all[:most]) + "…"
	}
	return text
}
