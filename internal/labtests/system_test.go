// SPDX-License-Identifier: Apache-2.0

package labtests

import (
	"context"
	"net/netip"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/mailha/mailha/internal/lab"
	"github.com/mailha/mailha/internal/lab/labtest"
	"github.com/mailha/mailha/internal/scenario"
)

// system is a whole mail system on three nodes, started by hand.
type system struct {
	*lab.Lab
	t       *testing.T
	clients *scenario.Clients
}

// newSystem furnishes the nodes, and starts nothing.
func newSystem(t *testing.T) *system {
	t.Helper()
	if err := programs(); err != nil {
		t.Fatal(err)
	}
	s := &system{t: t, Lab: labtest.Up(t, lab.Config{Nodes: 3, Disks: 2, Binary: filepath.Join(scratch, "lab")})}
	if out, err := exec.Command("cp", "-a", filepath.Join(scratch, "install"), s.ShareDir()).CombinedOutput(); err != nil {
		t.Fatalf("install: %v: %s", err, out)
	}
	users := scenario.Users(5)
	if err := s.Each(func(n *lab.Node) error { return scenario.FurnishSystem(t.Context(), n, users) }); err != nil {
		t.Fatal(err)
	}
	if err := scenario.MakeSystemDisks(t.Context(), s.Nodes()[0]); err != nil {
		t.Fatal(err)
	}
	on := func(ctx context.Context, argv ...string) *exec.Cmd {
		return s.Client().Command(ctx, append([]string{filepath.Join(scratch, "traffic")}, argv...)...)
	}
	var err error
	if s.clients, err = scenario.NewClients(on, t.TempDir(), users); err != nil {
		t.Fatal(err)
	}
	return s
}

// place starts units on a node that gets the addresses.
func (s *system) place(n *lab.Node, addrs []string, units ...string) {
	s.t.Helper()
	for _, addr := range addrs {
		if netip.MustParseAddr(addr).Is4() {
			run(s.t, n, "ip addr add "+addr+"/32 dev eth0; arping -q -c 1 -U -I eth0 "+addr)
		} else {
			run(s.t, n, "ip addr add "+addr+"/128 dev eth0 nodad")
		}
	}
	for _, unit := range units {
		// What an agent's start makes: see mailha-dovecot@.service.
		run(s.t, n, "install -d /run/mailha/permits; touch '/run/mailha/permits/"+unit+"'; systemctl start '"+unit+"'")
	}
}

// start puts the directory, what has the shared disk, and the front door on
// nodes.
func (s *system) start(directory, disk, front *lab.Node) {
	s.t.Helper()
	for _, n := range s.Nodes() {
		s.place(n, nil, scenario.DirectoryUnit)
	}
	s.place(directory, []string{scenario.DirectoryAddr4, scenario.DirectoryAddr6})
	run(s.t, disk, "mount "+lab.Disk(1)+" "+mailDir+"; mount "+lab.Disk(2)+" /srv/store; test -e "+scenario.StoreMarker)
	s.place(disk, []string{scenario.StoreAddr4, scenario.StoreAddr6}, scenario.StoreUnit)
	s.place(disk, []string{scenario.MTAAddr4, scenario.MTAAddr6}, scenario.MTAUnit)
	s.place(front, []string{scenario.FrontAddr4, scenario.FrontAddr6}, scenario.FrontUnit, scenario.FrontMTAUnit, scenario.FrontLDAPUnit)
}

// accepted waits until each kind of clients had so many of their messages taken.
func (s *system) accepted(each int) {
	s.t.Helper()
	await(s.t, time.Minute, "all services to take messages", func() bool {
		for _, c := range s.clients.Progress() {
			if c.Accepted < each {
				return false
			}
		}
		return true
	})
}

// proven stops the clients and wants all that was taken to be there, once. It
// gives the numbers of it.
func (s *system) proven() (taken map[string]int) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 3*time.Minute)
	defer cancel()
	if err := s.clients.Stop(ctx); err != nil {
		s.t.Fatal(err)
	}
	proofs, err := s.clients.Prove(ctx)
	if err != nil {
		s.t.Error(err)
	}
	taken = make(map[string]int)
	for _, p := range proofs {
		taken[p.Kind] = p.Accepted
		s.t.Logf("%s: %+v %+v", p.Kind, p.Counts, p.Result)
		if !p.OK() || p.Unexplained > 0 || p.Stray > 0 {
			s.t.Errorf("%s: %+v", p.Kind, p.Result)
		}
	}
	return taken
}

