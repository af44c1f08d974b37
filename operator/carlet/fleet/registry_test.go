package fleet

import (
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
		return vehicles[0]
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
