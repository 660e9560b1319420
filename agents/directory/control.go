// SPDX-License-Identifier: Apache-2.0

package directory

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/mailha/mailha/agents"
	"github.com/mailha/mailha/agents/ldap"
)

// control is a session as root on the server's local socket.
func (o *OpenLDAP) control(ctx context.Context, f agents.Facts) (*ldap.Conn, error) {
	url, err := socketOf(f)
	if err != nil {
		return nil, err
	}
	c, err := ldap.Dial(ctx, url, 0, nil)
	if err != nil {
		return nil, err
	}
	if err := c.BindExternal(); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// managed is a control session, with what the server says of its databases.
func (o *OpenLDAP) managed(ctx context.Context, f agents.Facts) (*ldap.Conn, settings, error) {
	c, err := o.control(ctx, f)
	if err != nil {
		return nil, settings{}, err
	}
	s, err := askSettings(c)
	if err != nil {
		c.Close()
		return nil, settings{}, err
	}
	return c, s, nil
}

// Role asks the server whether one of the databases can be written to.
func (o *OpenLDAP) Role(ctx context.Context, f agents.Facts) (agents.Role, error) {
	c, s, err := o.managed(ctx, f)
	if err != nil {
		return "", err
	}
	defer c.Close()
	for _, d := range s.databases {
		if !d.readOnly {
			return agents.RolePromoted, nil
		}
	}
	return agents.RoleUnpromoted, nil
}

// SetRole sets olcReadOnly of all databases, which keeps clients from writing but
// not the changes of other replicas. The server waits with it until no operation
// is under way, so that from then on nothing more is acknowledged.
func (o *OpenLDAP) SetRole(ctx context.Context, f agents.Facts, role agents.Role) error {
	c, s, err := o.managed(ctx, f)
	if err != nil {
		return err
	}
	defer c.Close()
	// The server waits for all of its threads first, also for those that wait for
	// other servers.
	defer o.freeThreads(ctx, f, s)()
	var errs []error
	for _, d := range s.databases {
		readOnly := role != agents.RolePromoted
		if d.readOnly == readOnly {
			continue
		}
		value := "FALSE"
		if readOnly {
			value = "TRUE"
		}
		err := c.Replace(d.entry, ldap.Attribute{Name: "olcReadOnly", Values: []string{value}})
		if err == nil {
			o.log.Info("what clients may do to the database has changed", "suffix", d.suffix, "read_only", readOnly)
			o.sync(d)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// sync has the file of the database's configuration outlive a power cut: the
// server has just replaced it, and does not do that itself. Without the file it
// could not start again.
func (o *OpenLDAP) sync(d database) {
	rdn, _, _ := strings.Cut(d.entry, ",")
	dir := filepath.Join(string(o.configDir), "cn=config")
	for _, path := range []string{filepath.Join(dir, rdn+".ldif"), dir} {
		if err := syncFile(path); err != nil {
			o.log.Warn("a power cut may damage the configuration", "error", err)
		}
	}
}

func syncFile(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("make sure of %s: %w", path, err)
	}
	defer file.Close()
	return file.Sync()
}
