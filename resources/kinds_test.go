// SPDX-License-Identifier: Apache-2.0

package resources_test

import (
	"net/netip"
	"strings"
	"time"

	"github.com/mailha/mailha/resources"
)

// kinds are like those that ship, as far as a file can tell.
func kinds() resources.Kinds {
	ip := resources.Param{Name: "ip", Unique: resources.UniqueAddress}
	shared := []resources.Param{{Name: "shared_ip"}, {Name: "drain_timeout", Default: "20s", Reloadable: true}, {Name: "cert_days", Default: "14", Reloadable: true}}
	monitors := []resources.Monitor{{Depth: 0, Interval: 10 * time.Second, Timeout: 20 * time.Second}, {Depth: 10, Interval: 30 * time.Second, Timeout: 20 * time.Second}}
	kind := func(name string, warm bool, params ...resources.Param) resources.Kind {
		return resources.Kind{
			Name: name, Params: params, Warm: warm, Check: check(params),
			StartTimeout: time.Minute, StopTimeout: time.Minute, Monitors: monitors,
		}
	}
	vip := kind("vip", false, resources.Param{Name: "ip", Unique: resources.UniqueAddress, Required: true}, resources.Param{Name: "nic"}, resources.Param{Name: "probe_count", Default: "3", Reloadable: true})
	vip.StartTimeout, vip.StopTimeout, vip.Monitors = 20*time.Second, 20*time.Second, monitors[:1]
	service := func(dir string) []resources.Param {
		return append([]resources.Param{ip, {Name: "config_dir", Default: dir, Unique: "config_dir"}, {Name: "unit", Unique: "unit"}}, shared...)
	}
	disk := kind("filesystem", false, resources.Param{Name: "device", Required: true, Unique: "device"}, resources.Param{Name: "require_mmp"})
	disk.Unguarded = func(params map[string]string) string {
		if params["require_mmp"] == "true" {
			return ""
		}
		return params["device"]
	}
	return resources.Kinds{
		vip,
		disk,
		kind("mta", true, service("/etc/postfix")...),
		kind("store", false, append(service("/etc/dovecot"), resources.Param{Name: "mail_dir", Required: true})...),
		kind("service", false, append(shared, ip, resources.Param{Name: "unit", Unique: "unit", Required: true}, resources.Param{Name: "ports"}, resources.Param{Name: "quick"})...),
	}
}

func check(params []resources.Param) func(map[string]string) []resources.ParamProblem {
	return func(values map[string]string) []resources.ParamProblem {
		var all []resources.ParamProblem
		for _, p := range params {
			text := values[p.Name]
			if p.Required && text == "" {
				all = append(all, resources.ParamProblem{Param: p.Name, What: "required, but not set"})
			}
			if p.Unique != resources.UniqueAddress {
				continue
			}
			for word := range strings.FieldsSeq(text) {
				host, _, _ := strings.Cut(word, "/")
				if _, err := netip.ParseAddr(host); err != nil {
					all = append(all, resources.ParamProblem{Param: p.Name, What: word + " is no IP address", Hint: "such as 192.0.2.10/24"})
				}
			}
		}
		return all
	}
}
