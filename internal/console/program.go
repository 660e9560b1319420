// SPDX-License-Identifier: Apache-2.0

package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/mailha/mailha/agents"
	"github.com/mailha/mailha/internal/api"
	"github.com/mailha/mailha/internal/kinds"
	"github.com/mailha/mailha/resources"
)

// Exit codes, as in mailhactl(8).
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitUnreachable = 3
	exitNotWell     = 4
)

// errNotWell is what "status --exit-code" found. It has been told already.
var errNotWell = errors.New("the cluster is not well")

// Program is mailhactl.
type Program struct {
	Types   []agents.Type // the agents that ship
	Version string
	Now     func() time.Time // nil: time.Now
	Screen  *Screen          // what standard output is; nil: found out
}

// session is one run of the program.
type session struct {
	Program
	ctx    context.Context
	in     io.Reader
	out    io.Writer
	err    io.Writer
	screen Screen
	kinds  resources.Kinds
	ran    bool // a command was found, and its arguments are right

	// Flags of every command.
	socket, server string
	tls            api.TLS
	output         string
}

// Run does what the arguments say, without the program's name, and returns the
// exit code.
func (p Program) Run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if p.Now == nil {
		p.Now = time.Now
	}
	s := &session{Program: p, ctx: ctx, in: stdin, out: stdout, err: stderr, kinds: kinds.Of(p.Types)}
	if p.Screen != nil {
		s.screen = *p.Screen
	} else {
		s.screen = screenOf(stdout)
	}
	root := s.root()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	return s.exit(root.ExecuteContext(ctx))
}

// exit says what went wrong, and with which code the program ends.
func (s *session) exit(err error) int {
	if err == nil {
		return exitOK
	}
	if errors.Is(err, errNotWell) {
		return exitNotWell
	}
	code, hint := exitFailed, ""
	var fault *api.Fault
	switch {
	case !s.ran:
		code, hint = exitUsage, "mailhactl help lists the commands"
	case errors.Is(err, api.ErrUnreachable):
		code, hint = exitUnreachable, "does it run? systemctl status mailhad; root and members of the group mailha may talk to it"
	case errors.As(err, &fault):
		err, hint = errors.New(fault.What), fault.Hint
	}
	if s.output == outputJSON {
		f := api.Fault{Code: api.CodeFailed, What: err.Error(), Hint: hint}
		switch {
		case fault != nil:
			f = *fault
		case code == exitUnreachable:
			f.Code = "unreachable"
		case code == exitUsage:
			f.Code = "usage"
		}
		s.json(api.Failed{Error: f})
		return code
	}
	p := s.page()
	p.wrapped("mailhactl: ", 11, err.Error())
	if hint != "" {
		p.wrapped("> ", 2, hint)
	}
	io.WriteString(s.err, p.String())
	return code
}

// Forms of output.
const (
	outputText = "text"
	outputJSON = "json"
)

func (s *session) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "mailhactl",
		Short:         "Look after a mailha cluster",
		Long:          "mailhactl shows and changes what the cluster of mailhad on this node does. mailhactl(8) has it all.",
		SilenceErrors: true, SilenceUsage: true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: false},
		PersistentPreRunE: func(*cobra.Command, []string) error {
			if s.output != outputText && s.output != outputJSON {
				return fmt.Errorf("--output %s: it may be text or json", s.output)
			}
			if s.server == "" && s.tls != (api.TLS{}) {
				return errors.New("--cert, --key and --ca are for --server")
			}
			s.ran = true
			return nil
		},
	}
	flags := root.PersistentFlags()
	flags.StringVar(&s.socket, "socket", api.Socket, "talk to the mailhad that listens on this unix socket")
	flags.StringVar(&s.server, "server", "", "talk to the mailhad at this address:port, with a certificate")
	flags.StringVar(&s.tls.CertFile, "cert", "", "certificate to show to --server (PEM)")
	flags.StringVar(&s.tls.KeyFile, "key", "", "its key (PEM)")
	flags.StringVar(&s.tls.CAFile, "ca", "", "certificate of the authority that has signed --server's (PEM)")
	flags.StringVarP(&s.output, "output", "o", outputText, "text or json")
	must(root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{outputText, outputJSON}, cobra.ShellCompDirectiveNoFileComp)))
	root.AddCommand(
		s.statusCommand(), s.eventsCommand(), s.explainCommand(), s.planCommand(), s.whatIfCommand(),
		s.groupCommand(), s.nodeCommand(), s.fenceCommand(), s.resourceCommand(), s.failuresCommand(), s.maintenanceCommand(),
		s.clusterCommand(), s.configCommand(), s.versionCommand(),
	)
	branches(root)
	return root
}

// branches are commands that only have commands: they do nothing by themselves.
func branches(c *cobra.Command) {
	for _, sub := range c.Commands() {
		branches(sub)
	}
	if c.RunE != nil || c.Run != nil {
		return
	}
	c.Args = cobra.ArbitraryArgs
	c.RunE = func(c *cobra.Command, args []string) error { return nil }
	c.SuggestionsMinimumDistance = 2
	path := c.CommandPath()
	c.Args = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return fmt.Errorf("%s needs a command: %s", path, list(names(c)))
		}
		hint := ""
		if near := c.SuggestionsFor(args[0]); len(near) > 0 {
			hint = "; did you mean " + near[0] + "?"
		}
		return fmt.Errorf("%s has no command %q%s", path, args[0], hint)
	}
}

func names(c *cobra.Command) []string {
	var all []string
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			all = append(all, sub.Name())
		}
	}
	return all
}

func must(err error) {
	if err != nil {
		panic(err) // two commands or flags of one name: a test would have found it
	}
}

// client connects to what the flags say.
func (s *session) client() (*api.Client, error) {
	if s.server != "" {
		return api.DialTLS(s.server, s.tls)
	}
	return api.Dial(s.socket), nil
}

// with runs a function that needs a client.
func (s *session) with(do func(*api.Client) error) error {
	c, err := s.client()
	if err != nil {
		return err
	}
	defer c.Close()
	return do(c)
}

func (s *session) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Say which version this is, and which one mailhad is", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return s.with(func(c *api.Client) error {
				v, err := c.Version(s.ctx)
				if s.output == outputJSON {
					return s.json(struct {
						Console string `json:"mailhactl"`
						Daemon  string `json:"mailhad,omitempty"`
						Node    string `json:"node,omitempty"`
					}{s.Version, v.Version, v.Node})
				}
				s.print("mailhactl %s\n", s.Version)
				if err != nil {
					return err
				}
				s.print("mailhad   %s on %s\n", v.Version, v.Node)
				return nil
			})
		},
	}
}
