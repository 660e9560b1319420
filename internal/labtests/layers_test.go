// SPDX-License-Identifier: Apache-2.0

package labtests

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"

	"github.com/mailha/mailha/internal/lab"
	"github.com/mailha/mailha/internal/scenario"
)

//go:embed setup.sh
var setup []byte

// layer gives what nodes have above the base image.
type layer func() ([]string, error)

// The kinds of nodes that tests begin with. Each is made when a test wants it for the
// first time, and once.
var (
	withMTA = layered("mta", nil, func(ctx context.Context, n *lab.Node) error {
		if err := scenario.Furnish(ctx, n); err != nil {
			return err
		}
		return execute(ctx, n, "setup.sh", setup)
	})
	withStore = layered("store", withMTA, func(ctx context.Context, n *lab.Node) error {
		return execute(ctx, n, "dovecot.sh", dovecot)
	})
	withExim = layered("exim", withMTA, func(ctx context.Context, n *lab.Node) error {
		return execute(ctx, n, "exim.sh", eximSetup)
	})
	withFront = layered("front", withMTA, func(ctx context.Context, n *lab.Node) error {
		return scenario.FurnishSystem(ctx, n, scenario.Users(2))
	})
)

// execute runs a script on a node.
func execute(ctx context.Context, n *lab.Node, name string, script []byte) error {
	path := "/root/" + name
	if err := n.Push(path, script, 0o755); err != nil {
		return err
	}
	_, err := n.Output(ctx, path)
	return err
}

// layered is what furnish makes of a node, above what is below.
func layered(name string, below layer, furnish func(context.Context, *lab.Node) error) layer {
	return sync.OnceValues(func() (layers []string, err error) {
		if err := programs(); err != nil {
			return nil, err
		}
		if below != nil {
			if layers, err = below(); err != nil {
				return nil, err
			}
		}
		// It outlives the test that is the first to want it.
		ctx := context.Background()
		l, err := lab.Up(ctx, lab.Config{Name: fmt.Sprintf("l%d%s", os.Getpid(), name), Binary: filepath.Join(scratch, "lab"), Layers: layers})
		if err != nil {
			return nil, err
		}
		dir := filepath.Join(scratch, "layer-"+name)
		err = func() error {
			if out, err := exec.Command("cp", "-a", filepath.Join(scratch, "install"), l.ShareDir()).CombinedOutput(); err != nil {
				return fmt.Errorf("install: %w: %s", err, out)
			}
			n := l.Nodes()[0]
			if err := furnish(ctx, n); err != nil {
				return err
			}
			if err := n.Kill(ctx); err != nil {
				return err
			}
			return n.Keep(ctx, dir)
		}()
		return append(layers[:len(layers):len(layers)], dir), errors.Join(err, l.Down())
	})
}
