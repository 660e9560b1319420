// SPDX-License-Identifier: Apache-2.0

// Command man writes the manual pages of the agents: "make man". It must never
// touch a page that was written by hand.
package main

import (
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/mailha/mailha/internal/manual"
	"github.com/mailha/mailha/internal/suite"
)

func main() {
	dir := flag.String("o", "man", "directory of the pages")
	flag.Parse()
	if err := manual.Update(*dir, suite.Types(), time.Now()); err != nil {
		fmt.Fprintln(os.Stderr, "man:", err)
		os.Exit(1)
	}
}
