// SPDX-License-Identifier: Apache-2.0

package directory

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	sdunit "github.com/coreos/go-systemd/v22/unit"

	"github.com/mailha/mailha/agents"
	"github.com/mailha/mailha/agents/ldap"
	"github.com/mailha/mailha/agents/process"
	"github.com/mailha/mailha/agents/unit"
)

// OpenLDAP is the backend for one instance of OpenLDAP's server with its
// configuration in slapd-config(5)'s form. It has the [agents.ReplicaSteps] of
// its service.
type OpenLDAP struct {
	configDir agents.Path
	binary    agents.Path
	unit      agents.UnitName
	urls      urlList
	peers     urlList
	maxLag    agents.Duration
	force     agents.Bool
	certDays  days

	checkBase     agents.Text
	checkName     agents.Text
	checkPassword agents.Path

	left int   // of a drain that did not finish
	mute *bool // clients can be told nothing; nil: not known yet
	log  *slog.Logger
}

// NewOpenLDAP returns the backend with its defaults.
func NewOpenLDAP(env agents.Env) *OpenLDAP {
	return &OpenLDAP{
		configDir: "/etc/ldap/slapd.d",
		binary:    "/usr/sbin/slapd",
		maxLag:    agents.Duration(5 * time.Second),
		certDays:  14,
		log:       env.Logger().With("resource", env.Instance),
	}
}

// Params is the part of the table that is about OpenLDAP.
func (o *OpenLDAP) Params() agents.Table {
	return agents.Table{
		{Name: "config_dir", Value: &o.configDir, Unique: "config_dir",
			Short: "Configuration directory of the OpenLDAP instance",
			Long:  "The directory that slapd is given by -F. Each of its databases that follows others (olcSyncrepl) needs olcMultiProvider to be promoted."},
		{Name: "binary", Value: &o.binary,
			Short: "The slapd program",
			Long:  "Only looked for, and known by its name among processes: the unit starts it."},
		{Name: "unit", Value: &o.unit, Unique: "unit",
			Short: "Systemd unit that runs the instance",
			Long:  "Empty means the instance of mailha-slapd@.service for config_dir. It must not be enabled: the cluster starts it."},
		{Name: "urls", Value: &o.urls,
			Short: "URLs that the instance listens on",
			Long:  "As slapd is given them by -h; one must be of an ldapi socket, on which root has the right \"manage\" on cn=config. Empty means what SLAPD_SERVICES says in the file with the name of config_dir and \".env\" after it, or \"ldap:/// ldapi:///\" if there is none."},
		{Name: "peers", Value: &o.peers, Reloadable: true,
			Short: "The other replicas",
			Long:  "Their URLs or addresses; the node's own may be among them. Empty means the providers that olcSyncrepl names, which are asked by the name and password that olcSyncrepl has for each. Others, and those that olcSyncrepl has no password for, are asked as nobody, who must be allowed to read contextCSN then."},
		{Name: "max_lag", Value: &o.maxLag, Reloadable: true,
			Short: "Time that a change may take to reach another replica",
			Long:  "A monitor at depth 10 waits for so long for this replica to have what the others had when it asked them, or the other way round for the promoted one, before it calls the resource degraded."},
		{Name: "force_promotion", Value: &o.force, Reloadable: true,
			Short: "Promote a replica although it is known to lack changes",
			Long:  "What it lacks is lost unless the replica that has it comes back. Set it, promote, and set it back."},
		{Name: "cert_days", Value: &o.certDays, Reloadable: true,
			Short: "Days before the end of a certificate from which the resource is degraded",
			Long:  "0 turns it off."},
		{Name: "check_base", Value: &o.checkBase, Reloadable: true,
			Short: "Entry below which a monitor at depth 20 writes a test entry",
			Long:  "The entry is called cn=mailha-check-NODE, an applicationProcess, and deleted again. Empty means that nothing is written: the database's first entry is read."},
		{Name: "check_bind_dn", Value: &o.checkName, Reloadable: true,
			Short: "Name in which a monitor at depth 20 reads and writes",
			Long:  "It is used on the ldapi socket only. Empty means root by EXTERNAL."},
		{Name: "check_password_file", Value: &o.checkPassword, Reloadable: true,
			Short: "File with the password of check_bind_dn",
			Long:  "Only root may be able to read it. A line feed at its end is left out."},
	}
}

// Validate checks the parameters.
func (o *OpenLDAP) validate() error {
	if (o.checkName == "") != (o.checkPassword == "") {
		return &agents.ParamError{Name: "check_bind_dn", Text: string(o.checkName), Err: errors.New("needs check_password_file, and the other way round")}
	}
	return nil
}

