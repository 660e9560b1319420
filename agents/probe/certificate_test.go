// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"strings"
	"testing"
	"time"
)

func TestJudgeCertificates(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	const day = 24 * time.Hour
	cert := func(from, until time.Duration) *x509.Certificate {
		return &x509.Certificate{Subject: pkix.Name{CommonName: "mx.example.test"}, NotBefore: now.Add(from), NotAfter: now.Add(until)}
	}
	good := cert(-day, 90*day)
	for _, tt := range []struct {
		name string
		sent []*x509.Certificate
		want string // empty: no error
	}{
		{"good", []*x509.Certificate{good, good}, ""},
		{"lasts just long enough", []*x509.Certificate{cert(-day, 14*day)}, ""},
		{"ends soon", []*x509.Certificate{cert(-day, 14*day-time.Second)}, `of "CN=mx.example.test" ends in 13 days, on 2026-12-06 11:59:59`},
		{"ends today", []*x509.Certificate{cert(-day, time.Hour)}, "ends in 0 days"},
		{"has ended", []*x509.Certificate{cert(-day, -time.Hour)}, "has ended on 2026-11-22 11:00:00"},
		{"is to come", []*x509.Certificate{cert(day, 90*day)}, "is not valid before 2026-11-23"},
		{"the issuer's ends", []*x509.Certificate{good, cert(-day, day)}, "ends in 1 days"},
		{"none", nil, ""},
	} {
		err := JudgeCertificates(tt.sent, 14, now)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: want %q, got %v", tt.name, tt.want, err)
		}
	}
}
