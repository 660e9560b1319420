// SPDX-License-Identifier: Apache-2.0

package fence

import (
	"bufio"
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
)

// Exit codes of a fence agent (FenceAgentAPI.md of ClusterLabs/fence-agents).
const (
	exitOK    = 0
	exitError = 1
	exitIsOff = 2 // status only
)

//go:embed metadata.xml
var metadata string

// Agent is fence_lab: it reads options as name=value lines from stdin, asks the
// server on the socket, or on the one that the options name, and returns the exit code.
func Agent(ctx context.Context, socket string, stdin io.Reader, stdout, stderr io.Writer) int {
	options, err := readOptions(stdin)
	if err != nil {
		fmt.Fprintln(stderr, "fence_lab:", err)
		return exitError
	}
	socket = cmp.Or(options["socket"], socket)
	code, err := misbehave(ctx, socket, options, stdout)
	if err != nil {
		fmt.Fprintf(stderr, "fence_lab: %s: %v\n", options["action"], err)
	}
	return code
}

func act(ctx context.Context, socket string, options map[string]string, stdout io.Writer) (int, error) {
	req := request{Action: options["action"], Node: options["plug"]}
	switch req.Action {
	case "metadata":
		io.WriteString(stdout, metadata)
		return exitOK, nil
	case "validate-all": // there is nothing to configure
		return exitOK, nil
	case "monitor":
		req.Action = List
	}
	r, err := ask(ctx, socket, req)
	if err != nil {
		return exitError, err
	}
	switch options["action"] {
	case List:
		for _, n := range r.Nodes {
			fmt.Fprintf(stdout, "%s,\n", n)
		}
	case Status:
		if !r.On {
			return exitIsOff, nil
		}
	}
	return exitOK, nil
}

// readOptions reads name=value lines. Unknown names are let pass, as Pacemaker
// sends more than an agent asked for; empty values count as not given.
func readOptions(r io.Reader) (map[string]string, error) {
	options := map[string]string{}
	lines := bufio.NewScanner(io.LimitReader(r, 1<<16))
	for lines.Scan() {
		name, value, ok := strings.Cut(strings.TrimSpace(lines.Text()), "=")
		if ok && value != "" && !strings.HasPrefix(name, "#") {
			options[name] = value
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("options on stdin: %w", err)
	}
	if options["action"] == "" {
		options["action"] = Reboot
	}
	if options["plug"] == "" { // its older name, then what Pacemaker adds by itself
		options["plug"] = options["port"]
	}
	if options["plug"] == "" {
		options["plug"] = options["nodename"]
	}
	return options, nil
}

func ask(ctx context.Context, socket string, req request) (reply, error) {
	var r reply
	conn, err := new(net.Dialer).DialContext(ctx, "unix", socket)
	if err != nil {
		return r, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if err := json.NewEncoder(conn).Encode(req); err != nil {
		return r, err
	}
	if err := json.NewDecoder(conn).Decode(&r); err != nil {
		return r, fmt.Errorf("no answer from %s: %w", socket, err)
	}
	if r.Err != "" {
		return r, errors.New(r.Err)
	}
	return r, nil
}
