package nodes

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"parkade.dev/carlet/fleet"
)

const (
	benchVehicles = 100_000
	benchCells    = 200
)

// bigFleet is a fleet that was told its orders and holds them.
type bigFleet struct {
	registry *fleet.Registry
	decider  *fleet.Decider
	journal  *journal
	world    fleet.World
	chance   *rand.Rand
}

func newBigFleet(b *testing.B) *bigFleet {
	f := &bigFleet{registry: fleet.NewRegistry(), decider: fleet.NewDecider(), journal: newJournal(), chance: rand.New(rand.NewPCG(1, 2))}
	digest := fmt.Sprintf("%064d", 7)
	f.world = fleet.World{
		Now: time.Now(), Pools: []fleet.Pool{{Name: "home", Fleet: "f", Hardware: "hw4", Memory: 8 << 30, KeepFor: time.Minute}},
		Workloads: map[string]fleet.Workload{"n/w": {Name: "n/w", Model: "w", Memory: 1 << 30}},
		Staged:    map[string]int64{digest: 1}, StagePercent: 20,
	}
	for i := range benchCells {
		f.world.Cells = append(f.world.Cells, fleet.Cell{
			Name: fmt.Sprintf("home-%03d", i), Pool: "home", Region: "r", MaxVehicles: 600, Orders: []fleet.Order{{Workload: "n/w", Digest: digest, Replicas: 150}},
		})
	}
	for i := range benchVehicles {
		f.say(i, fleet.KindHello, fleet.Hello{V: 1, Vehicle: name(i), Fleet: "f", Hardware: "hw4", Memory: 8 << 30, BeatSeconds: 60, Slots: 1})
		f.say(i, fleet.KindState, wellState())
	}
	for range 3 {
		f.cycle()
		for _, v := range f.registry.Vehicles() {
			f.hold(v)
		}
	}
	b.ReportAllocs()
	return f
}

func name(i int) string { return fmt.Sprintf("v-%06d", i) }

func (f *bigFleet) say(i int, kind fleet.Kind, message any) {
	text, _ := json.Marshal(message)
	f.registry.Hear(fleet.Subject(fleet.Key{Fleet: "f", Vehicle: name(i)}, kind), text, f.world.Now, false)
}

func wellState() fleet.State {
	return fleet.State{V: 1, Present: true, Eligible: true, Link: "WiFi", State: "Charging", RTTMillis: 20, LeavingWithin: fleet.Leaving{0, 5, 10}}
}

func (f *bigFleet) hold(v *fleet.Vehicle) {
	state := wellState()
	for workload, digest := range v.Given {
		state.Assignments = append(state.Assignments, fleet.HeldByVehicle{Workload: workload, Digest: digest, Phase: fleet.PhaseReady})
	}
	text, _ := json.Marshal(state)
	f.registry.Hear(fleet.Subject(v.Key, fleet.KindState), text, f.world.Now, false)
}

func (f *bigFleet) cycle() {
	f.world.Vehicles = f.registry.Vehicles()
	decision := f.decider.Decide(f.world)
	f.registry.Commit(decision, f.world.Now, time.Hour, benchVehicles)
	f.journal.record(decision, f.world.Now)
}

// BenchmarkCycleSettled is a cycle between which beats come alone.
func BenchmarkCycleSettled(b *testing.B) {
	f := newBigFleet(b)
	for b.Loop() {
		f.cycle()
	}
}

// BenchmarkCycleDepartures is a cycle in which a few vehicles of each cell announce that they leave.
func BenchmarkCycleDepartures(b *testing.B) {
	f := newBigFleet(b)
	for b.Loop() {
		b.StopTimer()
		for range 2 * benchCells {
			state := wellState()
			state.Leaving, state.Eligible = true, false
			f.say(f.chance.IntN(benchVehicles), fleet.KindState, state)
		}
		b.StartTimer()
		f.cycle()
	}
}
