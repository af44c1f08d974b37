package fleet

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestAReplicaComesUp(t *testing.T) {
	s := newStreet(t, 1)
	decision, _ := s.decide()
	if got := s.fact(decision); got.Reason != ReasonNoVehicle {
		t.Errorf("empty street: %+v", got)
	}
	s.hello("v-1")
	decision, told := s.decide()
	if len(told) != 1 || len(decision.Told(Key{"f", "v-1"}).Desired.Assignments) != 0 {
		t.Errorf("a hello is answered, even by nothing: %v", told)
	}
	s.say("v-1", KindState, wellState(), false)
	decision, told = s.decide()
	desired := decision.Told(Key{"f", "v-1"}).Desired
	want := Assignment{Workload: "vision/sign", Model: "sign", Digest: digest, Bytes: 42, Format: "onnx", Memory: gib, Router: "127.0.0.1:7443"}
	if !slices.Equal(told, []string{"v-1"}) || desired.Cell != "home-0" || len(desired.Assignments) != 1 || desired.Assignments[0] != want {
		t.Fatalf("told %v: %+v", told, desired)
	}
	for phase, reason := range map[Phase]string{PhaseFetching: ReasonFetching, PhaseLoading: ReasonLoading, PhaseReady: ReasonReady} {
		s.say("v-1", KindState, wellState(held(phase)), false)
		decision, told = s.decide()
		if got := s.fact(decision); got.Reason != reason || got.Serving != (phase == PhaseReady) || len(told) != 0 {
			t.Errorf("%s: %+v, told %v", phase, got, told)
		}
	}
	s.world.Staged[digest] = 0
	s.say("v-1", KindState, wellState(held(PhaseFetching)), false)
	decision, _ = s.decide()
	if got := s.fact(decision); got.Reason != ReasonNotStaged {
		t.Errorf("not staged: %+v", got)
	}
}

func TestThePoolsContractTravelsToItsVehicles(t *testing.T) {
	s := newStreet(t, 1)
	s.world.Pools[0].Contract = json.RawMessage(`{"minStateOfCharge":50}`)
	s.world.Pools[0].EnergyPrice = json.RawMessage(`{"perKWh":"0.31"}`)
	s.world.Pools[0].Payout = json.RawMessage(`{"perComputeHour":"0.04"}`)
	s.hello("v-1")
	s.say("stranger", KindHello, Hello{V: 1, Vehicle: "stranger", Fleet: "f", Hardware: "abacus"}, false)
	decision, _ := s.decide()
	first := decision.Told(Key{"f", "v-1"}).Desired
	if string(first.Contract) != `{"minStateOfCharge":50}` {
		t.Errorf("the vehicle is told the contract %q", first.Contract)
	}
	if text, _ := json.Marshal(first); !strings.Contains(string(text), `"payout":{"perComputeHour":"0.04"},"energyPrice":{"perKWh":"0.31"}`) {
		t.Errorf("what the pool pays is not told beside the contract: %s", text)
	}
	if other := decision.Told(Key{"f", "stranger"}).Desired; other.Contract != nil {
		t.Errorf("a vehicle of no pool is told the contract %q", other.Contract)
	}
	s.world.Pools[0].Contract = json.RawMessage(`{"minStateOfCharge":60}`)
	decision, told := s.decide()
	if second := decision.Told(Key{"f", "v-1"}).Desired; !slices.Equal(told, []string{"v-1"}) || second.Revision == first.Revision {
		t.Errorf("a changed contract is no new order: told %v, revision %s", told, second.Revision)
	}
	s.world.Pools[0].EnergyPrice = nil
	if _, told = s.decide(); !slices.Equal(told, []string{"v-1"}) {
		t.Errorf("a price that is no longer known is no new order: told %v", told)
	}
}

