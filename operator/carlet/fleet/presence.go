package fleet

import "time"

// Presence of a vehicle, as docs/architecture.md defines it.
type Presence string

// Here: heard within two beat intervals. Silent: beats are missing and nothing says it left. Gone: it said so, or
// it was Silent for longer than linkLoss.keepFor.
const (
	Here   Presence = "Here"
	Silent Presence = "Silent"
	Gone   Presence = "Gone"
)

// beatsMissed is how many intervals may pass before a vehicle is Silent: one lost beat is no news.
const beatsMissed = 2

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
	case silence <= beatsMissed*w.Beat:
		return Here
	case silence <= beatsMissed*w.Beat+keepFor:
		return Silent
	}
	return Gone
}

// NextChange is when the presence of an otherwise quiet vehicle changes next; zero if never.
func NextChange(now time.Time, w Witness, keepFor time.Duration) time.Time {
	switch PresenceAt(now, w, keepFor) {
	case Here:
		return w.LastHeard.Add(beatsMissed * w.Beat)
	case Silent:
		return w.LastHeard.Add(beatsMissed*w.Beat + keepFor)
	}
	return time.Time{}
}

// Resume moves the last sign of life over an interval in which carlet itself could not hear: its own outage must
// not age anybody, and who was Here gets a whole beat interval to be heard again.
func Resume(w Witness, from, to time.Time) time.Time {
	if !to.After(from) {
		return w.LastHeard
	}
	moved := w.LastHeard.Add(to.Sub(from))
	if latest := to.Add(-w.Beat); PresenceAt(from, w, 0) == Here && moved.Before(latest) {
		return latest
	}
	if moved.After(to) {
		return to
	}
	return moved
}
