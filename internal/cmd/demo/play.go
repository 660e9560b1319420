// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/mailha/mailha/internal/scenario"
)

const (
	outDir   = "build"
	rate     = 10               // messages per second, of each kind of clients
	patience = 20 * time.Minute // for everything; a first run builds the nodes' image
)

// shapes are the files below contrib that a system is configured with, by engine.
func shapes() map[string]string {
	return map[string]string{"mailhad": "mailhad/mail.toml", "pacemaker": "pacemaker/address-per-service.crm"}
}

// play needs the module's directory as its working directory.
func play(ctx context.Context, engine, only string, stdout io.Writer) (err error) {
	shape, ok := shapes()[engine]
	if !ok {
		return fmt.Errorf("there is no engine %q: ENGINE may be mailhad or pacemaker", engine)
	}
	services, acts, err := choice(only)
	if err != nil {
		return err
	}
	if _, err := os.Stat("go.mod"); err != nil {
		return errors.New("run it from the top of the source tree: make demo")
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	fmt.Fprintf(stdout, `A whole mail system on three nodes with systemd, run by %s. Clients outside
send mail, store messages and write to the directory, all through the front door,
and find out afterwards whether everything that was taken is there.
`, engine)
	system, err := scenario.SystemUp(ctx, "demo", ".", filepath.Join(outDir, "demo"), shape, stdout)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, system.Down()) }()

	var rows []scenario.Row
	var failed []error
	for _, part := range scenario.Parts() {
		for _, deed := range scenario.Deeds() {
			if !chosen(part.Name, services) || !chosen(deed.Name, acts) {
				continue
			}
			began := time.Now()
			row, err := system.Play(ctx, deed, part, rate, func(phase string) {
				fmt.Fprintf(stdout, "%6.1f s  %-14s %-9s  %s\n", time.Since(began).Seconds(), part.Name, deed.Name, phase)
			})
			rows = append(rows, row)
			if err != nil {
				failed = append(failed, fmt.Errorf("%s of %s: %w", deed.Name, part.Name, err))
			}
		}
	}
	table(stdout, rows)
	if err := write(filepath.Join(outDir, "demo.json"), rows); err != nil {
		return err
	}
	for _, row := range rows {
		if row.Lost > 0 {
			failed = append(failed, fmt.Errorf("%s of %s lost %d of what was taken", row.Act, row.Resource, row.Lost))
		}
	}
	return errors.Join(failed...)
}

// choice divides what was asked for into services and acts.
func choice(only string) (services, acts []string, err error) {
	for _, name := range strings.FieldsFunc(only, func(r rune) bool { return r == ',' }) {
		switch {
		case slices.ContainsFunc(scenario.Parts(), func(p scenario.Part) bool { return p.Name == name }):
			services = append(services, name)
		case slices.ContainsFunc(scenario.Deeds(), func(d scenario.Deed) bool { return d.Name == name }):
			acts = append(acts, name)
		default:
			return nil, nil, fmt.Errorf("there is no service or act %q: ONLY may be directory, store, mta, internet-agent, restart, migrate and node-kill, with commas between them", name)
		}
	}
	return services, acts, nil
}

// chosen says whether a name was asked for, or nothing of its kind was.
func chosen(name string, asked []string) bool {
	return len(asked) == 0 || slices.Contains(asked, name)
}

// table fits 80 columns.
func table(w io.Writer, rows []scenario.Row) {
	fmt.Fprintf(w, "\n%35s %6s %4s\n", "longest time without (ms)", "of the", "sess")
	fmt.Fprintf(w, "%-14s %-9s %8s %7s %6s %4s %5s %5s %4s %4s\n", "service", "act", "greeting", "address", "others", "cut", "taken", "found", "lost", "dup.")
	for _, r := range rows {
		fmt.Fprintf(w, "%-14s %-9s %8.0f %7.0f %6.0f %4d %5d %5d %4d %4d\n",
			r.Resource, r.Act, r.BlackoutMS, r.AddressMS, r.OthersMS, r.SessionsCut, r.Accepted, r.Delivered, r.Lost, r.Duplicated)
	}
	fmt.Fprintln(w)
}

func write(path string, rows []scenario.Row) error {
	data, err := json.MarshalIndent(rows, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o644)
}
