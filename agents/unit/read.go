// SPDX-License-Identifier: Apache-2.0

package unit

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/godbus/dbus/v5"
)

// unitInfo is an element of what ListUnitsByNames returns, a(ssssssouso).
type unitInfo struct {
	Name, Description, Load, Active, Sub, Following string
	Path                                            dbus.ObjectPath
	JobID                                           uint32
	JobType                                         string
	JobPath                                         dbus.ObjectPath
}

// state reads a unit, and the job that is queued for it ("" for none). All calls are sent
// at once and so cost little more than one. GetAll would show it all at one moment, but
// makes systemd collect 300 properties of a service and takes twice as long.
func (c *conn) state(ctx context.Context, name string) (State, dbus.ObjectPath, error) {
	list := c.send(ctx, systemdPath, managerFace+".ListUnitsByNames", []string{name})
	get := func(face, property string) *dbus.Call {
		return c.send(ctx, unitPath(name), propsFace+".Get", face, property)
	}
	own := kindInterface(name)
	var (
		s          State
		pid        uint32
		code       int32
		status     int32
		invocation []byte
	)
	properties := []struct {
		call *dbus.Call
		dst  any
	}{
		{get(unitFace, "InvocationID"), &invocation},
		{get(unitFace, "NeedDaemonReload"), &s.NeedDaemonReload},
		{get(own, "Result"), &s.Result},
		{get(own, "ControlGroup"), &s.ControlGroup},
		{get(own, "MainPID"), &pid},
		{get(own, "ExecMainCode"), &code},
		{get(own, "ExecMainStatus"), &status},
	}
	var units []unitInfo
	if err := (<-list.Done).Store(&units); err != nil {
		return State{}, "", err
	}
	if len(units) != 1 {
		return State{}, "", fmt.Errorf("systemd named %d units instead of one", len(units))
	}
	for _, p := range properties {
		// A kind of unit that lacks a property leaves it empty.
		if err := storeProperty(<-p.call.Done, p.dst); err != nil && !answered(err) {
			return State{}, "", err
		}
	}
	u := units[0]
	s.Name, s.Load, s.Active, s.Sub, s.Job = u.Name, u.Load, u.Active, u.Sub, u.JobType
	s.InvocationID = hex.EncodeToString(invocation)
	s.MainPID, s.MainCode, s.MainStatus = int(pid), mainCode(code), int(status)
	if u.JobID == 0 {
		return s, "", nil
	}
	return s, u.JobPath, nil
}

func storeProperty(call *dbus.Call, dst any) error {
	var v dbus.Variant
	if err := call.Store(&v); err != nil {
		return err
	}
	return v.Store(dst)
}

// mainCode names a CLD_ value, sigaction(2).
func mainCode(code int32) string {
	switch code {
	case 1:
		return "exited"
	case 2:
		return "killed"
	case 3:
		return "dumped"
	}
	return ""
}

// processes lists the unit's control group and all below it.
func (c *conn) processes(ctx context.Context, name string) ([]int, error) {
	var list []struct {
		ControlGroup string
		PID          uint32
		Command      string
	}
	if err := c.manage(ctx, "GetUnitProcesses", []any{name}, &list); err != nil {
		return nil, err
	}
	pids := make([]int, len(list))
	for i, p := range list {
		pids[i] = int(p.PID)
	}
	slices.Sort(pids)
	return slices.Compact(pids), nil
}
