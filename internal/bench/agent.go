// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"
	"path"
	"slices"
	"time"

	"github.com/mailha/mailha/internal/suite"
)

// ocfRoot is where agents are installed in a node.
const ocfRoot = "/usr/lib/ocf"

// agent is one OCF agent with its parameters.
type agent struct {
	Type   string            // provider and type, such as heartbeat/IPaddr2
	Params map[string]string // by name
}

// shipped says whether the agent is one that exists: not all of ours do at any time.
func (a agent) shipped() bool {
	provider, name := path.Split(a.Type)
	if provider != "mailha/" {
		return true
	}
	for _, t := range suite.Types() {
		if t.Name == name {
			return true
		}
	}
	return false
}

// program is where the agent is in a node.
func (a agent) program() string { return ocfRoot + "/resource.d/" + a.Type }

// environ is what Pacemaker would give the agent beside the environment that all
// programs have.
func (a agent) environ(timeout, interval time.Duration, depth int) []string {
	provider, name := path.Split(a.Type)
	env := []string{
		"OCF_ROOT=" + ocfRoot, "OCF_RA_VERSION_MAJOR=1", "OCF_RA_VERSION_MINOR=1",
		"OCF_RESOURCE_INSTANCE=bench", "OCF_RESOURCE_TYPE=" + name, "OCF_RESOURCE_PROVIDER=" + path.Clean(provider),
		fmt.Sprintf("OCF_RESKEY_CRM_meta_timeout=%d", timeout.Milliseconds()),
		fmt.Sprintf("OCF_RESKEY_CRM_meta_interval=%d", interval.Milliseconds()),
	}
	if depth > 0 {
		env = append(env, fmt.Sprintf("OCF_CHECK_LEVEL=%d", depth))
	}
	for name, value := range a.Params {
		env = append(env, "OCF_RESKEY_"+name+"="+value)
	}
	slices.Sort(env)
	return env
}
