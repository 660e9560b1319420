// SPDX-License-Identifier: Apache-2.0

package resources

import "time"

// maxFile bounds a file, in bytes: it is kept in etcd, which takes no more than
// 1.5 MiB at once.
const maxFile = 1 << 20

// Parse reads and checks a mailha.toml. The error is of type [Problems] and has
// everything that is wrong with it, in the file's order; file is what they call
// it.
func Parse(file string, data []byte, kinds Kinds) (*Cluster, error) {
	if len(data) > maxFile {
		return nil, Problems{{File: file, Line: 1, Column: 1, What: "the file has more than 1 MiB"}}
	}
	c := &checker{document: read(file, data), kinds: kinds, nodes: map[string]place{}, groups: map[string]*groupText{}, resources: map[string]*resourceText{}}
	root := &section{document: c.document, table: c.root}
	c.readCluster(root.sub("cluster", "[cluster]"))
	c.readEtcd(root.sub("etcd", "[etcd]"))
	c.readHeartbeat(root.sub("heartbeat", "[heartbeat]"))
	c.readWatchdog(root.sub("watchdog", "[watchdog]"))
	c.readAPI(root.sub("api", "[api]"))
	for _, s := range root.subs("node") {
		c.readNode(s)
	}
	for _, s := range root.subs("group") {
		c.readGroup(s)
	}
	for _, s := range root.subs("resource") {
		c.readResource(s)
	}
	for _, s := range root.subs("fence") {
		c.readFence(s)
	}
	root.rest()
	c.check()
	if len(c.problems) > 0 {
		c.problems.sort()
		return nil, c.problems
	}
	c.cluster.Warnings.sort()
	return &c.cluster, nil
}

// checker turns a document into a cluster.
type checker struct {
	*document
	kinds   Kinds
	cluster Cluster

	// What has been read, with its places. The order is the file's.
	clusterAt  place
	leaseHolds bool // lease and margin are what the file says
	nodes      map[string]place
	groups     map[string]*groupText
	resources  map[string]*resourceText
	groupOrder []*groupText
	order      []*resourceText
	fences     []*fenceText
}

func (c *checker) warn(at place, what, hint string) {
	c.cluster.Warnings = append(c.cluster.Warnings, Problem{File: c.file, Line: at.line, Column: at.column, What: what, Hint: hint})
}

// empty is a section that stands for a table that the file does not have.
func (c *checker) empty(label string) *section {
	return &section{document: c.document, table: &table{at: place{1, 1}}, label: label}
}

func (c *checker) readCluster(s *section) {
	if s == nil {
		s = c.empty("[cluster]")
	}
	c.clusterAt = s.at
	s.required("name", "")
	if s.get("name") != nil {
		if c.cluster.Name = s.named("cluster", `^[a-zA-Z0-9][-_.a-zA-Z0-9]*$`, nameRule); c.cluster.Name == "" {
			s.label = "[cluster]"
		}
	}
	s.label = "[cluster]"
	before := len(c.problems)
	c.cluster.Lease = s.duration("lease", span{10 * time.Second, 2 * time.Second, 5 * time.Minute})
	c.cluster.Margin = s.duration("margin", span{500 * time.Millisecond, 100 * time.Millisecond, time.Minute})
	c.leaseHolds = len(c.problems) == before
	c.cluster.OnQuorumLoss = choice(s, "on_quorum_loss", Release, Release, HoldIfAllPeersAgree)
	c.cluster.MaxMoves = s.number("max_moves", 4, 0, 1000)
	c.cluster.MovesWindow = s.duration("moves_window", span{time.Hour, time.Minute, 24 * time.Hour})
	c.cluster.MaxFencings = s.number("max_fencings", 3, 0, 1000)
	c.cluster.FencingsWindow = s.duration("fencings_window", span{time.Hour, time.Minute, 24 * time.Hour})
	c.cluster.TLSDir = s.path("tls_dir", "/etc/mailha/tls")
	if c.leaseHolds && c.cluster.Margin > c.cluster.Lease/2 {
		c.leaseHolds = false
		s.problem(s.placeOf("margin", "lease"), "make the lease longer or the margin shorter", "margin = %q is more than half of the lease (%s)", Span(c.cluster.Margin), Span(c.cluster.Lease))
	}
	s.rest()
}

