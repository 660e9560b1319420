// SPDX-License-Identifier: Apache-2.0

package mta

import "github.com/mailha/mailha/agents"

// Postfix is the backend for one instance of Postfix: postfix(1). The front
// door uses it, too.
type Postfix = postfix

// NewPostfix returns the backend with its defaults.
func NewPostfix() *Postfix { return newPostfix() }

// Params are the backend's own parameters.
func (p *postfix) Params() agents.Table { return p.params() }
