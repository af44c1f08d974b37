package fleet

import (
	"testing"
	"time"
)

var noon = time.Date(2026, 8, 18, 12, 0, 0, 0, time.UTC)

func TestPresenceFollowsTheLastSignOfLife(t *testing.T) {
	const keepFor = 5 * time.Minute
	for _, c := range []struct {
		name    string
		silence time.Duration
		left    bool
		want    Presence
	}{
		{"just heard", 0, false, Here},
		{"a late beat", 71 * time.Second, false, Here},
		{"exactly as late as it may be", 72 * time.Second, false, Here},
		{"overdue", 72*time.Second + time.Nanosecond, false, Silent},
		{"kept to the last", 372 * time.Second, false, Silent},
		{"keepFor is over", 372*time.Second + time.Nanosecond, false, Gone},
		{"said goodbye", 0, true, Gone},
	} {
		w := Testimony{LastHeard: noon.Add(-c.silence), Beat: time.Minute, Left: c.left}
		if got := PresenceAt(noon, w, keepFor); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestOwnOutageAgesNobody(t *testing.T) {
	const outage = time.Hour
	lost, back := noon, noon.Add(outage)
	for _, c := range []struct {
		name    string
		silence time.Duration // when the link was lost
		at      time.Duration // after it came back
		want    Presence
	}{
		{"Here stays Here", 10 * time.Second, 0, Here},
		{"Here has as long as after a beat", 71 * time.Second, 72 * time.Second, Here},
		{"and is Silent after it", 71 * time.Second, 73 * time.Second, Silent},
		{"Silent stays Silent", 3 * time.Minute, 0, Silent},
		{"Silent does not become Here", 3 * time.Minute, time.Minute, Silent},
		{"Gone stays Gone", 8 * time.Minute, 0, Gone},
	} {
		w := Testimony{LastHeard: lost.Add(-c.silence), Beat: time.Minute}
		w.LastHeard, _ = Resume(w, lost, back)
		if w.LastHeard.After(back) {
			t.Errorf("%s: heard in the future", c.name)
		}
		if got := PresenceAt(back.Add(c.at), w, 5*time.Minute); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}
