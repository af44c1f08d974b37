package witness

import (
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"parkade.dev/carlet/fleet"
)

// ear is a listener without a server: two cars dialled in, and names lead to them.
type ear struct {
	*Listener
	t      *testing.T
	now    time.Time
	counts map[string]int
	woken  int
}

func newEar(t *testing.T) *ear {
	t.Helper()
	e := &ear{t: t, now: noon, counts: map[string]int{}}
	registry := fleet.NewRegistry()
	for _, name := range []string{"v-1", "v-2"} {
		registry.Hear("parkade.v1.f."+name+".hello", fmt.Appendf(nil, `{"v":1,"fleet":"f","vehicle":%q}`, name), noon, false)
	}
	names := map[string]string{"VIN1": "v-1", "token:CARD-1": "v-1", "evse:home/1": "v-1", "VIN2": "v-2", "VIN3": "v-3"}
	e.Listener = &Listener{
		Registry: registry, Log: slog.New(slog.DiscardHandler),
		Find: func(fleetName, name string) (fleet.Key, bool) {
			vehicle, found := names[name]
			return fleet.Key{Fleet: fleetName, Vehicle: vehicle}, found && fleetName == "f"
		},
		Count: func(source string, outcome fleet.Outcome) { e.counts[source+" "+string(outcome)]++ },
		Wake:  func() { e.woken++ }, Now: func() time.Time { return e.now },
	}
	return e
}

func (e *ear) expect(subject string, data []byte, want string) {
	e.t.Helper()
	before := e.counts[want]
	e.hear(subject, data)
	if e.counts[want] != before+1 {
		e.t.Errorf("%s: not %s: %v", subject, want, e.counts)
	}
}

func (e *ear) account(vehicle string, source fleet.Source) fleet.Account {
	for _, v := range e.Registry.Vehicles() {
		if v.Key.Vehicle == vehicle && v.Others != nil {
			return v.Others[source]
		}
	}
	return fleet.Account{}
}

func TestWitnessesAreHeardByName(t *testing.T) {
	e, plugged := newEar(t), record("VIN1", noon, datum(179, enum(32, 4)))
	e.expect("parkade.witness.v1.f.maker.VIN1.data", plugged, "maker accepted")
	if got := e.account("v-1", fleet.Maker); got.Claim != fleet.PluggedIn || !got.At.Equal(noon) {
		t.Errorf("%+v", got)
	}
	e.now = noon.Add(time.Second)
	e.expect("parkade.witness.v1.f.maker.VIN2.v.Gear", []byte(`{"value":"ShiftStateD"}`), "maker accepted")
	if got := e.account("v-2", fleet.Maker); got.Claim != fleet.Departed || !got.At.Equal(e.now) || e.woken != 1 {
		t.Errorf("%+v, woken %d times", got, e.woken)
	}
	e.expect("parkade.witness.v1.f.maker.v-1.v.Gear", []byte(`"R"`), "maker accepted") // an adapter that hashes itself
	for want, heard := range map[string][]string{
		"maker unknown_vehicle":   {"f.maker.VIN9.v.Gear", `"D"`, "g.maker.VIN1.v.Gear", `"D"`, "f.maker.VIN3.v.Gear", `"D"`},
		"maker wrong_identity":    {"f.maker.VIN2.data", string(plugged)},
		"maker garbage":           {"f.maker.VIN1.data", "x", "f.maker.VIN1.vss", `{}`, "f.maker.VIN1.v.Gear", `{`},
		"maker says_nothing":      {"f.maker.VIN1.v.Soc", `80`, "f.maker.VIN9.v.Soc", `80`},
		"maker outdated":          {"f.maker.VIN1.V", string(record("", noon.Add(-time.Hour), datum(179, enum(32, 1))))},
		"maker oversized":         {"f.maker.VIN1.vss", strings.Repeat(" ", fleet.MaxMessageBytes+1)},
		"maker unknown_subject":   {"f.maker.VIN1.alerts", ``, "f.maker.VIN1.v.Gear.x", ``},
		"charger unknown_subject": {"f.charger.home.StatusNotification", ``},
		"charger says_nothing":    {"f.charger.home.TransactionEvent", `[2,"7","Heartbeat",{}]`},
		"charger garbage":         {"f.charger.home.TransactionEvent", `{}`, "f.charger.home.TransactionEvent", `[3,"7",{}]`, "f.charger.home.TransactionEvent", `x`},
		"unknown unknown_subject": {"f.oracle.VIN1.data", ``, "f.maker.VIN1", ``, "F.maker.VIN1.data", ``},
	} {
		for i := 0; i < len(heard); i += 2 {
			e.expect(fleet.WitnessSubjects+heard[i], []byte(heard[i+1]), want)
		}
	}
	if len(e.Registry.Vehicles()) != 2 {
		t.Error("a witness made a vehicle")
	}
}

