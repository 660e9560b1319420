// SPDX-License-Identifier: Apache-2.0

package poison

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/mailha/mailha/internal/quorum/quorumtest"
)

const (
	node  = "n1"
	limit = 10 * time.Second // none is up on a busy machine before it has done what it is to
	short = 2 * time.Second  // for tests that wait until it is up
)

// dog is a watchdog that nothing happens to.
type dog struct {
	mu       sync.Mutex
	timeout  time.Duration
	fed      time.Time // the last time
	longest  time.Duration
	disarmed bool
}

func (d *dog) Timeout() time.Duration { return d.timeout }

func (d *dog) Feed(safe func() time.Duration) (bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	left := safe()
	d.longest = max(d.longest, left)
	if left < d.timeout {
		return false, nil
	}
	d.fed = time.Now()
	return true, nil
}

func (d *dog) Disarm() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.disarmed = true
	return nil
}

// last is when it was fed last, and whether it was disarmed.
func (d *dog) last() (time.Time, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.fed, d.disarmed
}

// grave is a machine whose end is only written down.
type grave struct {
	still error
	mu    sync.Mutex
	acts  []Action
	ended chan struct{}
}

func newGrave() *grave { return &grave{ended: make(chan struct{})} }

func (g *grave) Still(context.Context) error { return g.still }

func (g *grave) Now(a Action) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.acts = append(g.acts, a)
	if len(g.acts) == 1 {
		close(g.ended)
	}
	return nil
}

// target is one that runs in this process.
type target struct {
	Target
	dog   *dog
	grave *grave
	ready chan struct{}
	over  chan error
	stop  context.CancelFunc
}

func run(t *testing.T, store *Store, life string) *target {
	t.Helper()
	g := &target{dog: &dog{timeout: time.Second}, grave: newGrave(), ready: make(chan struct{}), over: make(chan error, 1)}
	var once sync.Once
	g.Target = Target{
		Store: store, Node: node, Life: life, Limit: limit, Log: slog.New(slog.DiscardHandler), End: g.grave,
		Arm:  func() (Guard, error) { return g.dog, nil },
		Tell: func(string) { once.Do(func() { close(g.ready) }) },
	}
	return g
}

func (g *target) start(t *testing.T) *target {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	g.stop = stop
	const leaveFor = 2 * time.Second
	go func() { g.over <- g.Run(ctx, leaveFor) }()
	t.Cleanup(stop)
	return g
}

func await[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(20 * time.Second):
		t.Fatalf("waited in vain for %s", what)
		panic("not reached")
	}
}

func open(t *testing.T) *Store { return Open(quorumtest.Single(t).Client(), "test") }