// Mail goes through all four services and comes out unharmed, once.
func testSystem(t *testing.T) {
	s := newSystem(t)
	n := s.Nodes()
	s.start(n[0], n[1], n[2])
	ctx := t.Context()
	if err := s.clients.Start(ctx, "quiet", 20); err != nil {
		t.Fatal(err)
	}
	watch, err := s.clients.Watch(ctx, 100*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	reader, err := s.clients.Read(ctx)
	if err != nil {
		t.Fatal(err)
	}
	held, err := s.clients.Hold(ctx, "held", scenario.Crowd{Idle: 3, Active: 3, Data: 3, Writers: 3, Finish: []time.Duration{time.Second, 2 * time.Second}})
	if err != nil {
		t.Fatal(err)
	}
	s.accepted(40)
	await(t, patience, "the messages held to be finished", func() bool { return held.Progress().Data.Finished == 3 })
	report, err := watch.Stop(ctx)
	if err != nil {
		t.Error(err)
	}
	if report.Greetings == 0 || report.NotReady+report.Cut > 0 {
		t.Errorf("SMTP: %+v", report)
	}
	for name, d := range report.Doors {
		if d.Greetings == 0 || d.NotReady+d.Cut > 0 {
			t.Errorf("%s: %+v", name, d)
		}
	}
	if len(report.Doors) != 3 {
		t.Errorf("%d protocols besides SMTP", len(report.Doors))
	}
	c, err := held.Stop(ctx)
	if err != nil || len(c.Ends) > 0 || c.Active.Beats == 0 || c.Writers.Beats == 0 || c.Data.Refused > 0 {
		t.Errorf("held sessions: %+v, %v", c, err)
	}
	taken := s.proven()
	want := taken[scenario.Mail] + taken[scenario.Mailbox] + taken["held"]
	await(t, patience, "the users to have read everything", func() bool { return reader.Progress().Messages >= want })
	if c, err := reader.Stop(ctx); err != nil || c.Messages != want || c.Duplicates+c.Renewed+c.Refused+len(c.Endings) > 0 {
		t.Errorf("the users have read %+v of %d messages, %v", c, want, err)
	}
}

// While the directory is away nothing is bounced, and what waits goes on when
// another replica has its address.
func testSystemWithoutDirectory(t *testing.T) {
	s := newSystem(t)
	n := s.Nodes()
	sink := startSink(t, &place{Lab: s.Lab}, 0)
	s.start(n[0], n[1], n[2])
	ctx := t.Context()
	if err := s.clients.Start(ctx, "blind", 20); err != nil {
		t.Fatal(err)
	}
	s.accepted(20)
	run(t, n[0], "systemctl kill --signal=KILL '"+scenario.DirectoryUnit+"'; ip addr del "+scenario.DirectoryAddr4+"/32 dev eth0; ip addr del "+scenario.DirectoryAddr6+"/128 dev eth0")
	before := s.clients.Progress()
	await(t, time.Minute, "all clients to be refused", func() bool {
		for kind, c := range s.clients.Progress() {
			if kind != scenario.Mailbox && c.Refused+c.Cut < before[kind].Refused+before[kind].Cut+3 {
				return false
			}
		}
		return true
	})
	s.place(n[2], []string{scenario.DirectoryAddr4, scenario.DirectoryAddr6})
	before = s.clients.Progress()
	s.accepted(max(before[scenario.Mail].Accepted, before[scenario.Mailbox].Accepted, before[scenario.Directory].Accepted) + 20)
	s.place(n[0], nil, scenario.DirectoryUnit) // back as one of the others
	s.proven()
	if got := sink.copies(); len(got) > 0 {
		t.Errorf("bounced: %v", got)
	}
	await(t, patience, "the replicas to agree", func() bool {
		csn := func(n *lab.Node) string {
			return run(t, n, "ldapsearch -x -LLL -H ldap://"+n.Addr4().String()+" -b "+scenario.Suffix+" -s base contextCSN | sort")
		}
		return csn(n[0]) == csn(n[1]) && csn(n[1]) == csn(n[2])
	})
}
