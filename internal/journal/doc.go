// SPDX-License-Identifier: Apache-2.0

// Package journal is a [log/slog.Handler] for systemd's journal, in its native
// protocol: https://systemd.io/JOURNAL_NATIVE_PROTOCOL. A cluster manager keeps
// what an agent prints only when an action failed; what is written here can be
// found by resource, agent and action afterwards.
//
// It must never make its caller wait for a journal that hangs, and never fail
// where there is none: go-systemd's package of this name waits without an end.
package journal