func look(t *testing.T, s *Store) Table {
	t.Helper()
	table, err := s.Look(t.Context(), node)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func patient(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestPillIsTaken(t *testing.T) {
	t.Parallel()
	s := open(t)
	g := run(t, s, "boot1").start(t)
	await(t, g.ready, "the slot")
	proof, err := s.Send(patient(t), node, Reboot, "n2")
	if proof != LastWord || err != nil {
		t.Fatalf("got %q, %v", proof, err)
	}
	if err := await(t, g.over, "its end"); !errors.Is(err, ErrPoisoned) {
		t.Errorf("got %v", err)
	}
	if !slices.Equal(g.grave.acts, []Action{Reboot}) {
		t.Errorf("it did %v", g.grave.acts)
	}
	if _, disarmed := g.dog.last(); disarmed {
		t.Error("the watchdog was disarmed: nothing is sure any more")
	}
	if table := look(t, s); !table.Off() {
		t.Errorf("got %+v", table)
	}
	// Who asks again gets the answer that is known.
	if proof, err := s.Send(patient(t), node, PowerOff, "n3"); proof != WasProved || err != nil {
		t.Errorf("got %q, %v", proof, err)
	}
	// The next life begins with nothing.
	g = run(t, s, "boot2").start(t)
	await(t, g.ready, "the next life")
	if table := look(t, s); table.Off() || table.Pill != nil || table.Word != nil || table.Slot.Life != "boot2" {
		t.Errorf("got %+v", table)
	}
}

// Until everything stands still, nothing is said: time has to tell.
func TestNotStill(t *testing.T) {
	t.Parallel()
	s := open(t)
	g := run(t, s, "boot1")
	g.Limit = short
	g.grave.still = errors.New("a process waits for its disk")
	g.start(t)
	await(t, g.ready, "the slot")
	began := time.Now()
	proof, err := s.Send(patient(t), node, PowerOff, "n2")
	took := time.Since(began)
	if want := (Slot{Limit: short}).Wait(); proof != TimeIsUp || err != nil || took < want {
		t.Errorf("got %q, %v after %s, want %s", proof, err, took, want)
	}
	if fed, _ := g.dog.last(); fed.After(began.Add(lookEach + lookFor)) {
		t.Errorf("it was fed %s after it was asked to end", fed.Sub(began))
	}
	if !slices.Equal(g.grave.acts, []Action{PowerOff}) {
		t.Errorf("it did %v", g.grave.acts)
	}
}

// A node that says nothing is off when its time is up, and not before; and it is not if
// the pill was taken back before.
func TestSilence(t *testing.T) {
	t.Parallel()
	s := open(t)
	if err := s.Keep(t.Context(), node, Slot{Life: "boot1", Limit: limit}, look(t, s)); err != nil {
		t.Fatal(err)
	}
	t.Run("TakenBack", func(t *testing.T) {
		back := make(chan error, 1)
		go func() {
			for look(t, s).Pill == nil {
				time.Sleep(10 * time.Millisecond)
			}
			back <- s.Clear(t.Context(), node)
		}()
		if proof, err := s.Send(patient(t), node, Reboot, "n2"); !errors.Is(err, ErrTakenBack) {
			t.Errorf("got %q, %v", proof, err)
		}
		if err := await(t, back, "the pill"); err != nil {
			t.Error(err)
		}
	})
	t.Run("TooShort", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		began := time.Now()
		if _, err := s.Send(ctx, node, Reboot, "n2"); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > limit/2 {
			t.Errorf("got %v after %s", err, time.Since(began))
		}
		if table := look(t, s); table.Pill != nil {
			t.Error("a node was asked to end for nothing")
		}
	})
	t.Run("Time", func(t *testing.T) {
		if err := s.Keep(t.Context(), node, Slot{Life: "boot1", Limit: short}, look(t, s)); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		done := make(chan Proof, 2)
		for range 2 { // both at once, as after a split
			go func() {
				proof, err := s.Send(patient(t), node, Reboot, "n2")
				if err != nil {
					t.Error(err)
				}
				if took, want := time.Since(began), (Slot{Limit: short}).Wait(); took < want {
					t.Errorf("it was called off after %s, sooner than %s", took, want)
				}
				done <- proof
			}()
		}
		for range 2 {
			if proof := await(t, done, "an answer"); proof != TimeIsUp {
				t.Errorf("got %q", proof)
			}
		}
		if table := look(t, s); !table.Off() || table.Word.Proof != TimeIsUp {
			t.Errorf("got %+v", table)
		}
	})
	t.Run("TakenForDead", func(t *testing.T) {
		// It was suspended, and the pill taken back since.
		if err := s.Clear(t.Context(), node); err != nil {
			t.Fatal(err)
		}
		g := run(t, s, "boot1").start(t)
		await(t, g.grave.ended, "its end")
	})
}

func TestNewLifeProves(t *testing.T) {
	t.Parallel()
	s := open(t)
	if err := s.Keep(t.Context(), node, Slot{Life: "boot1", Limit: MaxLimit}, look(t, s)); err != nil {
		t.Fatal(err)
	}
	go func() {
		for look(t, s).Pill == nil {
			time.Sleep(10 * time.Millisecond)
		}
		run(t, s, "boot2").start(t)
	}()
	if proof, err := s.Send(t.Context(), node, Reboot, "n2"); proof != NewLife || err != nil {
		t.Errorf("got %q, %v", proof, err)
	}
}

func TestNobodyIsOffWithoutASlot(t *testing.T) {
	t.Parallel()
	s := open(t)
	if proof, err := s.Send(patient(t), node, Reboot, "n2"); proof != "" || !errors.Is(err, ErrNoSlot) {
		t.Errorf("got %q, %v", proof, err)
	}
	if table := look(t, s); table.Pill != nil || table.Off() {
		t.Errorf("got %+v", table)
	}
}

// What is known of a former life is not told of the next one, of which nobody has armed a
// watchdog: neither that it is off, nor that its time is up.
func TestNextLifeWithoutAWatchdog(t *testing.T) {
	t.Parallel()
	for name, dead := range map[string]bool{"after its end was proved": true, "after an end that nobody has told": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t)
			if err := s.Keep(t.Context(), node, Slot{Life: "boot1", Limit: short}, look(t, s)); err != nil {
				t.Fatal(err)
			}
			if dead {
				if proof, err := s.Send(patient(t), node, Reboot, "n2"); err != nil || proof != TimeIsUp {
					t.Fatalf("got %q, %v", proof, err)
				}
			}
			for range 2 { // mailhad says it, and mailha-fenced
				if err := s.Rise(t.Context(), node, "boot2"); err != nil {
					t.Fatal(err)
				}
			}
			if proof, err := s.Send(patient(t), node, Reboot, "n2"); proof != "" || !errors.Is(err, ErrNoSlot) {
				t.Errorf("got %q, %v", proof, err)
			}
			if table := look(t, s); table.Off() || table.Pill != nil {
				t.Errorf("got %+v", table)
			}
			// As soon as there is a watchdog, it can be asked.
			g := run(t, s, "boot2").start(t)
			await(t, g.ready, "the slot")
			if table := look(t, s); !table.Armed() || table.Slot.Life != "boot2" {
				t.Errorf("got %+v", table)
			}
			if err := s.Rise(t.Context(), node, "boot2"); err != nil || !look(t, s).Armed() {
				t.Errorf("a life that has a watchdog was taken for one without: %v", err)
			}
		})
	}
}

