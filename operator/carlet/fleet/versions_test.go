package fleet

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// recorded are messages as agents and carlets of each version really sent them; both ends replay them.
const recorded = "../../../tests/vehicle/recorded"

func readRecorded(t *testing.T, version, kind string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(recorded, version, kind+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func recordedVersions(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir(recorded)
	if err != nil || len(entries) == 0 {
		t.Fatalf("no recorded messages: %v", err)
	}
	var versions []string
	for _, entry := range entries {
		versions = append(versions, entry.Name())
	}
	return versions
}

func TestAgentsOfEveryRecordedVersionAreUnderstood(t *testing.T) {
	for _, version := range recordedVersions(t) {
		hello := readRecorded(t, version, "hello")
		var who struct{ Fleet, Vehicle string }
		if err := json.Unmarshal(hello, &who); err != nil {
			t.Fatal(err)
		}
		key, registry := Key{who.Fleet, who.Vehicle}, NewRegistry()
		for _, kind := range []Kind{KindHello, KindState, KindBeat} {
			heard := registry.Hear(Subject(key, kind), readRecorded(t, version, string(kind)), time.Now(), false)
			if heard.Outcome != Accepted {
				t.Errorf("%s %s: %s", version, kind, heard.Outcome)
			}
		}
		if answer, needed := AnswerHello(hello, Accepted); needed {
			t.Errorf("%s: fields of its hello are no longer read: %v", version, answer.Unknown)
		}
		vehicles := registry.Vehicles()
		if len(vehicles) != 1 || !vehicles[0].Eligible() || vehicles[0].Hello.Memory != 8<<30 || vehicles[0].Hello.Hardware != "hw4" ||
			BeatInterval(vehicles[0].Hello.BeatSeconds) != time.Second || len(vehicles[0].State.Assignments) != 1 ||
			vehicles[0].State.Assignments[0].Phase != PhaseReady || len(vehicles[0].Hello.Models) != 1 {
			t.Errorf("%s: %+v", version, vehicles)
		}
	}
}

// A state has said a forecast since the first version had it, and older agents of that version say none.
func TestStatesWithAndWithoutAForecastAreUnderstood(t *testing.T) {
	for kind, want := range map[string]Leaving{"state": nil, "state-forecast": {0, 0, 5}} {
		text := readRecorded(t, "v1", kind)
		state, outcome := ReadState(text)
		if outcome != Accepted || !state.Eligible || len(state.Assignments) != 1 || !slices.Equal(state.LeavingWithin, want) {
			t.Errorf("%s: %s, %+v", kind, outcome, state)
		}
		var sent, kept map[string]any
		again, err := json.Marshal(state)
		if err != nil || json.Unmarshal(text, &sent) != nil || json.Unmarshal(again, &kept) != nil || !reflect.DeepEqual(sent, kept) {
			t.Errorf("%s was sent as %v and is read as %v", kind, sent, kept)
		}
	}
	later := append([]byte(`{"leavingBecause":["work"],`), readRecorded(t, "v1", "state-forecast")[1:]...)
	if state, outcome := ReadState(later); outcome != Accepted || !slices.Equal(state.LeavingWithin, Leaving{0, 0, 5}) {
		t.Errorf("a field that is not known yet: %s, %+v", outcome, state)
	}
}

// What an agent of a version reads must be in what carlet says to it, with a value of the same kind.
func TestAgentsOfEveryRecordedVersionFindWhatTheyRead(t *testing.T) {
	desired := NewDesired("cell", Terms{}, []Assignment{{Workload: "n/w", URL: "https://x", Router: "h:1"}})
	supported, _ := AnswerHello([]byte(`{"v":1,"brandNew":1}`), Accepted)
	for _, version := range recordedVersions(t) {
		for kind, said := range map[Kind]any{KindDesired: desired, KindSupported: supported} {
			text, err := json.Marshal(said)
			if err != nil {
				t.Fatal(err)
			}
			var now, before any
			if json.Unmarshal(text, &now) != nil || json.Unmarshal(readRecorded(t, version, string(kind)), &before) != nil {
				t.Fatal("not JSON")
			}
			missing(t, version+" "+string(kind), before, now)
		}
	}
}

// missing reports fields that were said before and are not now. Contracts and prices are the manifest's, not the protocol's.
func missing(t *testing.T, where string, before, now any) {
	t.Helper()
	switch old := before.(type) {
	case map[string]any:
		fields, _ := now.(map[string]any)
		for name, value := range old {
			if name == "contract" || name == "payout" || name == "energyPrice" {
				continue
			}
			if _, said := fields[name]; !said {
				t.Errorf("%s: %s is said no more", where, name)
				continue
			}
			missing(t, where+"."+name, value, fields[name])
		}
	case []any:
		if list, _ := now.([]any); len(list) > 0 && len(old) > 0 {
			missing(t, where+"[]", old[0], list[0])
		}
	default:
		if reflect.TypeOf(before) != reflect.TypeOf(now) {
			t.Errorf("%s was %T and is %T", where, before, now)
		}
	}
}

func TestWhatIsNotUnderstoodIsAnsweredWithWhatIs(t *testing.T) {
	many := `{"v":1,"fleet":"f","vehicle":"v"`
	for _, letter := range strings.Split("abcdefghijklmnopqrstuvwxyz", "") {
		many += `,"` + strings.Repeat(letter, 200) + `":1`
	}
	for text, want := range map[string]*Supported{
		`{"v":1,"fleet":"f","vehicle":"v","hardware":"hw4"}`:      nil,
		`{"v":9,"fleet":"f","vehicle":"v","hardware":["hw4"]}`:    {V: 1, Versions: []int{1}},
		`{"fleet":"f","vehicle":"v"}`:                             {V: 1, Versions: []int{1}},
		`{"v":1,"fleet":"f","vehicle":"v","wings":2,"anchor":{}}`: {V: 1, Versions: []int{1}, Unknown: []string{"anchor", "wings"}},
		`garbage`: nil,
	} {
		_, outcome := ReadHello(Key{"f", "v"}, []byte(text))
		got, needed := AnswerHello([]byte(text), outcome)
		if needed != (want != nil) || needed && !reflect.DeepEqual(got, *want) {
			t.Errorf("%s: %+v", text, got)
		}
	}
	if got, _ := AnswerHello([]byte(many+"}"), Accepted); len(got.Unknown) != maxUnknown || len(got.Unknown[0]) != maxUnknownName {
		t.Errorf("%d names of %d bytes", len(got.Unknown), len(got.Unknown[0]))
	}
}

func TestAnAgentOfAnotherVersionIsToldSo(t *testing.T) {
	keys, options, _ := startServer(t)
	dialEar(t, options)
	conn := vehicleConn(t, keys, options.Port, Key{"f", "v-1"}, func(err error) { t.Error(err) })
	answers, err := conn.SubscribeSync("parkade.v1.f.v-1.supported")
	if err != nil {
		t.Fatal(err)
	}
	for said, want := range map[string]string{
		`{"v":7,"fleet":"f","vehicle":"v-1"}`:           `{"v":1,"versions":[1]}`,
		`{"v":1,"fleet":"f","vehicle":"v-1","wings":2}`: `{"v":1,"versions":[1],"unknown":["wings"]}`,
	} {
		if err := conn.Publish("parkade.v1.f.v-1.hello", []byte(said)); err != nil {
			t.Fatal(err)
		}
		if msg, err := answers.NextMsg(10 * time.Second); err != nil || string(msg.Data) != want {
			t.Errorf("%s: %v %v", said, msg, err)
		}
	}
}
