package fleet

import (
	"fmt"
	"slices"
	"testing"
)

// stagedAt are the vehicles that a decision tells to fetch ahead.
func stagedAt(decision Decision) []string {
	var names []string
	for _, told := range decision.Vehicles {
		if len(told.Desired.Stage) > 0 {
			names = append(names, told.Vehicle.Key.Vehicle)
		}
	}
	slices.Sort(names)
	return names
}

// staging is a street of cars on WiFi that hold nothing yet.
func staging(t *testing.T, cars, replicas, percent int) *street {
	s := newStreet(t, replicas)
	s.world.StagePercent = percent
	for i := range cars {
		s.hello(fmt.Sprintf("v-%d", i))
		s.say(fmt.Sprintf("v-%d", i), KindState, wellState(), false)
	}
	return s
}

func TestSparesFetchAheadAndAreThePlaceOfTheNextReplica(t *testing.T) {
	s := staging(t, 8, 3, 20)
	decision, _ := s.decide()
	spares := stagedAt(decision)
	if len(spares) != 1 {
		t.Fatalf("20 %% of 3 replicas, rounded up, is 1 spare: %v", spares)
	}
	spare := Key{"f", spares[0]}
	desired := decision.Told(spare).Desired
	if len(desired.Assignments) != 0 || desired.Stage[0] != (Staged{Digest: digest, Bytes: 42, Format: "onnx"}) {
		t.Fatalf("%+v", desired)
	}
	if again, told := s.decide(); !slices.Equal(stagedAt(again), spares) || len(told) != 0 {
		t.Fatalf("nothing changed, told %v", told)
	}
	s.say(spare.Vehicle, KindHello, Hello{V: 1, Vehicle: spare.Vehicle, Fleet: "f", Hardware: "hw4", Memory: 8 * gib, Models: []string{digest}}, false)
	if decision, _ = s.decide(); !slices.Equal(stagedAt(decision), spares) {
		t.Errorf("who has fetched it keeps it: %v, was %v", stagedAt(decision), spares)
	}
	s.world.Cells[0].Orders[0].Replicas = 4
	decision, _ = s.decide()
	if len(decision.Told(spare).Desired.Assignments) != 1 {
		t.Errorf("the next replica is where the file is: %+v", decision.Told(spare).Desired)
	}
	if after := stagedAt(decision); len(after) != 1 || after[0] == spares[0] {
		t.Errorf("another spare takes its place: %v", after)
	}
}

func TestWhoIsNotToldToFetchAhead(t *testing.T) {
	for name, change := range map[string]func(*street){
		"nobody, where the share is none": func(s *street) { s.world.StagePercent = 0 },
		"over Cellular": func(s *street) {
			state := wellState()
			state.Link = "Cellular"
			s.say("v-1", KindState, state, false)
		},
		"over Starlink": func(s *street) {
			state := wellState()
			state.Link = "Starlink"
			s.say("v-1", KindState, state, false)
		},
		"while the owner's contract rests the car": func(s *street) {
			state := wellState()
			state.Eligible, state.Reason = false, "Paused"
			s.say("v-1", KindState, state, false)
		},
		"what is not in the store": func(s *street) { s.world.Staged[digest] = 0 },
		"what does not fit its memory": func(s *street) {
			workload := s.world.Workloads["vision/sign"]
			workload.Memory = 9 * gib
			s.world.Workloads["vision/sign"] = workload
		},
		"what it refused lately": func(s *street) {
			s.say("v-1", KindState, wellState(held(PhaseRefused)), false)
		},
	} {
		s := staging(t, 1, 1, 100)
		s.arrive("v-1")
		s.decide()
		s.say("v-0", KindState, wellState(held(PhaseReady)), false)
		s.say("v-1", KindState, wellState(), false)
		decision, _ := s.decide()
		if before := stagedAt(decision); len(before) != 1 {
			t.Fatalf("%s: one of two is a spare before: %v", name, before)
		}
		if before := stagedAt(decision); before[0] == "v-0" {
			continue // v-1 serves here: nothing to learn
		}
		change(s)
		if decision, _ = s.decide(); len(stagedAt(decision)) != 0 {
			t.Errorf("%s: %v", name, stagedAt(decision))
		}
	}
}

func TestARestartStagesNothingAnew(t *testing.T) {
	s := staging(t, 8, 3, 50)
	decision, _ := s.decide()
	before := stagedAt(decision)
	fresh := newStreet(t, 3)
	fresh.world.StagePercent = 50
	for i := range 8 {
		name := fmt.Sprintf("v-%d", i)
		told := decision.Told(Key{"f", name}).Desired
		hello := Hello{V: 1, Vehicle: name, Fleet: "f", Hardware: "hw4", Memory: 8 * gib, Cell: "home-0", Desired: told.Revision}
		if len(told.Stage) > 0 {
			hello.Models = []string{digest}
		}
		fresh.say(name, KindHello, hello, true)
		state := wellState()
		state.Desired = told.Revision
		if len(told.Assignments) > 0 {
			state = wellState(held(PhaseReady))
			state.Desired = told.Revision
		}
		fresh.say(name, KindState, state, true)
	}
	fresh.registry.Adopt(fresh.world.Now)
	again, told := fresh.decide()
	if after := stagedAt(again); !slices.Equal(before, after) || len(told) != 0 {
		t.Errorf("before %v, after %v, told %v", before, after, told)
	}
}

func TestFilesOfHigherPriorityAreStagedFirstAndNoCarKeepsMoreThanSome(t *testing.T) {
	s := staging(t, 1, 0, 20)
	s.world.Cells[0].Orders = nil
	for i := range MaxStaged + 3 {
		name, hex := fmt.Sprintf("vision/m%d", i), fmt.Sprintf("%064d", i)
		s.world.Workloads[name] = Workload{Name: name, Model: name, Memory: 7 * gib, Formats: map[string]string{hex: "onnx"}}
		s.world.Cells[0].Orders = append(s.world.Cells[0].Orders, Order{Workload: name, Digest: hex, Replicas: 1, Priority: i})
		s.world.Staged[hex] = 42
	}
	decision, _ := s.decide()
	stage := decision.Told(Key{"f", "v-0"}).Desired.Stage
	if len(stage) != MaxStaged {
		t.Fatalf("%d files", len(stage))
	}
	highest := fmt.Sprintf("%064d", MaxStaged+2)
	for _, file := range stage {
		if file.Digest == highest {
			t.Errorf("the first replica is served, not staged")
		}
	}
	if !slices.ContainsFunc(stage, func(f Staged) bool { return f.Digest == fmt.Sprintf("%064d", MaxStaged+1) }) {
		t.Errorf("the next by priority is missing: %+v", stage)
	}
}
