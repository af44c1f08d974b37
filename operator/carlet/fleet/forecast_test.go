package fleet

import (
	"slices"
	"testing"
	"time"
)

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
