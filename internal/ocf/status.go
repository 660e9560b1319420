// SPDX-License-Identifier: Apache-2.0

package ocf

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/mailha/mailha/agents"
)

// errStatusUsage is answered for anything but the two forms of the command.
var errStatusUsage = errors.New("usage: mailha-ocf status [--output json]")

// status shows a person what is known of the resources on this node: it reads
// what operations have left, and asks nobody.
func (p *Program) status(args []string, stdout io.Writer) error {
	all, err := agents.Statuses(p.StateDir)
	switch {
	case len(args) == 0:
		return errors.Join(writeStatuses(stdout, all, time.Now()), err)
	case len(args) == 2 && args[0] == "--output" && args[1] == "json", len(args) == 1 && args[0] == "--output=json":
		enc := json.NewEncoder(stdout)
		enc.SetIndent("", "  ")
		if all == nil {
			all = []agents.Status{} // a list, even if nothing is in it
		}
		return errors.Join(enc.Encode(all), err)
	}
	return errStatusUsage
}

func writeStatuses(w io.Writer, all []agents.Status, now time.Time) error {
	if len(all) == 0 {
		_, err := fmt.Fprintln(w, "no resource of mailha was started on this node since it booted")
		return err
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "RESOURCE\tAGENT\tPHASE\tSINCE\tADDRESSES\tDESCRIPTION")
	for _, st := range all {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\n", st.Resource, st.Agent, st.Phase, ago(now.Sub(st.Since)), list(st.Addresses), st.Description)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	for _, st := range all {
		if detail := detail(st, now); detail != "" {
			if _, err := fmt.Fprintf(w, "%s: %s\n", st.Resource, detail); err != nil {
				return err
			}
		}
	}
	return nil
}

// detail is what a row of the table has no room for.
func detail(st agents.Status, now time.Time) string {
	if st.Phase == agents.Draining {
		return fmt.Sprintf("%d sessions and %d pieces of work left, the rest is cut in %s", st.Sessions, st.Work, st.Deadline.Sub(now).Round(time.Second))
	}
	return st.Detail
}

// ago is short and rounded, as a person reads it.
func ago(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

func list(addrs []netip.Addr) string {
	if len(addrs) == 0 {
		return "-"
	}
	texts := make([]string, len(addrs))
	for i, a := range addrs {
		texts[i] = a.String()
	}
	return strings.Join(texts, ",")
}
