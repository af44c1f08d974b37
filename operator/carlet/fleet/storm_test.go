package fleet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"parkade.dev/carlet/internal/testplane"
)

// crowd is all vehicles of a fleet as one client: who they are does not matter here.
func crowd(t *testing.T, options KeysOptions) *nats.Conn {
	t.Helper()
	return testplane.Connect(t, testplane.NATSURL(options.Port), nats.UserCredentials(filepath.Join(options.Dir, CarletCredentialsFile)))
}

func say(t *testing.T, conn *nats.Conn, key Key, kind Kind, text string) {
	t.Helper()
	if err := conn.Publish(Subject(key, kind), []byte(text)); err != nil {
		t.Fatal(err)
	}
}

func nth(i int) Key { return Key{"f", fmt.Sprintf("v-%05d", i)} }

// helloOf is a hello; the memory tells one from another.
func helloOf(key Key, memory int) string {
	return fmt.Sprintf(`{"v":1,"fleet":"f","vehicle":%q,"hardware":"hw4","memory":%d,"beatSeconds":60}`, key.Vehicle, memory)
}

// halting is a link of which the messages of some kinds wait until they are let go.
func halting(t *testing.T, options KeysOptions, halts Kind) (*Link, *Registry, map[Kind]*atomic.Int64, func()) {
	t.Helper()
	counts := map[Kind]*atomic.Int64{KindHello: {}, KindState: {}, KindBeat: {}}
	gate, registry := make(chan struct{}), NewRegistry()
	ctx, cancel := context.WithCancel(context.Background())
	link, err := Dial(ctx, registry, LinkOptions{
		URL: testplane.NATSURL(options.Port), Credentials: filepath.Join(options.Dir, CarletCredentialsFile),
		Count: func(kind Kind, _ Outcome) {
			counts[kind].Add(1)
			if kind == halts {
				<-gate
			}
		},
		Wake: func() {}, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	opened := false
	open := func() {
		if !opened {
			opened = true
			close(gate)
		}
	}
	t.Cleanup(func() {
		open()
		cancel()
	})
	testplane.Eventually(t, "the link is ready", func() error {
		if !link.Ready() {
			return errors.New("not replayed")
		}
		return nil
	})
	return link, registry, counts, open
}

func reaches(t *testing.T, what string, count *atomic.Int64, number int64) {
	t.Helper()
	testplane.Eventually(t, what, func() error {
		if found := count.Load(); found < number {
			return fmt.Errorf("%d of %d", found, number)
		}
		return nil
	})
}

func TestBeatsAreTakenInWhileTwentyThousandHellosWait(t *testing.T) {
	const cars = 20_000
	_, options, _ := startServer(t)
	link, registry, counts, open := halting(t, options, KindHello)
	conn := crowd(t, options)
	for i := range cars {
		say(t, conn, nth(i), KindHello, helloOf(nth(i), 1))
	}
	if err := conn.FlushTimeout(20 * time.Second); err != nil {
		t.Fatal(err)
	}
	reaches(t, "the first hello is under work", counts[KindHello], 1)
	for i := range cars {
		say(t, conn, nth(i), KindBeat, `{"v":1,"seq":1,"beatSeconds":60}`)
	}
	reaches(t, "every beat is taken in", counts[KindBeat], cars)
	if hellos := counts[KindHello].Load(); hellos != 1 {
		t.Errorf("%d hellos went by", hellos)
	}
	now := time.Now()
	if until := link.ListenedUntil(now); now.Sub(until) > 0 {
		t.Errorf("beats count as waiting for %s, though none does", now.Sub(until))
	}
	open()
	reaches(t, "every hello is taken in", counts[KindHello], cars)
	testplane.Eventually(t, "all are known", func() error {
		if known := len(registry.Vehicles()); known != cars {
			return fmt.Errorf("%d of %d", known, cars)
		}
		return nil
	})
}

func TestSilenceDoesNotCountWhileBeatsWait(t *testing.T) {
	_, options, _ := startServer(t)
	link, _, counts, open := halting(t, options, KindBeat)
	conn := crowd(t, options)
	for range 10 {
		say(t, conn, nth(1), KindBeat, `{"v":1,"seq":1,"beatSeconds":60}`)
	}
	reaches(t, "the first beat is under work", counts[KindBeat], 1)
	testplane.Eventually(t, "time stands still", func() error {
		first := link.ListenedUntil(time.Now())
		time.Sleep(10 * time.Millisecond)
		if second := link.ListenedUntil(time.Now()); !second.Equal(first) || !link.HeardUntil(time.Now()).After(second) {
			return errors.New("it goes on")
		}
		return nil
	})
	open()
	testplane.Eventually(t, "time goes on", func() error {
		if now := time.Now(); !link.ListenedUntil(now).Equal(now) {
			return errors.New("it stands still")
		}
		return nil
	})
}

func TestOnlyTheNewestWordOfEachVehicleIsTakenInAfterAStorm(t *testing.T) {
	const cars, words = 500, 10
	_, options, _ := startServer(t)
	dialEar(t, options) // makes the stream
	conn := crowd(t, options)
	for word := range words {
		for i := range cars {
			say(t, conn, nth(i), KindHello, helloOf(nth(i), word+1))
		}
	}
	if err := conn.FlushTimeout(20 * time.Second); err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	testplane.Eventually(t, "all is in the stream", func() error {
		stream, err := js.Stream(t.Context(), Stream)
		if err != nil {
			return err
		}
		if last := stream.CachedInfo().State.LastSeq; last < cars*words {
			return fmt.Errorf("%d of %d", last, cars*words)
		}
		return nil
	})
	late := dialEar(t, options)
	testplane.Eventually(t, "the newest of each", func() error {
		for _, v := range late.registry.Vehicles() {
			if v.Hello.Memory != words {
				return fmt.Errorf("%s said %d", v.Key, v.Hello.Memory)
			}
		}
		if known := len(late.registry.Vehicles()); known != cars {
			return fmt.Errorf("%d of %d", known, cars)
		}
		return nil
	})
	late.mu.Lock()
	defer late.mu.Unlock()
	if late.counts[Accepted] != cars {
		t.Errorf("%d messages of %d vehicles were worked off, of %d that were sent", late.counts[Accepted], cars, cars*words)
	}
}

func TestOrdersArePacedChangesFirstAndEachVehicleIsToldTheNewestOnce(t *testing.T) {
	registry, order := NewRegistry(), NewDesired("home-0", Terms{}, []Assignment{{Workload: "w", Digest: "d"}})
	nothing := NewDesired("home-0", Terms{}, nil)
	decision := Decision{Vehicles: make([]Told, 10)}
	tell := func(i int, desired Desired) {
		decision.Vehicles[i] = Told{Vehicle: &Vehicle{Key: nth(i)}, Pool: "home", Cell: "home-0", Desired: &desired}
	}
	commit := func(most int) (keys []Key, waiting int) {
		told, waiting := registry.Commit(decision, noon, time.Hour, most)
		for _, order := range told {
			keys = append(keys, order.Vehicle.Key)
		}
		return keys, waiting
	}
	for i := range 10 {
		hello := fmt.Sprintf(`{"v":1,"fleet":"f","vehicle":%q,"desired":%q}`, nth(i).Vehicle, nothing.Revision)
		registry.Hear(Subject(nth(i), KindHello), []byte(hello), noon, false)
		tell(i, nothing)
	}
	for _, i := range []int{7, 8, 9} {
		tell(i, order)
	}
	told, waiting := commit(4)
	if !slices.Equal(told, []Key{nth(7), nth(8), nth(9), nth(0)}) || waiting != 6 {
		t.Errorf("first told: %v, %d wait", told, waiting)
	}
	if told, waiting := commit(0); len(told) != 0 || waiting != 6 {
		t.Errorf("told beyond the pace: %v, %d wait", told, waiting)
	}
	tell(5, order) // decided anew while it waits
	told, waiting = commit(4)
	if !slices.Equal(told, []Key{nth(5), nth(1), nth(2), nth(3)}) || waiting != 2 {
		t.Errorf("then told: %v, %d wait", told, waiting)
	}
	registry.Hear(Subject(nth(4), KindHello), []byte(helloOf(nth(4), 1)), noon, false) // a hello more brings no order more
	told, waiting = commit(4)
	if len(told) != 2 || waiting != 0 {
		t.Errorf("at last told: %v, %d wait", told, waiting)
	}
	if told, _ := commit(4); len(told) != 0 {
		t.Errorf("told twice: %v", told)
	}
}
