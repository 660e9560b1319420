// SPDX-License-Identifier: Apache-2.0

package enrol

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/mailha/mailha/resources"
)

// Applied is where a node keeps a copy of the configuration that the cluster runs, for its
// next start: the operator's file is what the cluster began with, and may be of long ago.
func Applied(c *resources.Cluster) string {
	return filepath.Join(filepath.Dir(c.Etcd.DataDir), "applied.toml")
}

// KeepApplied writes the copy, whole or not at all.
func KeepApplied(file, text string) error {
	next := file + ".new"
	if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
		return fmt.Errorf("keep the cluster's configuration: %w", err)
	}
	if err := os.Rename(next, file); err != nil {
		return fmt.Errorf("keep the cluster's configuration: %w", err)
	}
	return nil
}

// LatestApplied is the text of the copy, or empty if there is none that is newer than the
// operator's file: who has edited that since means it.
func LatestApplied(file, copied string) (string, error) {
	own, err := os.Stat(file)
	if err != nil {
		return "", err
	}
	kept, err := os.Stat(copied)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !kept.ModTime().After(own.ModTime()) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	text, err := os.ReadFile(copied)
	return string(text), err
}

// forgetApplied is for a cluster that begins.
func forgetApplied(c *resources.Cluster) error {
	if err := os.Remove(Applied(c)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
