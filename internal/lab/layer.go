// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"errors"
	"os"
	"path/filepath"
)

// ErrRunning means that the node is not powered off.
var ErrRunning = errors.New("node is running")

// Keep copies all that was changed on the node since its lab was made to a new
// directory of the host, for [Config.Layers]; what it logged is left out. The node has
// to be off: else it is ErrRunning.
func (n *Node) Keep(ctx context.Context, dir string) error {
	if n.Running() {
		return n.errorf("keep: %w", ErrRunning)
	}
	// What was removed is kept as well: as device nodes and extended attributes
	// (Documentation/filesystems/overlayfs.rst, "whiteouts and opaque directories").
	if err := tool(ctx, "", "cp", "-a", n.upper(), dir); err != nil {
		return n.errorf("keep: %w", err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "var/log/journal")); err != nil {
		return n.errorf("keep: %w", err)
	}
	return nil
}
