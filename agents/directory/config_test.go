// SPDX-License-Identifier: Apache-2.0

package directory

import (
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mailha/mailha/agents"
	"github.com/mailha/mailha/agents/ldap"
)

const configLDIF = `# AUTO-GENERATED FILE - DO NOT EDIT!! Use ldapmodify.
# CRC32 a9239b8d
dn: olcDatabase={1}mdb
objectClass: olcDatabaseConfig
objectClass: olcMdbConfig
olcDatabase: {1}mdb
olcDbDirectory: /srv/mail/ldap/
olcSuffix: dc=example,dc=test
olcSyncrepl: {0}rid=002 provider=ldap://10.77.0.12 searchbase=dc=example,dc=te
 st type=refreshAndPersist retry="1 +" bindmethod=simple binddn=cn=replica,dc=
 example,dc=test credentials="secret \"of\" the replicas" starttls=critical
olcSyncrepl:: ezF9cmlkPTAwMyBwcm92aWRlcj1sZGFwczovL25vZGUz
olcMultiProvider: TRUE
olcReadOnly: TRUE
`

// configured writes a configuration directory.
func configured(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "cn=config"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, "cn=config", name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestReadSettings(t *testing.T) {
	dir := configured(t, map[string]string{
		"olcDatabase={0}config.ldif":  "dn: olcDatabase={0}config\nolcDatabase: {0}config\n",
		"olcDatabase={1}mdb.ldif":     configLDIF,
		"olcDatabase={2}mdb.ldif":     "dn: olcDatabase={2}mdb\nolcDatabase: {2}mdb\nolcSuffix: cn=accesslog\nolcDbDirectory: /srv/log\n",
		"olcDatabase={3}monitor.ldif": "dn: olcDatabase={3}monitor\nolcDatabase: {3}monitor\n",
		"cn=schema.ldif":              "no entry at all",
	})
	s, err := readSettings(dir)
	if err != nil || len(s.databases) != 1 {
		t.Fatalf("%v, %+v; want the one database that is replicated", err, s)
	}
	d := s.databases[0]
	if d.entry != "olcDatabase={1}mdb,cn=config" || d.suffix != "dc=example,dc=test" || d.directory != "/srv/mail/ldap" || !d.readOnly || !d.provider {
		t.Errorf("got %+v", d)
	}
	if len(d.sources) != 2 || d.sources[0].String() != "ldap://10.77.0.12" || d.sources[1].String() != "ldaps://node3" {
		t.Fatalf("sources %v", d.sources)
	}
	if q := d.sources[0]; q.words["credentials"] != `secret "of" the replicas` || q.words["binddn"] != "cn=replica,dc=example,dc=test" || !q.starttls {
		t.Errorf("source %+v", q)
	}
	if err := s.consumer(); err != nil {
		t.Error(err)
	}
}

func TestReadSettingsRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		files map[string]string
		want  error
		says  string
	}{
		"nothing":               {nil, agents.ErrNode, "no database"},
		"a replicated config":   {map[string]string{"olcDatabase={0}config.ldif": "dn: x\nolcDatabase: {0}config\nolcSyncrepl: rid=1 provider=ldap://a\n"}, agents.ErrNode, "cn=config itself is replicated"},
		"a torn file":           {map[string]string{"olcDatabase={1}mdb.ldif": ""}, agents.ErrNode, "no entry"},
		"a source of nowhere":   {map[string]string{"olcDatabase={1}mdb.ldif": "dn: x\nolcSyncrepl: rid=1 credentials=hunter2\n"}, agents.ErrNode, "no provider"},
		"quotes without end":    {map[string]string{"olcDatabase={1}mdb.ldif": "dn: x\nolcSyncrepl: rid=1 credentials=\"hunter2\n"}, agents.ErrNode, "quotes of credentials"},
		"a line of nothing":     {map[string]string{"olcDatabase={1}mdb.ldif": "dn: x\nprovider hunter2 and more\n"}, agents.ErrNode, "begins with"},
		"base64 that is none":   {map[string]string{"olcDatabase={1}mdb.ldif": "dn: x\nolcSuffix:: %%%\n"}, agents.ErrNode, "olcSuffix"},
		"a secret that is torn": {map[string]string{"olcDatabase={1}mdb.ldif": "dn: x\nolcSyncrepl: rid=1 hunter2\n"}, agents.ErrNode, "NAME=VALUE"},
	} {
		_, err := readSettings(configured(t, tt.files))
		if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v", name, err)
		}
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: tells a secret: %v", name, err)
		}
	}
	if _, err := readSettings(t.TempDir()); !errors.Is(err, agents.ErrInstalled) {
		t.Errorf("no configuration: %v", err)
	}
}

