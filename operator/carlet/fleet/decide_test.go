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

const digest = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

// street is a world driven as carlet drives it: messages in, decisions out.
type street struct {
	t        *testing.T
	registry *Registry
	world    World
}

func newStreet(t *testing.T, replicas int) *street {
	return &street{t: t, registry: NewRegistry(), world: World{
		Now:   noon,
		Pools: []Pool{{Name: "home", Fleet: "f", Hardware: "hw4", Memory: 8 * gib, KeepFor: 5 * time.Minute}},
		Cells: []Cell{{Name: "home-0", Pool: "home", MaxVehicles: 10, Generation: 3, Orders: []Order{
			{Workload: "vision/sign", Digest: digest, Replicas: replicas, Priority: 100},
		}}},
		Workloads: map[string]Workload{"vision/sign": {Name: "vision/sign", Model: "sign", Memory: gib, Formats: map[string]string{digest: "onnx"}}},
		Routers:   []Router{{ID: "local", Cars: "127.0.0.1:7443", Renewed: noon, Expires: noon.Add(15 * time.Second)}},
		Staged:    map[string]int64{digest: 42},
	}}
}

func (s *street) say(vehicle string, kind Kind, message any, replayed bool) {
	s.t.Helper()
	if v := s.registry.vehicles[Key{"f", vehicle}]; v != nil {
		if state, is := message.(State); is && state.Desired == "" {
			state.Desired = v.State.Desired // the order it named before
			message = state
		}
	}
	text, err := json.Marshal(message)
	if err != nil {
		s.t.Fatal(err)
	}
	if heard := s.registry.Hear(Subject(Key{"f", vehicle}, kind), text, s.world.Now, replayed); heard.Outcome != Accepted {
		s.t.Fatalf("%s of %s: %s", kind, vehicle, heard.Outcome)
	}
}

func (s *street) hello(vehicle string) {
	s.say(vehicle, KindHello, Hello{V: 1, Vehicle: vehicle, Fleet: "f", Hardware: "hw4", Memory: 8 * gib, BeatSeconds: 60}, false)
}

func wellState(assignments ...HeldByVehicle) State {
	return State{V: 1, Present: true, Eligible: true, Link: "WiFi", State: "Charging", RTTMillis: 20, Assignments: assignments}
}

func held(phase Phase) HeldByVehicle {
	return HeldByVehicle{Workload: "vision/sign", Digest: digest, Phase: phase, Reason: "R", Message: "m"}
}

// decide runs one cycle and says who was told something; who is told names the order in its state at once.
func (s *street) decide() (Decision, []string) {
	decision, told := s.decideUnheard()
	for _, vehicle := range told {
		v := s.registry.vehicles[Key{"f", vehicle}]
		s.registry.private(v)
		v.State.Desired = v.sent
	}
	return decision, told
}

// decideUnheard is decide with every order lost on the way.
func (s *street) decideUnheard() (Decision, []string) {
	s.world.Vehicles = s.registry.Vehicles()
	decision := Decide(s.world)
	var told []string
	tell, _ := s.registry.Commit(decision, s.world.Now, time.Hour, MaxVehicles)
	for _, order := range tell {
		told = append(told, order.Vehicle.Key.Vehicle)
	}
	return decision, told
}

func (s *street) fact(decision Decision) AssignmentFact {
	return decision.Cells["home-0"].Assignments[0]
}

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

func TestADepartureIsReplacedAtOnceAndTheReturnChangesLittle(t *testing.T) {
	s := newStreet(t, 1)
	for _, v := range []string{"v-1", "v-2"} {
		s.hello(v)
		s.say(v, KindState, wellState(), false)
	}
	_, told := s.decide()
	s.world.Now = s.world.Now.Add(time.Second)
	holder := ""
	for _, v := range s.registry.Vehicles() {
		if len(v.Given) > 0 {
			holder = v.Key.Vehicle
		}
	}
	other := map[string]string{"v-1": "v-2", "v-2": "v-1"}[holder]
	if len(told) != 2 || other == "" {
		t.Fatalf("told %v, holder %q", told, holder)
	}
	s.say(holder, KindState, wellState(held(PhaseReady)), false)
	s.decide()
	leaving := wellState(held(PhaseDraining))
	leaving.Leaving = true
	s.say(holder, KindState, leaving, false)
	decision, told := s.decide()
	if !slices.Equal(told, []string{other}) || decision.Told(Key{"f", holder}).Presence != Gone {
		t.Fatalf("told %v", told)
	}
	s.say(other, KindState, wellState(held(PhaseReady)), false)
	decision, told = s.decide()
	if !slices.Equal(told, []string{holder}) || s.fact(decision).Ready != 1 {
		t.Errorf("after the other is ready: told %v, %+v", told, s.fact(decision))
	}
	s.say(holder, KindState, wellState(), false)
	if _, told = s.decide(); len(told) != 0 {
		t.Errorf("the return moved something: %v", told)
	}
}