// Who waits for the end of a life hears that there is another one.
func TestRiseProves(t *testing.T) {
	t.Parallel()
	s := open(t)
	if err := s.Keep(t.Context(), node, Slot{Life: "boot1", Limit: limit}, look(t, s)); err != nil {
		t.Fatal(err)
	}
	type answer struct {
		proof Proof
		err   error
	}
	sent := make(chan answer, 1)
	go func() {
		proof, err := s.Send(patient(t), node, Reboot, "n2")
		sent <- answer{proof, err}
	}()
	for look(t, s).Pill == nil {
		time.Sleep(10 * time.Millisecond)
	}
	if err := s.Rise(t.Context(), node, "boot2"); err != nil {
		t.Fatal(err)
	}
	if got := await(t, sent, "the answer"); got.err != nil || got.proof != NewLife {
		t.Errorf("got %+v", got)
	}
}

// A daemon that comes back within one boot opens no watchdog, which would feed it, if its
// node was asked to end meanwhile.
func TestPillBeforeTheWatchdog(t *testing.T) {
	t.Parallel()
	s := open(t)
	if err := s.Keep(t.Context(), node, Slot{Life: "boot1", Limit: limit}, look(t, s)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	sent := make(chan error, 1)
	go func() {
		_, err := s.Send(ctx, node, Reboot, "n2")
		sent <- err
	}()
	for look(t, s).Pill == nil {
		time.Sleep(10 * time.Millisecond)
	}
	g := run(t, s, "boot1")
	g.Arm = func() (Guard, error) {
		t.Error("the watchdog was opened")
		return g.dog, nil
	}
	g.start(t)
	await(t, g.grave.ended, "its end")
	await(t, sent, "the answer")
	cancel()
}

func TestLeaves(t *testing.T) {
	t.Parallel()
	s := open(t)
	g := run(t, s, "boot1").start(t)
	await(t, g.ready, "the slot")
	g.stop()
	if err := await(t, g.over, "its end"); err != nil {
		t.Error(err)
	}
	if _, disarmed := g.dog.last(); !disarmed {
		t.Error("the watchdog runs on")
	}
	if table := look(t, s); table.Slot != nil {
		t.Error("others count on it still")
	}
}

// Without etcd the watchdog is not fed for longer than the limit allows, and not disarmed
// either: others may be waiting for it.
func TestEtcdIsSilent(t *testing.T) {
	t.Parallel()
	m, client, wire := quorumtest.Wired(t)
	g := run(t, Open(client, "test"), "boot1")
	g.Limit = short
	g.start(t)
	await(t, g.ready, "the slot")
	wire.Hold()
	held := time.Now()
	time.Sleep(2 * short)
	if fed, _ := g.dog.last(); fed.After(held.Add(short - g.dog.timeout + FeedEach)) {
		t.Errorf("it was fed %s after etcd fell silent", fed.Sub(held))
	}
	g.stop()
	if err := await(t, g.over, "its end"); err == nil {
		t.Error("it says nothing of what it leaves behind")
	}
	if _, disarmed := g.dog.last(); disarmed {
		t.Error("it was disarmed")
	}
	if g.dog.longest > short {
		t.Errorf("it was fed for a life of %s", g.dog.longest)
	}
	wire.Free()
	if table := look(t, Open(m.Client(), "test")); table.Slot == nil {
		t.Error("the slot is gone")
	}
}

// Two machines of one name: the first does not live on another one's looks.
func TestTwoOfOneName(t *testing.T) {
	t.Parallel()
	s := open(t)
	first := run(t, s, "boot1").start(t)
	await(t, first.ready, "the first")
	second := run(t, s, "boot2").start(t)
	await(t, second.ready, "the second")
	from := time.Now()
	const more = 2 * time.Second // ten times of feeding
	time.Sleep(limit + more)
	if fed, _ := first.dog.last(); fed.After(from.Add(limit)) {
		t.Errorf("the first is fed %s after the second came", fed.Sub(from))
	}
	if fed, _ := second.dog.last(); time.Since(fed) > limit {
		t.Errorf("the second is not fed any more: since %s", time.Since(fed))
	}
}

// What etcd had is lost: the slot is written again.
func TestSlotComesBack(t *testing.T) {
	t.Parallel()
	s := open(t)
	g := run(t, s, "boot1").start(t)
	await(t, g.ready, "the slot")
	if _, err := s.client.Delete(t.Context(), s.prefix, clientv3.WithPrefix()); err != nil {
		t.Fatal(err)
	}
	end := time.Now().Add(10 * time.Second)
	for look(t, s).Slot == nil {
		if time.Now().After(end) {
			t.Fatal("it does not come back")
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{"life":"b","limit_ns":10500000000,"since":"2026-11-22T10:00:00Z"}`, `{"id":"x","life":"b","action":"off","by":"n2","at":"2026-11-22T10:00:00Z"}`,
		`{"pill":"x","life":"b","proof":"watchdog"}`, `{"limit_ns":-1}`, `{} {}`, `null`, `[]`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if s, err := decode[Slot]("k", data); err == nil && (s.Limit < MinLimit || s.Limit > MaxLimit || s.Life == "") {
			t.Errorf("%+v", s)
		}
		if p, err := decode[Pill]("k", data); err == nil && (p.ID == "" || p.Life == "" || p.Action != PowerOff && p.Action != Reboot) {
			t.Errorf("%+v", p)
		}
		if w, err := decode[Word]("k", data); err == nil && (w.Life == "" || w.Pill == "") {
			t.Errorf("%+v", w)
		}
	})
}
