package fleet

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

func TestADepartureIsReplacedAtOnceAndTheReturnChangesLittle(t *testing.T) {
	s := newStreet(t, 1)
	for _, v := range []string{"v-1", "v-2"} {
		s.arrive(v)
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
	s.arrive("v-1")
	s.decide()
	s.say("v-1", KindState, wellState(held(PhaseReady)), false)
	s.decide()
	s.arrive("v-2")
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
		s.arrive(v)
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
