// SPDX-License-Identifier: Apache-2.0

package console

import (
	"bufio"
	"errors"
	"fmt"
	"strings"
)

var errNotSure = errors.New("nothing was changed")

// sure asks, unless the operator has said yes beforehand.
func (s *session) sure(yes bool, question string) error {
	if yes {
		return nil
	}
	for _, line := range wrap(question, s.screen.Width) {
		fmt.Fprintln(s.err, line)
	}
	fmt.Fprint(s.err, `Type "yes": `)
	answer, err := bufio.NewReader(s.in).ReadString('\n')
	if strings.TrimSpace(answer) == "yes" {
		return nil
	}
	if err != nil {
		fmt.Fprintln(s.err)
		return fmt.Errorf("%w; --yes answers beforehand", errNotSure)
	}
	return errNotSure
}
