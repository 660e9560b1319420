// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/mailha/mailha/internal/traffic/imap"
	"github.com/mailha/mailha/internal/traffic/ldap"
	"github.com/mailha/mailha/internal/traffic/ledger"
	"github.com/mailha/mailha/internal/traffic/promise"
)

// Proof is what became of all that one kind of clients was promised.
type Proof struct {
	Kind   string
	Counts promise.Counts
	ledger.Result
}

// Prove compares what clients were promised with what is there, until nothing
// is missing, or ctx ends; what is missing then is lost.
func (c *Clients) Prove(ctx context.Context) ([]Proof, error) {
	return c.proveUntil(ctx, c.ledger)
}

// ProveSoFar does so while clients go on, about all that they have been promised up to
// now. What comes later is a stray.
func (c *Clients) ProveSoFar(ctx context.Context) ([]Proof, error) {
	soFar := func(kind string) string { return c.file("so-far-" + kind + ".jsonl") }
	for kind := range c.loads {
		promised, err := os.ReadFile(c.ledger(kind))
		if err != nil {
			return nil, err
		}
		// The last line may be half written.
		if err := os.WriteFile(soFar(kind), promised[:bytes.LastIndexByte(promised, '\n')+1], 0o644); err != nil {
			return nil, err
		}
	}
	return c.proveUntil(ctx, soFar)
}

func (c *Clients) proveUntil(ctx context.Context, ledgerOf func(kind string) string) ([]Proof, error) {
	const pause = 2 * time.Second
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		proofs, err := c.prove(ctx, ledgerOf)
		lost := 0
		for _, p := range proofs {
			lost += p.Lost
		}
		if err != nil || lost == 0 {
			return proofs, err
		}
		select {
		case <-ctx.Done():
			return proofs, fmt.Errorf("%d of the messages that were taken are not there", lost)
		case <-tick.C:
		}
	}
}

func (c *Clients) prove(ctx context.Context, ledgerOf func(kind string) string) ([]Proof, error) {
	found := map[string]string{Mail: c.file("found-store.jsonl"), Mailbox: c.file("found-store.jsonl"), Directory: c.file("found-directory.jsonl")}
	for _, file := range found {
		if err := os.RemoveAll(file); err != nil {
			return nil, err
		}
	}
	const patience = 2 * time.Minute // thousands of messages, on a busy machine
	store, err := imap.StartRead(ctx, c.run, imap.ReadConfig{
		To: c.layout.store + c.layout.storeIMAP, Users: c.file(usersFile), Ledger: found[Mail], Once: true, For: patience,
	})
	if err != nil {
		return nil, err
	}
	directory, err := ldap.StartRead(ctx, c.run, ldap.ReadConfig{
		To: c.layout.directory + ldapPort, Base: ledgerBase, Login: c.login(), Ledger: found[Directory], For: patience,
	})
	if err != nil {
		return nil, err
	}
	_, storeErr := store.Wait(ctx)
	_, directoryErr := directory.Wait(ctx)
	if err := errors.Join(storeErr, directoryErr); err != nil {
		return nil, err
	}
	var proofs []Proof
	for _, kind := range []string{Mail, Mailbox, Directory} {
		res, err := ledger.AuditFiles(ledgerOf(kind), found[kind])
		if err != nil {
			return proofs, fmt.Errorf("%s: %w", kind, err)
		}
		proofs = append(proofs, Proof{kind, c.counts[kind], res})
	}
	for _, name := range c.held {
		res, err := ledger.AuditFiles(c.file(name+".jsonl"), found[Mail])
		if err != nil {
			return proofs, fmt.Errorf("%s: %w", name, err)
		}
		proofs = append(proofs, Proof{Kind: name, Result: res})
	}
	return proofs, nil
}
