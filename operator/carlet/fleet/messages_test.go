package fleet

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestSubjects(t *testing.T) {
	key := Key{"owners-ca", "v-7f3a"}
	if subject := Subject(key, KindHello); subject != "parkade.v1.owners-ca.v-7f3a.hello" {
		t.Error(subject)
	}
	for _, kind := range []Kind{KindHello, KindState, KindBeat, KindDesired} {
		if got, k, err := ParseSubject(Subject(key, kind)); err != nil || got != key || k != kind {
			t.Errorf("%s: %v %v %v", kind, got, k, err)
		}
	}
	for _, subject := range []string{"", "parkade", "parkade.v2.f.v.hello", "parkade.v1.f.hello", "parkade.v1.F.v.hello", "parkade.v1.f.*.hello", "parkade.v1.f.v.hello.x", "other.v1.f.v.hello"} {
		if _, _, err := ParseSubject(subject); err == nil {
			t.Errorf("%q was read", subject)
		}
	}
}

func TestWhatIsNotAMessageIsRefusedByKind(t *testing.T) {
	key := Key{"f", "v"}
	for _, c := range []struct {
		text string
		want Outcome
	}{
		{`{"v":1,"fleet":"f","vehicle":"v","hardware":"hw4"}`, Accepted},
		{`{"v":1,"fleet":"f","vehicle":"v","brandNew":[{"x":1}]}`, Accepted},
		{`{"v":2,"fleet":"f","vehicle":"v"}`, UnknownVersion},
		{`{"fleet":"f","vehicle":"v"}`, UnknownVersion},
		{`{"v":1,"fleet":"f","vehicle":"somebody-else"}`, WrongIdentity},
		{`{"v":1,"fleet":"f","vehicle":"v","memory":"much"}`, Garbage},
		{`[1]`, Garbage},
		{`null`, UnknownVersion},
		{"\xff\x00", Garbage},
		{``, Garbage},
		{strings.Repeat("[", 60000), Garbage},
		{strings.Repeat(" ", MaxMessageBytes+1), Oversized},
	} {
		if _, got := ReadHello(key, []byte(c.text)); got != c.want {
			t.Errorf("%.60q: %s, want %s", c.text, got, c.want)
		}
	}
}

func TestContentIsBounded(t *testing.T) {
	models := strings.Repeat(`"d",`, MaxModels) + `"d"`
	hello, outcome := ReadHello(Key{"f", "v"}, []byte(`{"v":1,"fleet":"f","vehicle":"v","memory":-1,"models":[`+models+`]}`))
	if outcome != Accepted || len(hello.Models) != MaxModels || hello.Memory != 0 {
		t.Errorf("%s, %d models, memory %d", outcome, len(hello.Models), hello.Memory)
	}
	long := strings.Repeat("é", 600)
	state, outcome := ReadState([]byte(`{"v":1,"message":"` + long + `","rttMillis":-3,"present":true,"eligible":true,"link":"WiFi","state":"Charging"}`))
	if outcome != Accepted || len(state.Message) > maxText || state.RTTMillis != 0 || !state.Eligible {
		t.Errorf("%s, %d bytes, %f ms, eligible %v", outcome, len(state.Message), state.RTTMillis, state.Eligible)
	}
	state, _ = ReadState([]byte(`{"v":1,"present":true,"eligible":true,"link":"Pigeon","state":"Charging"}`))
	if state.Eligible || state.Reason != "UnknownLinkOrState" {
		t.Errorf("a car on an unknown link counts: %+v", state)
	}
}

func TestBeatIntervalIsBounded(t *testing.T) {
	for seconds, want := range map[float64]time.Duration{0: time.Minute, -5: time.Minute, 60: time.Minute, .2: time.Second, 1.5: 1500 * time.Millisecond, 1e9: time.Hour} {
		if got := BeatInterval(seconds); got != want {
			t.Errorf("%v: %s, want %s", seconds, got, want)
		}
	}
}

func TestRevisionIgnoresURLsAndOrder(t *testing.T) {
	a, b := Assignment{Workload: "n/a", Digest: "1"}, Assignment{Workload: "n/b", Digest: "2"}
	one := NewDesired("c", Terms{}, []Assignment{a, b})
	a.URL = "https://x"
	if two := NewDesired("c", Terms{}, []Assignment{b, a}); two.Revision != one.Revision {
		t.Error("a URL or the order made another revision")
	}
	a.Router = "other:1"
	if three := NewDesired("c", Terms{}, []Assignment{a, b}); three.Revision == one.Revision {
		t.Error("another router made no other revision")
	}
	if other := NewDesired("d", Terms{}, nil); other.Revision == NewDesired("c", Terms{}, nil).Revision || other.Assignments == nil {
		t.Error("the cell is part of the order, and no assignments are an empty list")
	}
}

func TestAForecastThatCannotBeMeantIsNone(t *testing.T) {
	for _, c := range []struct {
		text string
		want Leaving
	}{
		{`[0,5,20]`, Leaving{0, 5, 20}},
		{`[-5,20,10]`, Leaving{0, 20, 20}},
		{`[50,70,900]`, Leaving{50, 70, 100}},
		{`[5,10]`, nil},
		{`[0,0,0,0]`, nil},
		{`null`, nil},
	} {
		state, outcome := ReadState([]byte(`{"v":1,"present":true,"eligible":true,"link":"WiFi","state":"Charging","leavingWithin":` + c.text + `}`))
		if outcome != Accepted || !state.Eligible || !slices.Equal(state.LeavingWithin, c.want) {
			t.Errorf("%s: %s, %v, eligible %v", c.text, outcome, state.LeavingWithin, state.Eligible)
		}
	}
	if state, outcome := ReadState([]byte(`{"v":1,"present":true}`)); outcome != Accepted || state.LeavingWithin != nil {
		t.Errorf("an older agent: %s, %v", outcome, state.LeavingWithin)
	}
}
