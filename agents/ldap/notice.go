// SPDX-License-Identifier: Apache-2.0

package ldap

import "fmt"

// disconnection is the error that an unasked message of the server stands for:
// there is only the Notice of Disconnection, RFC 4511 section 4.4.1.
func disconnection(m message) error {
	if m.op != extendedResponse {
		return fmt.Errorf("%w: it was not asked for", errMessage)
	}
	r, err := parseResult(m.body)
	if err != nil {
		return err
	}
	if err := r.err(); err != nil {
		return fmt.Errorf("%w: %w", ErrDisconnected, err)
	}
	return ErrDisconnected
}
