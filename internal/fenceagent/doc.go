// SPDX-License-Identifier: Apache-2.0

// Package fenceagent is fence_mailha: the interface that cluster managers expect of a
// fence agent (FenceAgentAPI.md of the fence-agents project), over poison pills.
//
// It must never answer "off" for any other reason than a proof, and never leave a caller
// without an answer: what is not known is a failure.
package fenceagent
