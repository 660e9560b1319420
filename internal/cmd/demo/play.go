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
	"time"

	"github.com/mailha/mailha/internal/scenario"
)

const (
	outDir   = "build"
	patience = 10 * time.Minute // for everything; a first run builds the nodes' image
)

// play needs the module's directory as its working directory.
func play(ctx context.Context, stdout io.Writer) (err error) {
	if _, err := os.Stat("go.mod"); err != nil {
		return errors.New("run it from the top of the source tree: make demo")
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	fmt.Fprintln(stdout, "Three nodes with systemd, Corosync, Pacemaker and Postfix, a client and a sink:")
	stage, err := scenario.Up(ctx, "demo", ".", filepath.Join(outDir, "demo"), stdout)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stage.Down()) }()
	fmt.Fprintln(stdout, "cluster formed; configuring ocf:mailha:mta with its addresses and its queue on the shared disk")
	if err := stage.Enter(ctx, scenario.Ours(), stage.Lab.Nodes()[0]); err != nil {
		return err
	}

	shape := scenario.Load{Rate: 40, Sessions: 6, PerSession: 5}
	var rows []scenario.Row
	var failed []error
	for _, act := range scenario.Acts() {
		began := time.Now()
		row, err := stage.Play(ctx, act, shape, func(phase string) {
			fmt.Fprintf(stdout, "%6.1f s  %-10s %s\n", time.Since(began).Seconds(), act.Name, phase)
		})
		rows = append(rows, row)
		if err != nil {
			failed = append(failed, fmt.Errorf("act %s: %w", act.Name, err))
		}
	}
	table(stdout, rows)
	if err := write(filepath.Join(outDir, "demo.json"), rows); err != nil {
		return err
	}
	for _, row := range rows {
		if row.Lost > 0 {
			failed = append(failed, fmt.Errorf("act %s lost %d messages", row.Act, row.Lost))
		}
	}
	return errors.Join(failed...)
}

// table fits 80 columns.
func table(w io.Writer, rows []scenario.Row) {
	fmt.Fprintf(w, "\n%-9s %12s %12s %8s %8s %9s %4s %10s\n", "act", "no greeting", "no address", "sess.cut", "accepted", "delivered", "lost", "duplicated")
	for _, r := range rows {
		fmt.Fprintf(w, "%-9s %9.0f ms %9.0f ms %8d %8d %9d %4d %10d\n", r.Act, r.BlackoutMS, r.AddressMS, r.SessionsCut, r.Accepted, r.Delivered, r.Lost, r.Duplicated)
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
