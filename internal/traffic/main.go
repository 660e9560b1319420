// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/mailha/mailha/internal/traffic/hold"
	"github.com/mailha/mailha/internal/traffic/imap"
	"github.com/mailha/mailha/internal/traffic/ldap"
	"github.com/mailha/mailha/internal/traffic/ledger"
	"github.com/mailha/mailha/internal/traffic/tool"
)

// Exit codes of the command.
const (
	exitOK     = 0
	exitFailed = 1 // an audit that found loss or damage, or a run that broke off
	exitUsage  = 2 // nothing was done
)

const usage = `usage: traffic COMMAND [flags]
  sink   receive mail and record it
  load   send mail at a given rate and record it
  probe  measure how long echo replies and greetings stay out; reads "mark NAME" and "report" on stdin
  hold   keep sessions of IMAP, SMTP and LDAP open, and say how each ended
  imap-read    record what is in mailboxes, as a sink does
  imap-append  store messages in mailboxes and record them, as a load does
  ldap-write   add and modify entries of a directory and record it, as a load does
  ldap-read    record what of that is in the directory, as a sink does
  audit  join the ledgers of a load and a sink; exit status 1 if mail was lost or damaged
"traffic COMMAND -h" lists the flags. All but audit print JSON lines, each with an "event", and run until SIGTERM,
SIGINT, the end of stdin or the end of -for; the last line is the summary.
`

// subcommands does what each name stands for.
func subcommands() map[string]func(context.Context, *tool.Tool, []string) error {
	return map[string]func(context.Context, *tool.Tool, []string) error{
		"sink":  sinkCommand,
		"load":  loadCommand,
		"probe": probeCommand,
		"hold":  hold.Hold,

		"imap-read":   imap.Read,
		"imap-append": imap.Append,
		"ldap-write":  ldap.Write,
		"ldap-read":   ldap.Read,

		"audit": auditCommand,
	}
}

// Main is the command: args are those after its name. It returns the exit status.
func Main(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	t := &tool.Tool{Stdin: stdin, Out: stdout, Stderr: stderr}
	name := ""
	if len(args) > 0 {
		name, args = args[0], args[1:]
	}
	run := subcommands()[name]
	if run == nil {
		fmt.Fprint(stderr, usage)
		return exitUsage
	}
	err := run(ctx, t, args)
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, flag.ErrHelp):
		return exitOK
	case errors.Is(err, tool.ErrUsage):
		return exitUsage
	}
	fmt.Fprintf(stderr, "traffic %s: %v\n", name, err)
	return exitFailed
}

func sinkCommand(ctx context.Context, t *tool.Tool, args []string) error {
	var cfg SinkConfig
	if err := t.Parse(&cfg, "sink", args); err != nil {
		return err
	}
	l, err := ledger.Open(cfg.Ledger)
	if err != nil {
		return err
	}
	defer l.Close()
	listeners, err := listenAll(ctx, cfg.Listen)
	if err != nil {
		return err
	}
	s := newSink(cfg, l)
	return t.Run(ctx, cfg.For, tool.Ready{Listen: addresses(listeners)}, func() any { return s.snapshot() },
		func(ctx context.Context) error { return s.serve(ctx, listeners) })
}

func addresses(listeners []net.Listener) []string {
	var addrs []string
	for _, l := range listeners {
		addrs = append(addrs, l.Addr().String())
	}
	return addrs
}

func loadCommand(ctx context.Context, t *tool.Tool, args []string) error {
	var cfg LoadConfig
	if err := t.Parse(&cfg, "load", args); err != nil {
		return err
	}
	file, err := ledger.Open(cfg.Ledger)
	if err != nil {
		return err
	}
	defer file.Close()
	l := newLoad(cfg, file)
	return t.Run(ctx, cfg.For, tool.Ready{}, func() any { return l.Counts() }, l.Run)
}

func probeCommand(ctx context.Context, t *tool.Tool, args []string) error {
	var cfg ProbeConfig
	if err := t.Parse(&cfg, "probe", args); err != nil {
		return err
	}
	p := probe{cfg: cfg}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	err := p.run(ctx, func() {
		t.Emit("ready", tool.Ready{})
		limited, _ := t.Limit(ctx, cfg.For, func(line string) { obey(t, &p, line) })
		context.AfterFunc(limited, cancel)
	})
	if err != nil {
		return err
	}
	return t.Emit("summary", p.report())
}

func obey(t *tool.Tool, p *probe, line string) {
	verb, name, _ := strings.Cut(strings.TrimSpace(line), " ")
	switch {
	case verb == "mark" && name != "":
		p.mark(name)
		t.Emit("mark", tool.Mark{Mark: name})
	case verb == "report" && name == "":
		t.Emit("report", p.report())
	case verb != "":
		t.Emit("error", tool.Error{Error: fmt.Sprintf("%.80q is neither mark NAME nor report", line)})
	}
}

var errMailLost = errors.New("mail was lost or damaged")

func auditCommand(_ context.Context, t *tool.Tool, args []string) error {
	fs := flag.NewFlagSet("traffic audit", flag.ContinueOnError)
	fs.SetOutput(t.Stderr)
	loadFile := fs.String("load", "", "`ledger` of the load")
	sinkFile := fs.String("sink", "", "`ledger` of the sink")
	if err := fs.Parse(args); errors.Is(err, flag.ErrHelp) {
		return err
	} else if err != nil || fs.NArg() > 0 || *loadFile == "" || *sinkFile == "" {
		fmt.Fprintln(t.Stderr, "traffic audit: -load FILE and -sink FILE are needed, and nothing else")
		return tool.ErrUsage
	}
	res, err := ledger.AuditFiles(*loadFile, *sinkFile)
	if err != nil {
		return err
	}
	if err := json.NewEncoder(t.Out).Encode(res); err != nil {
		return err
	}
	if !res.OK() {
		return errMailLost
	}
	return nil
}