// A database that only follows is one that cannot be promoted; without any that
// follows, all that hold something count.
func TestSettingsOf(t *testing.T) {
	follows := ldap.Entry{DN: "a", Attributes: []ldap.Attribute{
		{Name: "olcSuffix", Values: []string{"dc=a"}}, {Name: "olcDbDirectory", Values: []string{"/a"}}, {Name: "olcSyncrepl", Values: []string{"rid=1 provider=ldap://a"}}}}
	s, err := settingsOf([]ldap.Entry{follows})
	if err != nil || !errors.Is(s.consumer(), agents.ErrNode) || !errors.Is(s.consumer(), errConsumer) {
		t.Errorf("%v, %v", err, s.consumer())
	}
	follows.Attributes = append(follows.Attributes, ldap.Attribute{Name: "olcMirrorMode", Values: []string{"TRUE"}})
	if s, err := settingsOf([]ldap.Entry{follows}); err != nil || s.consumer() != nil {
		t.Errorf("by the name of OpenLDAP 2.4: %v, %v", err, s.consumer())
	}
	alone := ldap.Entry{DN: "b", Attributes: []ldap.Attribute{{Name: "olcSuffix", Values: []string{"dc=b"}}, {Name: "olcDbDirectory", Values: []string{"/b"}}}}
	if s, err := settingsOf([]ldap.Entry{alone}); err != nil || len(s.databases) != 1 {
		t.Errorf("a server without others: %+v, %v", s, err)
	}
	if s, err := settingsOf([]ldap.Entry{alone, follows}); err != nil || len(s.databases) != 1 || s.databases[0].suffix != "dc=a" {
		t.Errorf("one of both: %+v, %v", s, err)
	}
}

func FuzzParseLDIF(f *testing.F) {
	f.Add(configLDIF)
	f.Add("dn:: " + base64.StdEncoding.EncodeToString([]byte("cn=x")) + "\n:\n")
	f.Fuzz(func(t *testing.T, text string) {
		e, err := parseLDIF(text)
		if err != nil {
			return
		}
		if e.DN == "" {
			t.Error("an entry without a name")
		}
		_, _ = settingsOf([]ldap.Entry{e})
	})
}

func FuzzParseSource(f *testing.F) {
	f.Add(`{0}rid=002 provider=ldap://10.77.0.12 retry="1 +" credentials="a\"b\\"`)
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parseSource(text)
		if err != nil {
			return
		}
		if s.url.Host == "" || strings.Contains(s.String(), s.words["credentials"]) && len(s.words["credentials"]) > len(s.String()) {
			t.Errorf("%q is %+v", text, s)
		}
	})
}

func TestReadServices(t *testing.T) {
	for name, tt := range map[string]struct {
		text, want string
	}{
		"as it should be": {"# what it listens on\nSLAPD_SERVICES=\"ldap://192.0.2.1 ldaps:/// ldapi://%2Frun%2Fx\"\n", "ldap://192.0.2.1 ldaps:// ldapi://%2Frun%2Fx"},
		"without quotes":  {"SLAPD_SERVICES=ldapi:///", "ldapi://%2Frun%2Fslapd%2Fldapi"},
		"nonsense":        {"SLAPD_SERVICES=\"http://x\"", ""},
		"other variables": {"SLAPD_OPTIONS=\"-4\"", ""},
	} {
		path := filepath.Join(t.TempDir(), "x.env")
		if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		urls, err := readServices(path)
		if urls.String() != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%s: %q, %v", name, urls.String(), err)
		}
	}
	if urls, err := readServices("/nonexistent/x.env"); err != nil || len(urls) != 2 {
		t.Errorf("without a file: %v, %v", urls, err)
	}
}

func TestListeners(t *testing.T) {
	o := NewOpenLDAP(agents.Env{})
	if err := o.urls.Set("ldap://192.0.2.1 ldap://[2001:db8::1]:3890 ldaps://192.0.2.1 ldapi:///"); err != nil {
		t.Fatal(err)
	}
	var f agents.Facts
	if err := o.listeners(&f); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]uint16{389, 3890, 636}, f.Ports); diff != "" || len(f.Bound) != 2 {
		t.Errorf("bound to %v, ports (-want +got)\n%s", f.Bound, diff)
	}
	for text, bound := range map[string]int{"ldap:/// ldap://192.0.2.1 ldapi:///": 0, "ldap://node1 ldapi:///": 0, "ldapi:///": 0} {
		f = agents.Facts{}
		if err := errors.Join(o.urls.Set(text), o.listeners(&f)); err != nil || len(f.Bound) != bound {
			t.Errorf("%s: bound to %v, %v", text, f.Bound, err)
		}
	}
	if err := errors.Join(o.urls.Set("ldap:///"), o.listeners(&f)); !errors.Is(err, agents.ErrNode) {
		f = agents.Facts{}
		if err := o.listeners(&f); !errors.Is(err, agents.ErrNode) || !strings.Contains(err.Error(), "ldapi") {
			t.Errorf("without a socket for root: %v", err)
		}
	}
}
