package nodes

import (
	"testing"
	"time"
)

func TestALinkThatReturnsIsReadOnBeforeItCounts(t *testing.T) {
	var down time.Duration
	began := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	r := &reach{lostFor: func(time.Time) time.Duration { return down }}
	for _, look := range []struct {
		after, down time.Duration
		reaches     bool
	}{
		{0, 0, true},
		{time.Second, time.Second, true}, // a server that restarts
		{2 * time.Second, 0, true},
		{10 * time.Second, linkPatience - 1, true},
		{11 * time.Second, linkPatience, false},
		{12 * time.Second, 0, false},
		{13 * time.Second, time.Second, false}, // lost again while it was read
		{14 * time.Second, 0, false},
		{14*time.Second + linkCatchUp - 1, 0, false},
		{14*time.Second + linkCatchUp, 0, true},
		{20 * time.Second, time.Second, true},
	} {
		down = look.down
		if got := r.vehicles(began.Add(look.after)); got != look.reaches {
			t.Errorf("after %s, down for %s: %t", look.after, look.down, got)
		}
	}
}