func TestSilenceKeepsThenGivesAway(t *testing.T) {
	s := newStreet(t, 1)
	s.hello("v-1")
	s.say("v-1", KindState, wellState(), false)
	s.decide()
	s.say("v-1", KindState, wellState(held(PhaseReady)), false)
	s.decide()
	s.hello("v-2")
	s.say("v-2", KindState, wellState(), false)
	s.decide()
	s.world.Now = noon.Add(3 * time.Minute)
	s.say("v-2", KindBeat, Beat{V: 1, BeatSeconds: 60}, false)
	decision, told := s.decide()
	facts := decision.Cells["home-0"]
	if len(told) != 0 || facts.Counts.Silent != 1 || s.fact(decision).Reason != ReasonSilent || s.fact(decision).Serving {
		t.Errorf("silent: told %v, %+v", told, facts)
	}
	if row := facts.Supply[0]; row.Vehicles != 2 || row.Free != 1 {
		t.Errorf("a silent holder is still supply: %+v", row)
	}
	s.world.Now = noon.Add(8 * time.Minute)
	s.say("v-2", KindBeat, Beat{V: 1, BeatSeconds: 60}, false)
	if _, told = s.decide(); !slices.Equal(told, []string{"v-2"}) {
		t.Errorf("gone: told %v", told)
	}
}

func TestARestartTellsNobodyAnything(t *testing.T) {
	s := newStreet(t, 2)
	revision := map[string]string{}
	for i := range 4 {
		v := fmt.Sprintf("v-%d", i)
		s.hello(v)
		s.say(v, KindState, wellState(), false)
	}
	decision, _ := s.decide()
	before := s.registry.Vehicles()
	s.registry = NewRegistry()
	s.world.Now = noon.Add(20 * time.Minute)
	for _, v := range before {
		id := v.Key.Vehicle
		revision[id] = decision.Told(v.Key).Desired.Revision
		state := wellState()
		if len(v.Given) > 0 {
			state = wellState(held(PhaseReady))
		}
		state.Desired = revision[id]
		at := s.world.Now
		s.world.Now = noon // said long ago
		s.say(id, KindState, state, true)
		s.say(id, KindHello, v.Hello, true)
		s.world.Now = at
	}
	s.registry.Adopt(s.world.Now)
	decision, told := s.decide()
	if len(told) != 0 || s.fact(decision).Ready != 2 || decision.Cells["home-0"].Counts.Here != 4 {
		t.Errorf("told %v, %+v, %+v", told, s.fact(decision), decision.Cells["home-0"].Counts)
	}
	for _, v := range decision.Vehicles {
		if v.Desired.Revision != revision[v.Vehicle.Key.Vehicle] {
			t.Errorf("%s has another revision", v.Vehicle.Key)
		}
	}
	s.hello("v-0")
	if _, told = s.decide(); !slices.Equal(told, []string{"v-0"}) {
		t.Errorf("every hello is answered: %v", told)
	}
}

func TestARefusalIsShownAndAskedAgainLater(t *testing.T) {
	s := newStreet(t, 1)
	s.hello("v-1")
	s.say("v-1", KindState, wellState(), false)
	s.decide()
	s.say("v-1", KindState, wellState(held(PhaseFailed)), false)
	decision, told := s.decide()
	if got := s.fact(decision); got.Reason != ReasonFailed || !slices.Equal(told, []string{"v-1"}) {
		t.Errorf("told %v: %+v", told, got)
	}
	s.say("v-1", KindState, wellState(), false)
	s.world.Now = noon.Add(firstRefusal - time.Second)
	if decision, told = s.decide(); len(told) != 0 || s.fact(decision).Reason != ReasonFailed {
		t.Errorf("asked too early, or forgotten: %v %+v", told, s.fact(decision))
	}
	s.world.Now = noon.Add(firstRefusal)
	if _, told = s.decide(); !slices.Equal(told, []string{"v-1"}) {
		t.Errorf("not asked again: %v", told)
	}
}

func TestACarWhoseAnswersAreRejectedLosesItsReplicaToAnother(t *testing.T) {
	rejected := held(PhaseFailed)
	rejected.Reason, rejected.Message = "AnswersRejected", "3 answers of this car in a row could not be used"
	for _, c := range []struct {
		name     string
		others   []string
		reason   string
		sentence string
	}{
		{"another takes over", []string{"v-2"}, ReasonAssigned, "vehicles were told"},
		{"nobody else is here", nil, ReasonFailed, "one said AnswersRejected: 3 answers of this car in a row could not be used"},
	} {
		s := newStreet(t, 1)
		s.hello("v-1")
		s.say("v-1", KindState, wellState(), false)
		s.decide()
		s.say("v-1", KindState, wellState(held(PhaseReady)), false)
		for _, v := range c.others {
			s.hello(v)
			s.say(v, KindState, wellState(), false)
		}
		s.decide()
		s.say("v-1", KindState, wellState(rejected), false)
		decision, told := s.decide()
		if got := s.fact(decision); got.Reason != c.reason || !strings.Contains(got.Message, c.sentence) || got.Serving {
			t.Errorf("%s: %+v", c.name, got)
		}
		if want := append([]string{"v-1"}, c.others...); !slices.Equal(told, want) {
			t.Errorf("%s: told %v, want %v", c.name, told, want)
		}
		if left := decision.Told(Key{"f", "v-1"}).Desired.Assignments; len(left) != 0 {
			t.Errorf("%s: the car keeps %v", c.name, left)
		}
	}
}

