// SPDX-License-Identifier: Apache-2.0

package tool

import (
	"flag"
	"fmt"
	"io"
	"strings"
	"time"
)

// List is a flag that may be repeated and takes commas.
type List []string

// String joins the values with commas.
func (l *List) String() string { return strings.Join(*l, ",") }

// Set adds values.
func (l *List) Set(s string) error {
	*l = append(*l, strings.Split(s, ",")...)
	return nil
}

// Config is what all subcommands' configurations have in common.
type Config interface {
	// Flags gives each value a flag. It puts defaults in the place of zero values.
	Flags(fs *flag.FlagSet)
	// Check says what is wrong with the values.
	Check() error
}

// Parse reads a command line into c.
func Parse(c Config, name string, args []string, output io.Writer) error {
	fs := flag.NewFlagSet("traffic "+name, flag.ContinueOnError)
	fs.SetOutput(output)
	c.Flags(fs)
	if err := fs.Parse(args); err != nil {
		return err
	}
	err := c.Check()
	if fs.NArg() > 0 {
		err = fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	if err != nil {
		fmt.Fprintf(output, "traffic %s: %v\n", name, err)
	}
	return err
}

// Argv writes the command line that Parse reads as c.
func Argv(c Config, name string) ([]string, error) {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	c.Flags(fs)
	if err := c.Check(); err != nil {
		return nil, fmt.Errorf("traffic %s: %w", name, err)
	}
	args := []string{name}
	fs.VisitAll(func(f *flag.Flag) {
		if value := f.Value.String(); value != "" {
			args = append(args, "-"+f.Name+"="+value)
		}
	})
	return args, nil
}

// Durations is a flag that may be repeated and takes commas.
type Durations []time.Duration

// String joins the values with commas.
func (d *Durations) String() string {
	var words []string
	for _, each := range *d {
		words = append(words, each.String())
	}
	return strings.Join(words, ",")
}

// Set adds values.
func (d *Durations) Set(s string) error {
	for word := range strings.SplitSeq(s, ",") {
		each, err := time.ParseDuration(word)
		if err != nil {
			return err
		}
		*d = append(*d, each)
	}
	return nil
}
