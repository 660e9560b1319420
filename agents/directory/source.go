// SPDX-License-Identifier: Apache-2.0

package directory

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/mailha/mailha/agents/ldap"
)

// source is another server whose changes a database follows, and how it is
// spoken to: slapd-config(5) olcSyncrepl.
type source struct {
	url      ldap.URL
	words    map[string]string
	starttls bool
}

// String has no password in it.
func (s source) String() string { return s.url.String() }

// parseSource reads "{0}rid=1 provider=ldap://... binddn="cn=..." ...".
func parseSource(value string) (source, error) {
	if value != "" && value[0] == '{' {
		_, value, _ = strings.Cut(value, "}")
	}
	s := source{words: map[string]string{}}
	for rest := value; ; {
		name, word, more, err := nextWord(rest)
		if err != nil {
			return source{}, err
		}
		if name == "" {
			break
		}
		s.words[strings.ToLower(name)], rest = word, more
	}
	url, err := ldap.ParseURL(s.words["provider"])
	if err != nil || url.Host == "" {
		return source{}, errors.New("no provider is named by its URL")
	}
	s.url, s.starttls = url, s.words["starttls"] == "yes" || s.words["starttls"] == "critical"
	return s, nil
}

// nextWord splits NAME=VALUE off, whose value may be in quotes.
func nextWord(s string) (name, value, rest string, err error) {
	s = strings.TrimLeft(s, " \t")
	if s == "" {
		return "", "", "", nil
	}
	name, s, ok := strings.Cut(s, "=")
	if !ok || strings.ContainsAny(name, " \t\"") || name == "" {
		return "", "", "", errors.New("a word is not of the form NAME=VALUE") // and may be a part of a secret
	}
	if !strings.HasPrefix(s, `"`) {
		value, rest, _ = strings.Cut(s, " ")
		return name, value, rest, nil
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		case c == '"':
			return name, b.String(), s[i+1:], nil
		default:
			b.WriteByte(c)
		}
	}
	return "", "", "", fmt.Errorf("the quotes of %s do not end", name)
}

// tlsConfig verifies as the server itself does when it follows the source:
// ldap.conf(5) TLS_REQCERT.
func (s source) tlsConfig() (*tls.Config, error) {
	cfg := &tls.Config{ServerName: s.url.Host}
	switch s.words["tls_reqcert"] {
	case "never", "allow", "try":
		cfg.InsecureSkipVerify = true
	}
	if path := s.words["tls_cacert"]; path != "" {
		pem, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("tls_cacert of %s: %w", s, err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("tls_cacert of %s: no certificate is in %s", s, path)
		}
	}
	return cfg, nil
}

// login binds by the name and password that the server itself uses, and is nobody
// where that has a certificate or a ticket instead.
func (s source) login(c *ldap.Conn) error {
	if s.words["bindmethod"] == "simple" && s.words["binddn"] != "" {
		return c.BindSimple(s.words["binddn"], s.words["credentials"])
	}
	return nil
}