// event is a TransactionEventRequest; more is JSON of its own fields.
func event(kind, trigger, info, more string) []byte {
	return fmt.Appendf(nil, `{"eventType":%q,"timestamp":"2026-08-18T12:00:00Z","triggerReason":%q,"seqNo":1,"transactionInfo":{"transactionId":"t-1"%s}%s}`, kind, trigger, info, more)
}

func TestSessionsAtChargers(t *testing.T) {
	const (
		card, guest, end = `,"idToken":{"idToken":"CARD-1","type":"ISO14443"}`, `,"idToken":{"idToken":"CARD-9","type":"ISO14443"}`, `,"idToken":{"idToken":"MASTER","type":"Local"}`
		nobody, place    = `,"idToken":{"idToken":"","type":"NoAuthorization"}`, `,"evse":{"id":1,"connectorId":1}`
		vin              = `,"idToken":{"idToken":"VIN1","type":"Central"}`
		connected, idle  = `,"chargingState":"EVConnected"`, `,"chargingState":"Idle"`
	)
	const accepted, stranger, nothing = "charger accepted", "charger unknown_vehicle", "charger says_nothing"
	for _, c := range []struct {
		name   string
		events [][]byte
		counts []string
		want   fleet.Claim
	}{
		{"plugged in, by token", [][]byte{event("Started", "CablePluggedIn", connected, card)}, []string{accepted}, fleet.PluggedIn},
		{"by a token that is its id", [][]byte{event("Started", "CablePluggedIn", connected, vin)}, []string{accepted}, fleet.PluggedIn},
		{"by its place", [][]byte{event("Started", "CablePluggedIn", connected, nobody+place)}, []string{accepted}, fleet.PluggedIn},
		{"a reading of the meter holds on", [][]byte{event("Started", "CablePluggedIn", connected, card), event("Updated", "MeterValuePeriodic", "", place)}, []string{accepted, accepted}, fleet.PluggedIn},
		{"a reading of a session not known", [][]byte{event("Updated", "MeterValuePeriodic", "", place)}, []string{nothing}, fleet.Nothing},
		{"a guest at its place", [][]byte{event("Started", "CablePluggedIn", connected, guest+place), event("Updated", "MeterValuePeriodic", "", place)}, []string{stranger, stranger}, fleet.Nothing},
		{"a guest who authorises later", [][]byte{event("Started", "CablePluggedIn", "", place), event("Updated", "Authorized", connected, guest), event("Ended", "EVCommunicationLost", `,"stoppedReason":"EVDisconnected"`, "")}, []string{nothing, stranger, stranger}, fleet.Nothing},
		{"unplugged", [][]byte{event("Started", "CablePluggedIn", connected, card), event("Ended", "EVCommunicationLost", `,"stoppedReason":"EVDisconnected"`, "")}, []string{accepted, accepted}, fleet.Departed},
		{"unplugged before the session ends", [][]byte{event("Started", "CablePluggedIn", connected, card), event("Updated", "EVCommunicationLost", idle, "")}, []string{accepted, accepted}, fleet.Departed},
		{"left the bay", [][]byte{event("Started", "Authorized", connected, card), event("Ended", "EVDeparted", "", "")}, []string{accepted, accepted}, fleet.Departed},
		{"ended by another's token, still plugged in", [][]byte{event("Started", "Authorized", connected, card), event("Ended", "StopAuthorized", connected+`,"stoppedReason":"MasterPass"`, end)}, []string{accepted, accepted}, fleet.Unplugged},
		{"authorised, not plugged in yet", [][]byte{event("Started", "Authorized", idle, card)}, []string{accepted}, fleet.Unplugged},
		{"after its end it is nobody's", [][]byte{event("Started", "Authorized", connected, card), event("Ended", "PowerLoss", "", ""), event("Updated", "MeterValuePeriodic", connected, "")}, []string{accepted, accepted, stranger}, fleet.Unplugged},
	} {
		e := newEar(t)
		for i, data := range c.events {
			e.expect("parkade.witness.v1.f.charger.home.TransactionEvent", data, c.counts[i])
		}
		if got := e.account("v-1", fleet.Charger); got.Claim != c.want {
			t.Errorf("%s: %q, want %q", c.name, got.Claim, c.want)
		}
	}
}