func TestVehiclesThatAreNotUnderstoodAreCountedWhereTheyAre(t *testing.T) {
	s := newStreet(t, 1)
	s.world.Cells = append(s.world.Cells, Cell{Name: "home-1", Pool: "home", MaxVehicles: 10})
	say := func(fleet, vehicle string, kind Kind, text string) Heard {
		return s.registry.Hear(Subject(Key{fleet, vehicle}, kind), []byte(text), s.world.Now, false)
	}
	shown := func() [2]int {
		s.world.Malformed = s.registry.Malformed(s.world.Now.Add(-MalformedMemory))
		decision, _ := s.decide()
		return [2]int{decision.Cells["home-0"].Malformed, decision.Cells["home-1"].Malformed}
	}
	s.say("v-1", KindHello, Hello{V: 1, Vehicle: "v-1", Fleet: "f", Hardware: "hw4", Memory: gib, BeatSeconds: 60, Cell: "home-1"}, false)
	say("f", "v-1", "receipt", "of a newer agent")
	say("elsewhere", "v-9", KindState, "garbage")
	if got := shown(); got != [2]int{} {
		t.Errorf("what no vehicle here said is shown: %v", got)
	}
	for _, text := range []string{"garbage", `{"v":9}`, `{"v":1,"present":"yes"}`} {
		say("f", "v-1", KindState, text)
	}
	if heard := say("f", "stranger", KindHello, `{"v":1,"vehicle":"v-1","fleet":"f"}`); !heard.Changed {
		t.Error("a first malformed message wakes nobody")
	}
	if got := shown(); got != [2]int{1, 1} {
		t.Errorf("one vehicle of each cell: %v", got)
	}
	s.world.Now = noon.Add(MalformedMemory - time.Second)
	say("f", "v-1", KindBeat, "garbage")
	s.world.Now = noon.Add(MalformedMemory)
	if got := shown(); got != [2]int{0, 1} {
		t.Errorf("after the memory of one is over: %v", got)
	}
	s.world.Now = s.world.Now.Add(MalformedMemory)
	if got := shown(); got != [2]int{} {
		t.Errorf("after silence: %v", got)
	}
}

func TestStrangersAndOverflowWait(t *testing.T) {
	s := newStreet(t, 1)
	s.world.Cells[0].MaxVehicles = 1
	for _, v := range []string{"v-1", "v-2"} {
		s.hello(v)
	}
	s.say("stranger", KindHello, Hello{V: 1, Vehicle: "stranger", Fleet: "f", Hardware: "abacus"}, false)
	decision, told := s.decide()
	if counts := decision.Cells["home-0"].Counts; counts.Registered != 1 || counts.Waiting != 1 {
		t.Errorf("%+v", counts)
	}
	if len(told) != 3 || decision.Told(Key{"f", "stranger"}).Desired.Cell != "" {
		t.Errorf("everybody who says hello gets an answer: %v", told)
	}
}

func TestDecideIsPure(t *testing.T) {
	s := newStreet(t, 2)
	for i := range 5 {
		v := fmt.Sprintf("v-%d", i)
		s.arrive(v)
	}
	s.world.Vehicles = s.registry.Vehicles()
	one := Decide(s.world)
	slices.Reverse(s.world.Vehicles)
	if two := Decide(s.world); !reflect.DeepEqual(one, two) {
		t.Error("the order of vehicles changes the decision")
	}
}

// BenchmarkDecide is one cycle over 10,000 vehicles in 20 cells with 3 workloads each.
func BenchmarkDecide(b *testing.B) {
	world := homeCells(20, 3, 500, 100)
	for i := range 10_000 {
		key := Key{"f", fmt.Sprintf("v-%d", i)}
		world.Vehicles = append(world.Vehicles, &Vehicle{
			Key: key, HasHello: true, HasState: true, Heard: true, LastHeard: noon, State: wellState(),
			Hello: Hello{Hardware: "hw4", Memory: 8 * gib, Cell: fmt.Sprintf("home-%d", i/500)},
		})
	}
	for b.Loop() {
		Decide(world)
	}
}
