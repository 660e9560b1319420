// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"
)

// Exit codes of the command.
const (
	exitOK     = 0
	exitFailed = 1 // an audit that found loss or damage, or a run that broke off
	exitUsage  = 2 // nothing was done
)

// progressEvery is how often load and sink tell how far they are.
const progressEvery = 250 * time.Millisecond

const usage = `usage: traffic sink|load|probe|audit [flags]
  sink   receive mail and record it
  load   send mail at a given rate and record it
  probe  measure how long echo replies and greetings stay out; reads "mark NAME" and "report" on stdin
  audit  join the ledgers of a load and a sink; exit status 1 if mail was lost or damaged
"traffic COMMAND -h" lists the flags. sink, load and probe print JSON lines, each with an "event", and run until SIGTERM,
SIGINT, the end of stdin or the end of -for; the last line is the summary.
`

// Main is the command: args are those after its name. It returns the exit status.
func Main(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	t := tool{stdin: stdin, out: stdout, stderr: stderr}
	name := ""
	if len(args) > 0 {
		name, args = args[0], args[1:]
	}
	var err error
	switch name {
	case "sink":
		err = t.sink(ctx, args)
	case "load":
		err = t.load(ctx, args)
	case "probe":
		err = t.probe(ctx, args)
	case "audit":
		err = t.audit(args)
	default:
		fmt.Fprint(stderr, usage)
		return exitUsage
	}
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, flag.ErrHelp):
		return exitOK
	case errors.Is(err, errUsage):
		return exitUsage
	}
	fmt.Fprintf(stderr, "traffic %s: %v\n", name, err)
	return exitFailed
}

// errUsage: the reason was printed already.
var errUsage = errors.New("usage")

// tool is one run of the command.
type tool struct {
	stdin  io.Reader
	stderr io.Writer

	mu  sync.Mutex
	out io.Writer
}

// emit prints v, a struct, as a line with the event's name.
func (t *tool) emit(event string, v any) error {
	fields, err := json.Marshal(v)
	if err != nil {
		return err
	}
	line := fmt.Appendf(nil, `{"event":%q`, event)
	if len(fields) > len("{}") {
		line = append(line, ',')
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	_, err = t.out.Write(append(append(line, fields[1:]...), '\n'))
	return err
}

// readyLine is what the first line says.
type readyLine struct {
	Listen []string `json:"listen,omitempty"`
}

// parse is errUsage or flag.ErrHelp when it fails.
func (t *tool) parse(c config, name string, args []string) error {
	err := parse(c, name, args, t.stderr)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		return errUsage
	}
	return err
}

// limit ends the context after d, if that is not 0, and at the end of stdin, whose lines go to each.
func (t *tool) limit(ctx context.Context, d time.Duration, each func(line string)) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	if d > 0 {
		ctx, cancel = context.WithTimeout(ctx, d)
	}
	go func() {
		defer cancel()
		lines := bufio.NewScanner(t.stdin)
		for lines.Scan() {
			each(lines.Text())
		}
	}()
	return ctx, cancel
}

// progress emits what snapshot gives at intervals until the function returned is called.
func progress[T any](t *tool, snapshot func() T) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		ticker := time.NewTicker(progressEvery)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				t.emit("progress", snapshot())
			case <-ctx.Done():
				return
			}
		}
	})
	return func() {
		cancel()
		wg.Wait()
	}
}

func ignore(string) {}

func (t *tool) sink(ctx context.Context, args []string) error {
	var cfg SinkConfig
	if err := t.parse(&cfg, "sink", args); err != nil {
		return err
	}
	l, err := openLedger(cfg.Ledger)
	if err != nil {
		return err
	}
	defer l.close()
	listeners, err := listenAll(ctx, cfg.Listen)
	if err != nil {
		return err
	}
	ctx, cancel := t.limit(ctx, cfg.For, ignore)
	defer cancel()
	if err := t.emit("ready", readyLine{addresses(listeners)}); err != nil {
		return err
	}
	s := newSink(cfg, l)
	stop := progress(t, s.snapshot)
	err = s.serve(ctx, listeners)
	stop()
	return errors.Join(err, t.emit("summary", s.snapshot()))
}

func addresses(listeners []net.Listener) []string {
	var addrs []string
	for _, l := range listeners {
		addrs = append(addrs, l.Addr().String())
	}
	return addrs
}

func (t *tool) load(ctx context.Context, args []string) error {
	var cfg LoadConfig
	if err := t.parse(&cfg, "load", args); err != nil {
		return err
	}
	ledger, err := openLedger(cfg.Ledger)
	if err != nil {
		return err
	}
	defer ledger.close()
	ctx, cancel := t.limit(ctx, cfg.For, ignore)
	defer cancel()
	if err := t.emit("ready", readyLine{}); err != nil {
		return err
	}
	l := newLoad(cfg, ledger)
	stop := progress(t, l.snapshot)
	err = l.run(ctx)
	stop()
	return errors.Join(err, t.emit("summary", l.snapshot()))
}

func (t *tool) probe(ctx context.Context, args []string) error {
	var cfg ProbeConfig
	if err := t.parse(&cfg, "probe", args); err != nil {
		return err
	}
	p := probe{cfg: cfg}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	err := p.run(ctx, func() {
		t.emit("ready", readyLine{})
		limited, _ := t.limit(ctx, cfg.For, func(line string) { t.obey(&p, line) })
		context.AfterFunc(limited, cancel)
	})
	if err != nil {
		return err
	}
	return t.emit("summary", p.report())
}

// markLine acknowledges a mark.
type markLine struct {
	Mark string `json:"mark"`
}

// errorLine answers a line that was not understood.
type errorLine struct {
	Error string `json:"error"`
}

func (t *tool) obey(p *probe, line string) {
	verb, name, _ := strings.Cut(strings.TrimSpace(line), " ")
	switch {
	case verb == "mark" && name != "":
		p.mark(name)
		t.emit("mark", markLine{name})
	case verb == "report" && name == "":
		t.emit("report", p.report())
	case verb != "":
		t.emit("error", errorLine{fmt.Sprintf("%.80q is neither mark NAME nor report", line)})
	}
}

var errMailLost = errors.New("mail was lost or damaged")

func (t *tool) audit(args []string) error {
	fs := flag.NewFlagSet("traffic audit", flag.ContinueOnError)
	fs.SetOutput(t.stderr)
	loadFile := fs.String("load", "", "`ledger` of the load")
	sinkFile := fs.String("sink", "", "`ledger` of the sink")
	if err := fs.Parse(args); errors.Is(err, flag.ErrHelp) {
		return err
	} else if err != nil || fs.NArg() > 0 || *loadFile == "" || *sinkFile == "" {
		fmt.Fprintln(t.stderr, "traffic audit: -load FILE and -sink FILE are needed, and nothing else")
		return errUsage
	}
	res, err := auditFiles(*loadFile, *sinkFile)
	if err != nil {
		return err
	}
	if err := json.NewEncoder(t.out).Encode(res); err != nil {
		return err
	}
	if !res.OK() {
		return errMailLost
	}
	return nil
}

func auditFiles(loadFile, sinkFile string) (Result, error) {
	load, err := os.Open(loadFile)
	if err != nil {
		return Result{}, err
	}
	defer load.Close()
	sink, err := os.Open(sinkFile)
	if err != nil {
		return Result{}, err
	}
	defer sink.Close()
	return Audit(load, sink)
}
