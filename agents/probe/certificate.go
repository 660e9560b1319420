// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// JudgeCertificates returns an error if one of them is not valid for so many days
// to come. Zero days let only those pass that are valid now.
func JudgeCertificates(sent []*x509.Certificate, days int, now time.Time) error {
	const day = 24 * time.Hour
	var errs []error
	for _, cert := range sent {
		until := cert.NotAfter.UTC().Format(time.DateTime)
		switch left := cert.NotAfter.Sub(now); {
		case now.Before(cert.NotBefore):
			errs = append(errs, fmt.Errorf("the certificate of %q is not valid before %s", cert.Subject, cert.NotBefore.UTC().Format(time.DateTime)))
		case left <= 0:
			errs = append(errs, fmt.Errorf("the certificate of %q has ended on %s", cert.Subject, until))
		case left < time.Duration(days)*day:
			errs = append(errs, fmt.Errorf("the certificate of %q ends in %d days, on %s", cert.Subject, left/day, until))
		}
	}
	return errors.Join(errs...)
}
