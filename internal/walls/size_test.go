// SPDX-License-Identifier: Apache-2.0

package walls

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// A small program is read from disk in no time when a node has just come up,
// and shows that nothing heavy has crept in under a name that no rule has.
func TestProgramOfTheAgentsIsSmall(t *testing.T) {
	const limit = 9_000_000 // bytes; 2 MB of it are TLS, for certificates
	file := filepath.Join(t.TempDir(), "mailha-ocf")
	// The way make build does it.
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", file, "./cmd/mailha-ocf")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, out)
	}
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > limit {
		t.Errorf("mailha-ocf has %d bytes, more than %d", info.Size(), limit)
	}
}
