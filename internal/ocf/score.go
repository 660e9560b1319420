// SPDX-License-Identifier: Apache-2.0

package ocf

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/mailha/mailha/agents"
)

// scores is nil where nobody asks for them.
func (e environ) scores() agents.Scores {
	if !e.pacemaker {
		return nil
	}
	resource, _, _ := strings.Cut(e.resource, ":") // without the number of a clone's instance
	return nodeAttribute{program: "crm_attribute", resource: resource}
}

// nodeAttribute is where Pacemaker looks for a promotion score: Pacemaker
// Administration, "Promotable clone resources". crm_attribute(8) is its only
// interface to it.
type nodeAttribute struct{ program, resource string }

func (n nodeAttribute) Set(ctx context.Context, score int) error {
	return n.run(ctx, "--update="+strconv.Itoa(score))
}

func (n nodeAttribute) Clear(ctx context.Context) error { return n.run(ctx, "--delete") }

func (n nodeAttribute) run(ctx context.Context, verb string) error {
	const patience = 5 * time.Second // takes 10 ms
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, n.program, "--promotion="+n.resource, "--lifetime=reboot", verb)
	cmd.WaitDelay = time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("promotion score of %s: %s: %w: %s", n.resource, n.program, err, strings.TrimSpace(string(out)))
	}
	return nil
}