func (c *checker) readEtcd(s *section) {
	if s == nil {
		s = c.empty("[etcd]")
	}
	e := &c.cluster.Etcd
	before := len(c.problems)
	e.DataDir = s.path("data_dir", "/var/lib/mailha/etcd")
	e.Heartbeat = s.duration("heartbeat", span{100 * time.Millisecond, 10 * time.Millisecond, 5 * time.Second})
	e.Election = s.duration("election", span{time.Second, 50 * time.Millisecond, 50 * time.Second})
	timesHold := len(c.problems) == before
	e.PeerPort = uint16(s.number("peer_port", 2380, 1, 65535))
	e.Port = uint16(s.number("port", 2379, 1, 65535))
	for _, i := range s.texts("endpoints") {
		e.Endpoints = append(e.Endpoints, s.endpoint(i))
	}
	e.CAFile, e.CertFile, e.KeyFile = s.path("ca_file", ""), s.path("cert_file", ""), s.path("key_file", "")
	if timesHold && e.Election < 5*e.Heartbeat {
		s.problem(s.placeOf("election", "heartbeat"), "etcd wants ten", "election = %q is less than five heartbeats (%s each)", Span(e.Election), Span(e.Heartbeat))
	}
	if limit := c.cluster.Lease - c.cluster.Margin; timesHold && c.leaseHolds && !e.External() && 2*e.Election > limit {
		s.problem(s.placeOf("election"), "make the lease longer or the election shorter",
			"two elections of %s do not fit into the lease less its margin (%s): every lost leader of etcd would end all leases", Span(e.Election), Span(limit))
	}
	if e.PeerPort == e.Port {
		s.problem(s.placeOf("port", "peer_port"), "", "port and peer_port are the same")
	}
	if !e.External() {
		for _, name := range []string{"ca_file", "cert_file", "key_file"} {
			if k := s.get(name); k != nil {
				s.problem(k.at, "the embedded etcd has its own below tls_dir; leave it out, or set endpoints", "%s is only for endpoints", name)
			}
		}
	} else {
		for _, name := range []string{"data_dir", "heartbeat", "election", "peer_port", "port"} {
			if k := s.get(name); k != nil {
				s.problem(k.at, "leave it out, or leave endpoints out", "%s is only for the embedded etcd", name)
			}
		}
	}
	s.together("ca_file", "cert_file", "key_file")
	s.rest()
}

func (c *checker) readHeartbeat(s *section) {
	if s == nil {
		s = c.empty("[heartbeat]")
	}
	h := &c.cluster.Heartbeat
	before := len(c.problems)
	h.Interval = s.duration("interval", span{50 * time.Millisecond, 10 * time.Millisecond, time.Second})
	h.Suspect = s.duration("suspect", span{max(150*time.Millisecond, 3*h.Interval), 30 * time.Millisecond, time.Minute})
	h.SuspectMax = s.duration("suspect_max", span{max(time.Second, h.Suspect), 30 * time.Millisecond, time.Minute})
	timesHold := len(c.problems) == before
	h.Port = uint16(s.number("port", 2382, 1, 65535))
	switch {
	case !timesHold:
	case h.Suspect < 3*h.Interval:
		s.problem(s.placeOf("suspect", "interval"), "one packet that is lost must not be a death", "suspect = %q is less than three intervals (%s each)", Span(h.Suspect), Span(h.Interval))
	case h.SuspectMax < h.Suspect:
		s.problem(s.placeOf("suspect_max", "suspect"), "", "suspect_max = %q is less than suspect (%s)", Span(h.SuspectMax), Span(h.Suspect))
	case c.leaseHolds && h.SuspectMax >= c.cluster.Lease:
		s.problem(s.placeOf("suspect_max", "suspect", "interval"), "make the lease longer or suspect_max shorter",
			"suspect_max = %q is not less than the lease (%s), which would notice a loss first", Span(h.SuspectMax), Span(c.cluster.Lease))
	}
	s.rest()
}

func (c *checker) readAPI(s *section) {
	if s == nil {
		s = c.empty("[api]")
	}
	a := &c.cluster.API
	a.Listen = s.listen("listen")
	a.CertFile, a.KeyFile, a.ClientCAFile = s.path("cert_file", ""), s.path("key_file", ""), s.path("client_ca_file", "")
	for _, i := range s.texts("operators") {
		a.Operators = append(a.Operators, i.text)
	}
	a.Metrics = s.listen("metrics")
	if k := s.get("listen"); k != nil {
		for _, name := range []string{"cert_file", "key_file", "client_ca_file"} {
			s.required(name, "whoever connects from elsewhere has to show a certificate; without listen there is the unix socket only")
		}
	}
	s.rest()
}
