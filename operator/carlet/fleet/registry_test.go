package fleet

import (
	"slices"
	"testing"
	"time"
)

func TestARevokedVehicleIsGoneAndNotHeardUntilReadmitted(t *testing.T) {
	key, now, registry := Key{"f", "v-1"}, time.Now(), NewRegistry()
	say := func(kind Kind, text string) Outcome {
		return registry.Hear(Subject(key, kind), []byte(text), now, false).Outcome
	}
	const state = `{"v":1,"present":true,"eligible":true,"link":"WiFi","state":"Charging"}`
	say(KindHello, `{"v":1,"fleet":"f","vehicle":"v-1","hardware":"hw4"}`)
	say(KindState, state)
	one := func() Vehicle {
		t.Helper()
		vehicles := registry.Vehicles()
		if len(vehicles) != 1 {
			t.Fatalf("%d vehicles", len(vehicles))
		}
		return *vehicles[0]
	}
	if v := one(); !v.Eligible() || PresenceAt(now, v.Testimony(), time.Hour) != Here {
		t.Fatalf("%+v", v)
	}
	registry.Revoke(key)
	if v := one(); v.Eligible() || PresenceAt(now, v.Testimony(), time.Hour) != Gone {
		t.Errorf("revoked, and still %+v", v)
	}
	if outcome := say(KindState, state); outcome != FromRevoked {
		t.Errorf("what it says is %s", outcome)
	}
	registry.Readmit(key)
	if outcome := say(KindState, state); outcome != Accepted {
		t.Errorf("readmitted, what it says is %s", outcome)
	}
	if v := one(); !v.Eligible() || PresenceAt(now, v.Testimony(), time.Hour) != Here {
		t.Errorf("%+v", v)
	}
	registry.Revoke(key)
	registry.Forget(key)
	if vehicles := registry.Vehicles(); len(vehicles) != 0 || len(registry.revoked) != 0 || len(registry.malformed) != 0 {
		t.Errorf("forgotten, and still %+v", vehicles)
	}
}

func TestAnOrderThatWasLostOnTheWayIsRepeatedLessAndLessOften(t *testing.T) {
	s := newStreet(t, 1)
	s.arrive("v-1")
	decision, told := s.decideUnheard()
	var after []time.Duration
	for began := s.world.Now; s.world.Now.Sub(began) < 2*time.Minute; s.world.Now = s.world.Now.Add(time.Second) {
		s.say("v-1", KindBeat, Beat{V: 1, BeatSeconds: 60}, false)
		if _, again := s.decideUnheard(); len(again) > 0 {
			after = append(after, s.world.Now.Sub(began))
		}
	}
	if want := []time.Duration{16 * time.Second, 47 * time.Second, 108 * time.Second}; len(told) != 1 || !slices.Equal(after, want) {
		t.Errorf("told %v, and again after %v; want %v", told, after, want)
	}
	answered := wellState(held(PhaseFetching))
	answered.Desired = decision.Told(Key{"f", "v-1"}).Desired.Revision
	s.say("v-1", KindState, answered, false)
	s.world.Now = s.world.Now.Add(20 * time.Minute)
	s.say("v-1", KindBeat, Beat{V: 1, BeatSeconds: 60}, false)
	if _, again := s.decideUnheard(); len(again) > 0 {
		t.Error("a vehicle that named its order is told it again")
	}
}
