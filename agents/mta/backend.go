// SPDX-License-Identifier: Apache-2.0

package mta

import (
	"context"
	"errors"

	"github.com/mailha/mailha/agents"
)

// Backend is one product.
type Backend interface {
	// Params is what tells its instances apart, beside what all backends have.
	Params() agents.Table
	// Inspect is that of [agents.Steps].
	Inspect(ctx context.Context) (agents.Facts, error)
	// Drain is that of [agents.Steps]: it keeps the queue's work from beginning, and
	// waits for what is under way. It tells how many deliveries that is.
	Drain(ctx context.Context, f agents.Facts, tell func(left int)) (left int, err error)
	// Recoverer looks after the queue before a start.
	agents.Recoverer
	// Rehearser reads the configuration as a start would.
	agents.Rehearser
	// Dismisser parts from clients that wait for nothing.
	agents.Dismisser
	// Spool is the queue.
	Spool
}

// Spool is a queue as the agent looks at it, from outside.
type Spool interface {
	// Sinkhole is an address that an instance of that name takes mail for and
	// discards. It is empty if there is none by itself.
	Sinkhole(hostname string) string
	// QueueID finds the queue ID in what the instance says when it has accepted a
	// message. It becomes part of a path, so it must be nothing else. Empty: there
	// is none.
	QueueID(reply string) string
	// Queued says in which part of the queue a message is, and whether it rests
	// there, since it was not delivered at once; empty: in none, it is done with.
	Queued(f agents.Facts, id string) (where string, rests bool, err error)
	// Withdraw takes a message out of the queue, if it has this text in it.
	Withdraw(ctx context.Context, f agents.Facts, id, text string) error
	// Storage sees that mail can be written.
	Storage(ctx context.Context, f agents.Facts) error
	// Look looks at no more than so many messages.
	Look(ctx context.Context, f agents.Facts, most int) (queue, error)
}

// product names a backend. Its zero value is Postfix.
type product string

func (v *product) Set(s string) error {
	if s != "postfix" && s != "exim" {
		return errors.New("must be postfix or exim")
	}
	*v = product(s)
	return nil
}
func (v *product) String() string { return string(*v) }
func (*product) OCFType() string  { return "string" }
