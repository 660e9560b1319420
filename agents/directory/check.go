// SPDX-License-Identifier: Apache-2.0

package directory

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mailha/mailha/agents"
	"github.com/mailha/mailha/agents/ldap"
	"github.com/mailha/mailha/agents/process"
)

// startTLSOID names the extended operation: RFC 4511 section 4.14.1.
const startTLSOID = "1.3.6.1.4.1.1466.20037"

// patience is how long the server may take to say on all of its URLs who it is.
const patience = 10 * time.Second

// Check asks the server on each of its URLs who it is. At DepthTransaction it
// writes, reads and deletes a test entry if this is the promoted replica.
func (o *OpenLDAP) Check(ctx context.Context, f agents.Facts, depth agents.Depth) error {
	if err := inPlace(f); err != nil {
		return err
	}
	degraded, err := o.greetAll(ctx, f)
	if err != nil {
		return err
	}
	if depth >= agents.DepthTransaction {
		if err := o.transaction(ctx, f); err != nil {
			return err
		}
	}
	return errors.Join(degraded...)
}

// inPlace sees that the data are where the server had them when it started: on a
// file system that was unmounted it goes on with what nobody will find again.
func inPlace(f agents.Facts) error {
	if f.Process.File == "" {
		return nil
	}
	there, err := os.Stat(f.Process.File)
	if err != nil {
		return fmt.Errorf("the server runs on data that are not in their place any more: %w; is their file system mounted?", err)
	}
	ps, err := process.Find(f.Process)
	if err != nil {
		return err
	}
	for _, p := range ps {
		open, err := p.HasOpen(there)
		if open || err != nil {
			return err
		}
	}
	return fmt.Errorf("the server runs on other data than those in %s; was their file system unmounted?", f.DataDir)
}

// greetAll returns what is not well with a server that answers.
func (o *OpenLDAP) greetAll(ctx context.Context, f agents.Facts) (degraded []error, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c, err := o.control(ctx, f)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	dse, err := c.RootDSE()
	if err != nil {
		return nil, err
	}
	starttls := slices.Contains(dse.Values("supportedExtension"), startTLSOID)
	for _, url := range here(f) {
		left, err := greet(ctx, url, starttls)
		if err != nil {
			return nil, err
		}
		degraded = append(degraded, o.certificate(url, left))
	}
	return append(degraded, full(c), noRoom(f.DataDir)), nil
}

// here lists the TCP URLs that can be asked on this node: those of secondary
// addresses that are elsewhere cannot.
func here(f agents.Facts) []ldap.URL {
	own, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var urls []ldap.URL
	for _, text := range f.URLs {
		u, err := ldap.ParseURL(text)
		if err != nil || u.Scheme == "ldapi" {
			continue
		}
		if u.Host == "" {
			u.Host = f.Listen.String()
		}
		if slices.ContainsFunc(own, func(a net.Addr) bool { return strings.HasPrefix(a.String(), u.Host+"/") }) {
			urls = append(urls, u)
		}
	}
	return urls
}

// greet returns how long the certificate still lasts, nil without one. The
// certificate is not verified: it is the server's own address that is asked, by
// whatever name the certificate has.
func greet(ctx context.Context, url ldap.URL, starttls bool) (*time.Duration, error) {
	cfg := &tls.Config{InsecureSkipVerify: true}
	c, err := ldap.Dial(ctx, url, 0, cfg)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	// Before anything else: an operation that was just answered may still count as
	// outstanding, and then the server refuses.
	if url.Scheme == "ldap" && starttls {
		if err := c.StartTLS(cfg); err != nil {
			return nil, err
		}
	}
	if _, err := c.RootDSE(); err != nil {
		return nil, err
	}
	cert := c.Certificate()
	if cert == nil {
		return nil, nil
	}
	left := time.Until(cert.NotAfter)
	return &left, nil
}

func (o *OpenLDAP) certificate(url ldap.URL, left *time.Duration) error {
	const day = 24 * time.Hour
	if left == nil || o.certDays == 0 || *left >= time.Duration(o.certDays)*day {
		return nil
	}
	if *left < 0 {
		return fmt.Errorf("%w: the certificate of %s has ended", agents.ErrDegraded, url)
	}
	return fmt.Errorf("%w: the certificate of %s ends in %d days", agents.ErrDegraded, url, int(*left/day))
}

