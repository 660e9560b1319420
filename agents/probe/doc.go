// SPDX-License-Identifier: Apache-2.0

// Package probe is the client's side of the protocols of mail, as far as it takes
// to see that a server is well: SMTP (RFC 5321), LMTP (RFC 2033), IMAP (RFC 9051,
// and RFC 3501) and POP3 (RFC 1939), in the clear, after STARTTLS, or within TLS.
//
// It must never read without a bound, neither in time nor in bytes, and never
// show a password. Certificates are looked at, but not verified: servers are asked
// at addresses of their own, by whatever names their certificates have.
package probe