func TestSessionsAreBounded(t *testing.T) {
	all, at := sessions{}, noon
	for i := range fleet.MaxVehicles + 10 {
		all.keep(sessionID{transaction: fmt.Sprint(i)}, session{at: at}, false)
	}
	if len(all) != fleet.MaxVehicles {
		t.Errorf("%d sessions", len(all))
	}
	all.keep(sessionID{transaction: "new"}, session{at: at.Add(sessionLife + 1)}, false)
	if len(all) != 1 {
		t.Errorf("%d sessions after those nobody spoke of were dropped", len(all))
	}
}

func TestTimesWithAndWithoutAZone(t *testing.T) {
	for _, said := range []string{`"2026-08-18T12:00:00Z"`, `"2026-08-18T14:00:00.000+02:00"`, `"2026-08-18T12:00:00"`, `"2026-08-18T12:00:00.000000"`} {
		var at instant
		if err := at.UnmarshalJSON([]byte(said)); err != nil || !at.Equal(noon) {
			t.Errorf("%s: %s, %v", said, at, err)
		}
	}
}

func TestAForgottenCarHasNoSession(t *testing.T) {
	e := newEar(t)
	const subject = "parkade.witness.v1.f.charger.home.TransactionEvent"
	e.expect(subject, event("Started", "Authorized", `,"chargingState":"EVConnected"`, `,"idToken":{"idToken":"CARD-1","type":"ISO14443"}`), "charger accepted")
	e.Forget(fleet.Key{Fleet: "f", Vehicle: "v-1"})
	if len(e.sessions) != 0 {
		t.Errorf("%v", e.sessions)
	}
	e.expect(subject, event("Updated", "MeterValuePeriodic", "", ""), "charger unknown_vehicle")
}

// TestTheSessionsOfAnOCPPLibrary plays what the Python package `ocpp` sends as a charge point of 2.0.1 and of 2.1;
// tests/fleet/ocpp_session.py recorded it.
func TestTheSessionsOfAnOCPPLibrary(t *testing.T) {
	recorded, err := os.ReadFile("../../../tests/fleet/recorded/ocpp_session.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	want := []fleet.Claim{"", fleet.PluggedIn, fleet.PluggedIn, fleet.PluggedIn, fleet.PluggedIn, fleet.Departed}
	frames := strings.Split(strings.TrimSpace(string(recorded)), "\n")
	if len(frames) != 2*len(want) {
		t.Fatalf("%d frames", len(frames))
	}
	for version := range 2 {
		e := newEar(t)
		for i, frame := range frames[version*len(want) : (version+1)*len(want)] {
			at := noon.Add(time.Duration(i) * time.Minute)
			e.now = at.Add(time.Second)
			// The station is not the car's own place: the card tells whose session it is.
			counted := map[bool]string{true: "charger accepted", false: "charger unknown_vehicle"}[i > 0]
			e.expect("parkade.witness.v1.f.charger.street.TransactionEvent", []byte(frame), counted)
			if got := e.account("v-1", fleet.Charger); got.Claim != want[i] || i > 0 && !got.At.Equal(at) {
				t.Errorf("frame %d of recording %d: %+v, want %q at %s", i, version, got, want[i], at)
			}
		}
	}
}
