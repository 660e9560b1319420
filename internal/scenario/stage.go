// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/mailha/mailha/internal/lab"
	"github.com/mailha/mailha/internal/lab/cluster"
	"github.com/mailha/mailha/internal/traffic"
)

// Stage is a cluster with a client and a sink around it.
type Stage struct {
	Lab     *lab.Lab
	Cluster *cluster.Cluster

	dir   string // ledgers and the traffic program
	sink  *traffic.Sink
	probe *traffic.Probe
	acts  int
}

// Up brings the stage up. Source is the directory of this module, Dir one in
// which ledgers are left. Progress goes to log.
func Up(ctx context.Context, name, source, dir string, log io.Writer) (*Stage, error) {
	if err := build(ctx, source, dir); err != nil {
		return nil, err
	}
	l, err := lab.Up(ctx, lab.Config{Name: name, Nodes: 3, Disk: true, Log: log})
	if err != nil {
		return nil, err
	}
	s := &Stage{Lab: l, dir: dir}
	if err := s.furnish(ctx, source); err != nil {
		return nil, errors.Join(err, s.Down())
	}
	return s, nil
}

func (s *Stage) furnish(ctx context.Context, source string) (err error) {
	if err := s.install(ctx, source); err != nil {
		return err
	}
	if err := s.makeDisk(ctx); err != nil {
		return err
	}
	if s.Cluster, err = cluster.Form(ctx, s.Lab, cluster.Options{}); err != nil {
		return err
	}
	return s.startTraffic(ctx)
}

// Down removes everything.
func (s *Stage) Down() error {
	const patience = time.Minute
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var errs []error
	if s.probe != nil {
		_, err := s.probe.Stop(ctx)
		errs = append(errs, err)
	}
	if s.sink != nil {
		_, err := s.sink.Stop(ctx)
		errs = append(errs, err)
	}
	for _, n := range s.Lab.Nodes() {
		errs = append(errs, s.keepJournal(ctx, n))
	}
	return errors.Join(append(errs, s.Lab.Down())...)
}

// keepJournal leaves what a node logged beside the ledgers, for whoever asks
// afterwards why an act took so long.
func (s *Stage) keepJournal(ctx context.Context, n *lab.Node) error {
	const lines = 5000
	journal, err := n.Journal(ctx, lines)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(s.dir, n.Name()+".journal"), []byte(journal), 0o644)
}

// explain adds what the cluster says of itself to an error.
func (s *Stage) explain(err error) error {
	if err == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	out, statusErr := s.Cluster.Output(ctx, "crm_mon", "--one-shot", "--inactive", "--failcounts")
	return errors.Join(err, statusErr, errors.New(out))
}

// build makes the program that the client and the sink run.
func build(ctx context.Context, source, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("build: %w", err)
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(dir, "traffic"), "./internal/cmd/traffic")
	cmd.Dir = source
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", cmd, err, out)
	}
	return nil
}

// install puts mailha on every node the way that a packager would.
func (s *Stage) install(ctx context.Context, source string) error {
	if err := makeInstall(ctx, source, filepath.Join(s.Lab.ShareDir(), "install")); err != nil {
		return err
	}
	return s.Lab.Each(func(n *lab.Node) error { return Furnish(ctx, n) })
}

// makeDisk makes the directories of the queue, once.
func (s *Stage) makeDisk(ctx context.Context) error {
	const script = `mount ` + lab.DiskPath + ` /srv/mail && install -d /srv/mail/queue && install -d -o postfix /srv/mail/data && umount /srv/mail`
	_, err := s.Lab.Nodes()[0].Output(ctx, "sh", "-c", script)
	return err
}

func (s *Stage) startTraffic(ctx context.Context) error {
	host, err := s.Lab.AddHost(ctx, "sink", netip.MustParseAddr(sinkAddr))
	if err != nil {
		return err
	}
	// The ledger of an earlier stage would make everything look delivered twice.
	if err := os.RemoveAll(s.sinkLedger()); err != nil {
		return err
	}
	if s.sink, err = traffic.StartSink(ctx, s.on(host), traffic.SinkConfig{
		Listen: []string{sinkAddr + smtpPort},
		Ledger: s.sinkLedger(),
	}); err != nil {
		return err
	}
	s.probe, err = traffic.StartProbe(ctx, s.on(s.Lab.Client()), traffic.ProbeConfig{ICMP: vip4, Banner: vip4 + smtpPort})
	return err
}

func (s *Stage) on(h *lab.Host) traffic.Command {
	return func(ctx context.Context, argv ...string) *exec.Cmd {
		return h.Command(ctx, append([]string{filepath.Join(s.dir, "traffic")}, argv...)...)
	}
}

func (s *Stage) sinkLedger() string { return filepath.Join(s.dir, "sink.jsonl") }
