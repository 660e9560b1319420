// SPDX-License-Identifier: Apache-2.0

package ocf

import (
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
	"time"

	"github.com/mailha/mailha/agents"
)

// action is one call of the cluster manager.
type action struct {
	name     string
	interval time.Duration // of a recurring monitor; zero for a probe
	timeout  time.Duration // zero: the caller named none
	depth    agents.Depth
}

// probe says whether the call asks what runs here, rather than whether what
// should run here still does.
func (a action) probe() bool { return a.name == "monitor" && a.interval == 0 }

// glance says whether the call only looks, and has nothing to put in order when
// it is ended half way.
func (a action) glance() bool { return a.name == "monitor" && a.depth == agents.DepthShallow }

// ends says whether the action takes something away, for which there has to be
// a way whatever the parameters are.
func (a action) ends() bool { return a.name == "stop" || a.name == "demote" }

// environ is what a cluster manager passes: OCF resource agent API 1.1,
// sections 3.3 and 3.4.
type environ struct {
	instance     string
	resource     string // the same, however long
	pacemaker    bool   // it is Pacemaker that calls
	reasonPrefix string
	action       action
	values       map[string]string // parameters by name
}

var (
	errAction  = errors.New("no such action")
	errVersion = errors.New("unsupported version of the OCF API")
)

const (
	paramPrefix = "OCF_RESKEY_"
	metaPrefix  = paramPrefix + "CRM_meta_"
)

// parseEnviron reads NAME=value pairs. Whatever is there of it is returned even
// with an error, so that a stop can go on.
func parseEnviron(name string, pairs []string) (environ, error) {
	e := environ{
		instance:     "default",
		reasonPrefix: "ocf-exit-reason:",
		action:       action{name: name},
		values:       map[string]string{},
	}
	var errs []error
	for _, pair := range pairs {
		key, value, found := strings.Cut(pair, "=")
		if !found {
			continue
		}
		switch {
		case key == metaPrefix+"interval":
			errs = append(errs, setMillis(&e.action.interval, key, value))
		case key == metaPrefix+"timeout":
			errs = append(errs, setMillis(&e.action.timeout, key, value))
		case strings.HasPrefix(key, metaPrefix):
		case strings.HasPrefix(key, paramPrefix):
			// Pacemaker also exports crm_feature_set this way.
			if param := strings.TrimPrefix(key, paramPrefix); param != "crm_feature_set" {
				e.values[param] = value
			}
		case key == "OCF_RESOURCE_INSTANCE" && value != "":
			e.instance, e.resource = shorten(value), value
		case key == "PCMK_service" && value != "":
			e.pacemaker = true
		case key == "OCF_EXIT_REASON_PREFIX" && value != "":
			e.reasonPrefix = value
		case key == "OCF_CHECK_LEVEL" && value != "":
			level, err := strconv.Atoi(value)
			if err != nil {
				err = fmt.Errorf("%s=%q is no number", key, value)
			}
			errs = append(errs, err)
			e.action.depth = agents.Depth(level).Floor()
		case key == "OCF_RA_VERSION_MAJOR" && value != "" && value != "1":
			errs = append(errs, fmt.Errorf("%w: %s=%q; this agent speaks 1.1", errVersion, key, value))
		}
	}
	return e, errors.Join(errs...)
}

// shorten makes a name that agents take out of a longer one, and another for
// every other.
func shorten(instance string) string {
	if len(instance) <= agents.MaxInstance {
		return instance
	}
	sum := fnv.New128a() // a cryptographic hash would make every start slower
	sum.Write([]byte(instance))
	tail := fmt.Sprintf("~%x", sum.Sum(nil))
	return instance[:agents.MaxInstance-len(tail)] + tail
}

// setMillis reads a span as Pacemaker passes it: a number of milliseconds.
func setMillis(d *time.Duration, key, value string) error {
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n < 0 || n > int64(7*24*time.Hour/time.Millisecond) {
		return fmt.Errorf("%s=%q is no number of milliseconds", key, value)
	}
	*d = time.Duration(n) * time.Millisecond
	return nil
}
