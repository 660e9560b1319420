// SPDX-License-Identifier: Apache-2.0

package trust

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func aToken(t testing.TB) Token {
	t.Helper()
	token, _, err := Invite("c1", Invitation{Node: "n2", Addresses: []netip.Addr{localhost()}}, netip.MustParseAddrPort("[2001:db8::1]:2379"), Fingerprint{1, 2})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func same() cmp.Options {
	return cmp.Options{cmpopts.EquateComparable(netip.AddrPort{}), cmp.AllowUnexported(Token{})}
}

func TestTokenReadsBack(t *testing.T) {
	token := aToken(t)
	got, err := ParseToken(token.Text())
	if diff := cmp.Diff(token, got, same()); diff != "" || err != nil {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
	if strings.Contains(token.String(), "secret") || len(token.String()) > 100 {
		t.Errorf("it shows itself as %s", token)
	}
	text := token.Text()
	for i := range text { // each character counts
		b := []byte(text)
		b[i] ^= 1
		if _, err := ParseToken(string(b)); err == nil {
			t.Fatalf("taken with another character at %d", i)
		}
	}
	for _, bad := range []string{"", "x", text[:len(text)-1], text + "A", tokenMark, tokenMark + "AAAA", strings.Repeat("A", 5000), tokenMark + strings.Repeat("A", 5000)} {
		if _, err := ParseToken(bad); err == nil {
			t.Errorf("taken: %q", bad)
		} else if len(bad) > 30 && strings.Contains(err.Error(), bad[10:30]) {
			t.Errorf("the error shows the token: %v", err)
		}
	}
}

func FuzzToken(f *testing.F) {
	f.Add(aToken(f).Text())
	f.Add("mailha1.")
	f.Fuzz(func(t *testing.T, text string) {
		token, err := ParseToken(text)
		if err != nil {
			return
		}
		again, err := ParseToken(token.Text())
		if diff := cmp.Diff(token, again, same()); diff != "" || err != nil {
			t.Errorf("%v (-want +got)\n%s", err, diff)
		}
	})
}

// Whatever a stranger sends is refused or taken, in bounds and without a panic.
func FuzzMessages(f *testing.F) {
	key, err := newKey()
	if err != nil {
		f.Fatal(err)
	}
	csr, err := request(key)
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{
		"", "{}", `{"id":"1","secret":"AA==","node":"n","csr":"x"}`, `{"csr":"x","more":1}`, `{"error":"x"}{}`,
		`{"cert":"x","ca":"y","config":"","members":[{"name":"n1","peer":"","client":""}]}`, csr,
		"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
	} {
		f.Add([]byte(seed))
	}
	dir := Dir(f.TempDir())
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, into := range []any{&joinRequest{}, &joinAnswer{}, &renewRequest{}, &renewAnswer{}, &refusal{}} {
			if err := receive(bytes.NewReader(data), maxRequest, into); err == nil && len(data) > maxRequest {
				t.Errorf("%d bytes were taken", len(data))
			}
		}
		text := string(data)
		requested(text)
		parseCert(data)
		parseKey(data)
		if err := dir.accept(Token{Node: "n"}, key, joinAnswer{Cert: text, CA: text, AuthorityKey: text}); err == nil {
			t.Error("accepted")
		}
		if p := printable(text); strings.ContainsAny(p, "\x1b\n\r\u009b\x00") {
			t.Errorf("not printable: %q", p)
		}
	})
}
