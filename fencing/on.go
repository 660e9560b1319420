// SPDX-License-Identifier: Apache-2.0

package fencing

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// switchOn gives power back where the devices are for that, when everything is off: one
// supply that never went would have kept the node up. What fails is told, and changes
// nothing of the result.
func (r *shooting) switchOn(ctx context.Context) {
	for _, d := range r.off {
		if d.Action != Reboot || d.cycles() {
			continue
		}
		began := time.Now()
		r.note(Try{Device: d.Name, Level: d.Level, Action: askOn, Began: began}, r.powerOn(ctx, d, r.node))
	}
}

// powerOn switches a node on; nothing is proved.
func (f *Fencer) powerOn(ctx context.Context, d Device, node string) error {
	release, err := f.turn(d.Name).take(ctx)
	if err != nil {
		return fmt.Errorf("was not asked: %w", err)
	}
	defer release()
	ctx, cancel := context.WithTimeout(ctx, d.Timeout)
	defer cancel()
	a, err := f.call(ctx, d, askOn, node)
	switch {
	case errors.Is(err, errLate):
		return fmt.Errorf("did not switch on within %s", short(d.Timeout))
	case err != nil:
		return err
	case a.code != codeOK:
		return fmt.Errorf("failed to switch on: %s", a.why())
	}
	return nil
}

// Unfence lets this node in again where a device has shut it out: fence_scsi and its like
// want that each time a node comes up, before it uses its disks. It must be called on
// the node itself. With an error the node is shut out of something.
// All devices are asked at once: the node joins its cluster only afterwards.
func (f *Fencer) Unfence(ctx context.Context) ([]Try, error) {
	devices := slices.Concat(f.levels(f.node)...)
	tries, errs := make([]*Try, len(devices)), make([]error, len(devices))
	var asked sync.WaitGroup
	for i, d := range devices {
		asked.Go(func() { tries[i], errs[i] = f.letIn(ctx, d) })
	}
	asked.Wait()
	var done []Try
	for _, t := range tries {
		if t != nil {
			done = append(done, *t)
		}
	}
	return done, errors.Join(errs...)
}

// letIn is Unfence for one device; nil: it shuts nobody out.
func (f *Fencer) letIn(ctx context.Context, d Device) (*Try, error) {
	m, err := f.describe(ctx, d)
	if err != nil {
		return nil, fmt.Errorf("fence device %s: %w", d.Name, err)
	}
	if !m.Unfences() {
		return nil, nil
	}
	t := &Try{Device: d.Name, Level: d.Level, Action: askOn, Began: time.Now()}
	if err = f.powerOn(ctx, d, f.node); err != nil {
		t.Err = err.Error()
		err = fmt.Errorf("fence device %s: %w", d.Name, err)
	}
	t.Took = time.Since(t.Began)
	return t, err
}
