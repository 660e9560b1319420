// SPDX-License-Identifier: Apache-2.0

package mta

import (
	sdunit "github.com/coreos/go-systemd/v22/unit"

	"github.com/mailha/mailha/agents"
	"github.com/mailha/mailha/agents/process"
	"github.com/mailha/mailha/agents/unit"
)

// Instance is what every backend has to be told, and has a default for.
type Instance struct {
	Binary agents.Path     // empty: the backend's own
	Unit   agents.UnitName // empty: of the backend's own template
}

// Params is the part of the table that backends share.
func (i *Instance) Params() agents.Table {
	return agents.Table{
		{Name: "binary", Value: &i.Binary,
			Short: "The MTA's own command",
			Long:  "Empty means /usr/sbin/postfix or /usr/sbin/exim4. Other commands of Postfix are taken from the same directory."},
		{Name: "unit", Value: &i.Unit, Unique: "unit",
			Short: "Systemd unit that runs the instance",
			Long:  "Empty means the instance of mailha-postfix@.service for config_dir, or of mailha-exim@.service for config. It must not be enabled: the cluster starts it."},
	}
}

// facts are those that need no configuration to be read: the unit, which is the
// template's for the configuration if none is named, and its control group.
func (i *Instance) facts(template string, config agents.Path) agents.Facts {
	name := string(i.Unit)
	if name == "" {
		name = template + sdunit.UnitNamePathEscape(string(config)) + ".service"
	}
	return agents.Facts{Unit: name, Process: process.Match{ControlGroup: unit.ControlGroup(name)}}
}