// full finds databases that are about to have no room, if the server has its
// monitor database: slapd-monitor(5), slapd-mdb(5) maxsize.
func full(c *ldap.Conn) error {
	entries, err := c.Search(ldap.Query{Base: "cn=Databases,cn=Monitor", Scope: ldap.One, Filter: ldap.Present("olmMDBPagesMax"),
		Attributes: []string{"namingContexts", "olmMDBPagesMax", "olmMDBPagesUsed", "olmMDBPagesFree"}})
	if err != nil {
		return nil // there is none
	}
	const most = 80 // percent: not every free page is of use to every change
	for _, e := range entries {
		number := func(name string) int { n, _ := strconv.Atoi(e.Value(name)); return n }
		size, used := number("olmMDBPagesMax"), number("olmMDBPagesUsed")-number("olmMDBPagesFree")
		if size > 0 && used*100/size >= most {
			return fmt.Errorf("%w: database %s is full to %d %%; raise its olcDbMaxSize", agents.ErrDegraded, e.Value("namingContexts"), used*100/size)
		}
	}
	return nil
}

// noRoom finds that the server can change nothing any more. It says so to those who try.
func noRoom(dir string) error {
	if err := agents.Full(dir); err != nil {
		return fmt.Errorf("%w: %w; nothing can be changed", agents.ErrDegraded, err)
	}
	return nil
}

// transaction binds and reads, and below check_base it also writes.
func (o *OpenLDAP) transaction(ctx context.Context, f agents.Facts) error {
	role, err := o.Role(ctx, f)
	if err != nil {
		return err
	}
	url, err := socketOf(f)
	if err != nil {
		return err
	}
	c, err := ldap.Dial(ctx, url, 0, nil)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := o.login(c); err != nil {
		return err
	}
	if role == agents.RolePromoted && o.checkBase != "" {
		return write(c, string(o.checkBase))
	}
	s, err := o.first(ctx, f)
	if err != nil {
		return err
	}
	_, err = c.Read(s, "1.1")
	return err
}

// first is the suffix of the first database.
func (o *OpenLDAP) first(ctx context.Context, f agents.Facts) (string, error) {
	c, s, err := o.managed(ctx, f)
	if err != nil {
		return "", err
	}
	defer c.Close()
	return s.databases[0].suffix, nil
}

func (o *OpenLDAP) login(c *ldap.Conn) error {
	if o.checkName == "" {
		return c.BindExternal()
	}
	password, err := readSecret(string(o.checkPassword))
	if err != nil {
		return err
	}
	return c.BindSimple(string(o.checkName), password)
}

// readSecret refuses a file that others than its owner can read.
func readSecret(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("check_password_file: %w", err)
	}
	const others = 0o077
	if info.Mode().Perm()&others != 0 {
		return "", fmt.Errorf("check_password_file: others can read %s (chmod 600 it)", path)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("check_password_file: %w", err)
	}
	return strings.TrimRight(string(data), "\r\n"), nil
}

// write leaves nothing, not even what a check that was cut off has left.
func write(c *ldap.Conn, base string) error {
	node, err := os.Hostname()
	if err != nil {
		return err
	}
	name := "mailha-check-" + strings.Map(func(r rune) rune {
		if strings.ContainsRune(`,+"\<>;=#`, r) {
			return '-'
		}
		return r
	}, node)
	text := time.Now().UTC().Format(time.RFC3339Nano)
	e := ldap.Entry{DN: "cn=" + name + "," + base, Attributes: []ldap.Attribute{
		{Name: "objectClass", Values: []string{"applicationProcess"}},
		{Name: "cn", Values: []string{name}},
		{Name: "description", Values: []string{text}},
	}}
	err = c.Add(e)
	if errors.Is(err, ldap.AlreadyExists) {
		if err := c.Delete(e.DN); err != nil {
			return err
		}
		err = c.Add(e)
	}
	if err != nil {
		return err
	}
	found, err := c.Read(e.DN, "description")
	if err == nil && found.Value("description") != text {
		err = fmt.Errorf("test entry %q was written and reads back as another", e.DN)
	}
	return errors.Join(err, c.Delete(e.DN))
}
