package drive

import (
	"testing"
	"time"
)

func TestTheTracesAreThoseOfRealCarsAndLinks(t *testing.T) {
	found, err := readTraces()
	if err != nil {
		t.Fatal(err)
	}
	if len(found.stays) < 1000 || len(found.links["Cellular"].outages) < 10 {
		t.Fatalf("%d sessions, %d outages", len(found.stays), len(found.links["Cellular"].outages))
	}
	for link, trace := range found.links {
		for _, o := range trace.outages {
			if o.length < time.Second || o.start < 0 || o.start+o.length > trace.length() {
				t.Errorf("%s: outage %+v in a trace of %s", link, o, trace.length())
			}
		}
		if rtt := trace.rttAt(0); rtt < 5*time.Millisecond || rtt > time.Second {
			t.Errorf("%s: a round trip of %s", link, rtt)
		}
	}
}

func TestAWeekOfStays(t *testing.T) {
	stays := []stay{{arrival: 9 * time.Hour, length: 8 * time.Hour, charging: 2 * time.Hour}, {arrival: week - time.Hour, length: 3 * time.Hour}}
	for _, c := range []struct {
		place             time.Duration
		plugged, charging bool
		until             time.Duration
	}{
		{8 * time.Hour, false, false, time.Hour},
		{10 * time.Hour, true, true, time.Hour},
		{12 * time.Hour, true, false, 5 * time.Hour},
		{time.Hour, true, false, time.Hour}, // over the end of the week
	} {
		plugged, charging, until := standing(stays, c.place)
		if plugged != c.plugged || charging != c.charging || until != c.until {
			t.Errorf("at %s: %t %t %s", c.place, plugged, charging, until)
		}
	}
}

func TestOutagesComeInTheOrderOfTheTrace(t *testing.T) {
	trace := &linkTrace{}
	for i := range 6 {
		lost := time.Duration(0)
		if i == 2 || i == 3 {
			lost = 10 * time.Second
		}
		trace.add(20, lost)
	}
	if len(trace.outages) != 1 || trace.outages[0] != (outage{20 * time.Second, 20 * time.Second}) {
		t.Fatalf("%+v", trace.outages)
	}
	if _, wait, _ := trace.next(5 * time.Second); wait != 15*time.Second {
		t.Errorf("waits %s", wait)
	}
	if _, wait, _ := trace.next(30 * time.Second); wait != 50*time.Second {
		t.Errorf("waits %s over the end of the trace", wait)
	}
}

func TestAScriptIsChecked(t *testing.T) {
	commands, err := ReadScript([]byte("- {at: 5, do: vanish, fraction: 0.1}\n- {at: 1, do: lose, for: 3, jitter: 0}\n"))
	if err != nil || len(commands) != 2 || commands[0].Do != "lose" {
		t.Errorf("%+v %v", commands, err)
	}
	for _, bad := range []string{"- {do: lose, fraction: 2}", "- {do: lost}", "- {do: lose, until: 3}", "- {do: lose, stretch: 3}", "- {do: lose, stretch: 3, least: 5, most: 4}"} {
		if _, err := ReadScript([]byte(bad)); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}
