// SPDX-License-Identifier: Apache-2.0

// Package suite is the list of the agents that mailha ships, for everything
// that runs them or writes about them.
//
// It must never be imported by an agent, and never hold anything but the list.
package suite

import (
	"github.com/mailha/mailha/agents"
	"github.com/mailha/mailha/agents/directory"
	"github.com/mailha/mailha/agents/filesystem"
	"github.com/mailha/mailha/agents/internet"
	"github.com/mailha/mailha/agents/mta"
	"github.com/mailha/mailha/agents/service"
	"github.com/mailha/mailha/agents/store"
)

// Types lists the agents in the order in which people are shown them.
func Types() []agents.Type {
	return []agents.Type{agents.VIPType(), mta.Type(), directory.Type(), store.Type(), internet.Type(), service.Type(), filesystem.Type()}
}