func TestWhatAnIneligibleCarRefusesIsNoRefusalOfTheWorkload(t *testing.T) {
	s := newStreet(t, 1)
	s.hello("v-1")
	resting := wellState(held(PhaseRefused))
	resting.Eligible, resting.Reason = false, "Paused"
	s.say("v-1", KindState, resting, false)
	if decision, _ := s.decide(); s.fact(decision).Reason != ReasonNoVehicle {
		t.Errorf("a resting car: %+v", s.fact(decision))
	}
	s.say("v-1", KindState, wellState(), false)
	if _, told := s.decide(); !slices.Equal(told, []string{"v-1"}) {
		t.Errorf("the car works again and is not asked: told %v", told)
	}
}

func TestANewVersionThatFailsKeepsTheOldOne(t *testing.T) {
	s := newStreet(t, 1)
	s.hello("v-1")
	s.say("v-1", KindState, wellState(), false)
	s.decide()
	old := held(PhaseReady)
	old.Digest = "bbbb"
	s.say("v-1", KindState, wellState(old, held(PhaseFailed)), false)
	decision, _ := s.decide()
	if desired := decision.Told(Key{"f", "v-1"}).Desired; len(desired.Assignments) != 1 {
		t.Errorf("the car was told to drop what it serves: %+v", desired)
	}
	if got := s.fact(decision); !got.Serving || got.Ready != 0 {
		t.Errorf("%+v", got)
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
		s.hello(v)
		s.say(v, KindState, wellState(), false)
	}
	s.world.Vehicles = s.registry.Vehicles()
	one := Decide(s.world)
	slices.Reverse(s.world.Vehicles)
	if two := Decide(s.world); !reflect.DeepEqual(one, two) {
		t.Error("the order of vehicles changes the decision")
	}
}

// homeCells is one pool of so many cells, each with room for so many vehicles and orders for so many workloads and replicas.
func homeCells(cells, workloads, vehicles, replicas int) World {
	world := World{
		Now: noon, Pools: []Pool{{Name: "home", Fleet: "f", Hardware: "hw4", Memory: 8 * gib, KeepFor: time.Minute}},
		Workloads: map[string]Workload{}, Routers: routers(3, noon), Staged: map[string]int64{digest: 1},
	}
	for i := range cells {
		cell := Cell{Name: fmt.Sprintf("home-%d", i), Pool: "home", MaxVehicles: vehicles}
		for j := range workloads {
			name := fmt.Sprintf("n/w%d", j)
			world.Workloads[name] = Workload{Name: name, Model: name, Memory: gib}
			cell.Orders = append(cell.Orders, Order{Workload: name, Digest: digest, Replicas: replicas})
		}
		world.Cells = append(world.Cells, cell)
	}
	return world
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

func TestForecastsOfARowAreAveraged(t *testing.T) {
	s := newStreet(t, 0)
	for vehicle, forecast := range map[string]Leaving{"v-1": {0, 0, 10}, "v-2": {5, 10, 25}, "v-3": nil} {
		s.hello(vehicle)
		state := wellState()
		state.LeavingWithin = forecast
		s.say(vehicle, KindState, state, false)
	}
	asleep := wellState()
	asleep.State = "Asleep"
	s.hello("v-4")
	s.say("v-4", KindState, asleep, false)
	decision, _ := s.decide()
	supply := decision.Cells["home-0"].Supply
	if len(supply) != 2 || supply[0].Vehicles != 1 || supply[0].Leaving != nil {
		t.Fatalf("a row in which no car has a forecast: %+v", supply)
	}
	if !slices.Equal(supply[1].Leaving, Leaving{2.5, 5, 17.5}) || supply[1].Tellers != 2 {
		t.Errorf("the car without a forecast counts, or the mean is wrong: %+v", supply[1])
	}
}

func TestAForecastTellsNobodyAnything(t *testing.T) {
	s := newStreet(t, 1)
	s.hello("v-1")
	decider := NewDecider()
	for step, forecast := range []Leaving{nil, {0, 0, 10}, {0, 5, 15}} {
		state := wellState()
		state.LeavingWithin = forecast
		s.say("v-1", KindState, state, false)
		s.world.Vehicles = s.registry.Vehicles()
		decision := decider.Decide(s.world)
		told, _ := s.registry.Commit(decision, s.world.Now, time.Hour, MaxVehicles)
		if (len(told) == 0) != (step > 0) {
			t.Errorf("step %d: told %v", step, told)
		}
		if got := decision.Cells["home-0"].Supply[0].Leaving; !slices.Equal(got, forecast) {
			t.Errorf("step %d shows %v", step, got)
		}
	}
}
