// SPDX-License-Identifier: Apache-2.0

package vip

import (
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// The agents' binary is exec'ed every few seconds: nothing heavy may come in here, nothing of the other packages,
// and never a way to run a program.
func TestImports(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("no source files found: %v", err)
	}
	allowed := []string{"github.com/mailha/mailha/vip/", "github.com/mdlayher/", "github.com/google/nftables", "golang.org/x/net/bpf", "golang.org/x/sys/unix"}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range f.Imports {
			path, _ := strconv.Unquote(i.Path.Value)
			ok := !strings.Contains(path, ".") && path != "os/exec"
			for _, a := range allowed {
				ok = ok || strings.HasPrefix(path, a)
			}
			if !ok {
				t.Errorf("%s imports %s", file, path)
			}
		}
	}
}