// Inspect reads the configuration's files.
func (o *OpenLDAP) Inspect(ctx context.Context) (agents.Facts, error) {
	facts := agents.Facts{Unit: string(o.unit), Listen: netip.AddrFrom4([4]byte{127, 0, 0, 1})}
	if facts.Unit == "" {
		facts.Unit = "mailha-slapd@" + sdunit.UnitNamePathEscape(string(o.configDir)) + ".service"
	}
	const maxName = 15 // proc(5) comm
	name := filepath.Base(string(o.binary))
	facts.Process = process.Match{
		ControlGroup: unit.ControlGroup(facts.Unit),
		Programs:     []string{filepath.Dir(string(o.binary))},
		Name:         name[:min(len(name), maxName)],
		Argument:     string(o.configDir),
	}
	urlsErr := o.listeners(&facts)
	if _, err := os.Stat(string(o.binary)); err != nil {
		return facts, fmt.Errorf("%w: no OpenLDAP server here: %w", agents.ErrInstalled, err)
	}
	s, err := readSettings(string(o.configDir))
	if err := errors.Join(err, urlsErr); err != nil {
		return facts, err
	}
	// Whoever has this file open is the instance, by whatever path of the
	// configuration somebody has started it.
	facts.DataDir = s.databases[0].directory
	facts.Peers = o.hosts(ctx, s)
	real, err := filepath.EvalSymlinks(facts.DataDir)
	if err != nil {
		return facts, fmt.Errorf("%w: the database is not here: %w; is its file system mounted?", agents.ErrInstalled, err)
	}
	facts.Process.File = filepath.Join(real, dataFile)
	return facts, nil
}

// Rehearse has the server itself read its configuration, as slaptest(8) does.
func (o *OpenLDAP) Rehearse(ctx context.Context, _ agents.Facts) error {
	cmd := exec.CommandContext(ctx, string(o.binary), "-Tt", "-u", "-F", string(o.configDir))
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	var said []string
	for line := range strings.Lines(string(out)) {
		if line = strings.TrimSpace(line); line != "" {
			said = append(said, line)
		}
	}
	const most = 3 // the reason is at the end, and a hint before it
	return fmt.Errorf("%s: %w: %s", cmd, err, strings.Join(said[max(0, len(said)-most):], "; "))
}

// listeners fills in what the instance listens on.
func (o *OpenLDAP) listeners(facts *agents.Facts) error {
	urls := o.urls
	if len(urls) == 0 {
		var err error
		if urls, err = readServices(string(o.configDir) + ".env"); err != nil {
			return fmt.Errorf("%w: %w", agents.ErrNode, err)
		}
	}
	for _, u := range urls {
		facts.URLs = append(facts.URLs, u.String())
		if u.Port != 0 && !slices.Contains(facts.Ports, u.Port) {
			facts.Ports = append(facts.Ports, u.Port)
		}
	}
	facts.Bound = boundTo(urls)
	if _, err := socketOf(*facts); err != nil {
		return fmt.Errorf("%w: %w", agents.ErrNode, err)
	}
	return nil
}

// boundTo lists the only addresses that the instance listens on; empty: all, or
// they are not known.
func boundTo(urls urlList) []netip.Addr {
	var addrs []netip.Addr
	for _, u := range urls {
		if u.Scheme == "ldapi" {
			continue
		}
		addr, err := netip.ParseAddr(u.Host)
		if err != nil {
			return nil
		}
		if !slices.Contains(addrs, addr) {
			addrs = append(addrs, addr)
		}
	}
	return addrs
}

// readServices reads SLAPD_SERVICES as systemd does: systemd.exec(5)
// EnvironmentFile, of which only the form that our unit asks for is understood.
func readServices(path string) (urlList, error) {
	var urls urlList
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return urls, urls.Set("ldap:/// ldapi:///")
	}
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(data)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), "SLAPD_SERVICES="); ok {
			if err := urls.Set(strings.Trim(value, `"'`)); err != nil {
				return nil, fmt.Errorf("%s: SLAPD_SERVICES: %w", path, err)
			}
		}
	}
	if len(urls) == 0 {
		return nil, fmt.Errorf("%s does not set SLAPD_SERVICES", path)
	}
	return urls, nil
}

// socketOf is where root controls the instance.
func socketOf(f agents.Facts) (ldap.URL, error) {
	for _, text := range f.URLs {
		if u, err := ldap.ParseURL(text); err == nil && u.Scheme == "ldapi" {
			return u, nil
		}
	}
	return ldap.URL{}, errors.New("the server listens on no ldapi socket; add ldapi:/// to SLAPD_SERVICES, or to the parameter urls")
}
