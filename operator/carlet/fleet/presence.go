package fleet

import "time"

// Presence of a vehicle, as docs/architecture.md defines it.
type Presence string

// Here: a beat is not overdue. Silent: beats are missing and nothing says it left. Gone: it said so, or
// it was Silent for longer than linkLoss.keepFor.
const (
	Here   Presence = "Here"
	Silent Presence = "Silent"
	Gone   Presence = "Gone"
)

// lateness is what a beat may be late before its vehicle is Silent: half of it is the jitter of a beat each minute, and
// the rest is for a car that has to dial anew.
const lateness = 12 * time.Second

// silentAfter is how long a vehicle may say nothing. Where beats are quicker, one of them may be lost.
func silentAfter(beat time.Duration) time.Duration { return min(2*beat, beat+lateness) }

// forgottenAfter bounds how long a vehicle that never said goodbye is believed in across restarts of carlet.
// Credentials live a day, so a living vehicle has connected, and said hello, within it.
const forgottenAfter = 25 * time.Hour

// Witness is what presence is decided from.
type Witness struct {
	LastHeard time.Time
	Beat      time.Duration
	Left      bool // its own announcement: leaving, or not present
}

// PresenceAt decides the presence of a vehicle at an instant.
func PresenceAt(now time.Time, w Witness, keepFor time.Duration) Presence {
	if w.Left {
		return Gone
	}
	silence := now.Sub(w.LastHeard)
	switch {
	case silence <= silentAfter(w.Beat):
		return Here
	case silence <= silentAfter(w.Beat)+keepFor:
		return Silent
	}
	return Gone
}

// NextChange is when the presence of an otherwise quiet vehicle changes next; zero if never.
func NextChange(now time.Time, w Witness, keepFor time.Duration) time.Time {
	switch PresenceAt(now, w, keepFor) {
	case Here:
		return w.LastHeard.Add(silentAfter(w.Beat))
	case Silent:
		return w.LastHeard.Add(silentAfter(w.Beat) + keepFor)
	}
	return time.Time{}
}

// Resume moves the last sign of life over an interval in which carlet itself could not hear: its own outage must
// not age anybody, and who was Here has as much time to be heard again as after a beat.
func Resume(w Witness, from, to time.Time) time.Time {
	if !to.After(from) {
		return w.LastHeard
	}
	moved := w.LastHeard.Add(to.Sub(from))
	if PresenceAt(from, w, 0) == Here || moved.After(to) {
		return to
	}
	return moved
}
