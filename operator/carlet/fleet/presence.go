package fleet

import "time"

// Presence of a vehicle, as docs/architecture.md defines it.
type Presence string

// Here: a beat is not overdue. Silent: beats are missing and nothing says it left. Gone: it said so, a
// witness says so, or it was Silent for too long.
const (
	Here   Presence = "Here"
	Silent Presence = "Silent"
	Gone   Presence = "Gone"
)

// Evidence is on whose word a presence rests; a label of metrics.
type Evidence string

// Evidence of a presence. Of a Silent vehicle ByMaker and ByCharger say that the witness has seen it plugged in since it
// fell silent, of a Gone one that it was seen leaving.
const (
	ByHeartbeat    Evidence = "Heartbeat"    // Here: its own beats
	ByMaker        Evidence = "Maker"        // Silent, Gone: the maker's telemetry
	ByCharger      Evidence = "Charger"      // Silent, Gone: the charger's session
	ByNobody       Evidence = "Nobody"       // Silent, Gone: nobody has seen it since
	ByAnnouncement Evidence = "Announcement" // Gone: its own word
	ByRevocation   Evidence = "Revocation"   // Gone: its right to speak ended
)

// Standing is a presence and on whose word it rests.
type Standing struct {
	Presence Presence
	By       Evidence
}

// Verdict is a standing, and when the word that it rests on was said.
type Verdict struct {
	Standing
	At time.Time
}

func verdict(presence Presence, by Evidence, at time.Time) Verdict {
	return Verdict{Standing{presence, by}, at}
}

// lateness is what a beat may be late before its vehicle is Silent: half of it is the jitter of a beat each minute, and
// the rest is for a car that has to dial anew.
const lateness = 12 * time.Second

// silentAfter is how long a vehicle may say nothing. Where beats are quicker, one of them may be lost.
func silentAfter(beat time.Duration) time.Duration { return min(2*beat, beat+lateness) }

// forgottenAfter bounds how long a vehicle that never said goodbye is believed in across restarts of carlet.
// Credentials live a day, so a living vehicle has connected, and said hello, within it.
const forgottenAfter = 25 * time.Hour

// WitnessedFor bounds how long witnesses alone keep a vehicle Silent after its last word, unless keepFor is longer: links
// that are lost for 20 minutes come back within it, and a witness that errs, or lies, holds no replica for longer.
const WitnessedFor = 30 * time.Minute

// agreement is how much older than the car's last word a witness's word of its departure may be and still count: clocks
// differ, and a beat may be on its way while the cable is drawn.
const agreement = lateness

// Testimony is all that presence is decided from.
type Testimony struct {
	LastHeard time.Time
	Beat      time.Duration
	Left      bool // its own announcement: leaving, or not present
	Revoked   bool // it may not speak any more
	Others    *Others
}

// PresenceAt is the presence of a vehicle at an instant.
func PresenceAt(now time.Time, t Testimony, keepFor time.Duration) Presence {
	return Judge(now, t, keepFor).Presence
}

// Judge weighs what the vehicle said against what others saw. Only its own word makes a vehicle Here, and only that undoes a
// departure. A witness that saw it leave makes it Gone at once; one that has seen it plugged in since its last word
// keeps it Silent for keepFor from then, within WitnessedFor.
func Judge(now time.Time, t Testimony, keepFor time.Duration) Verdict {
	switch {
	case t.Revoked:
		return verdict(Gone, ByRevocation, t.LastHeard)
	case t.Left:
		return verdict(Gone, ByAnnouncement, t.LastHeard)
	}
	patience := silentAfter(t.Beat)
	silence := now.Sub(t.LastHeard)
	if by, at, saw := t.sawLeave(silence > patience); saw {
		return verdict(Gone, by, at)
	}
	if silence <= patience {
		return verdict(Here, ByHeartbeat, t.LastHeard)
	}
	by, seen := t.seenSince()
	vouched := by != ByNobody && now.Sub(seen) <= keepFor && silence <= patience+max(keepFor, WitnessedFor)
	switch {
	case vouched:
		return verdict(Silent, by, seen)
	case silence <= patience+keepFor:
		return verdict(Silent, ByNobody, t.LastHeard)
	}
	return verdict(Gone, ByNobody, t.LastHeard)
}

// sawLeave is the newest word that the vehicle left, if that is not contradicted by a later word of the vehicle. Whose beats
// are not overdue is believed against a witness that merely repeats itself.
func (t *Testimony) sawLeave(overdue bool) (by Evidence, at time.Time, saw bool) {
	if t.Others == nil {
		return "", time.Time{}, false
	}
	for source, account := range t.Others {
		left := account.LeftSince
		if overdue {
			left = account.LeftLast
		}
		if !left.IsZero() && !left.Add(agreement).Before(t.LastHeard) && (!saw || left.After(at)) {
			by, at, saw = Source(source).evidence(), left, true
		}
	}
	return by, at, saw
}

// seenSince is who saw the vehicle plugged in last, after its own last word.
func (t *Testimony) seenSince() (by Evidence, at time.Time) {
	by, at = ByNobody, t.LastHeard
	if t.Others == nil {
		return by, at
	}
	for source, account := range t.Others {
		if account.Claim == PluggedIn && account.At.After(at) {
			by, at = Source(source).evidence(), account.At
		}
	}
	return by, at
}

// Resume moves the last sign of life over an interval in which carlet itself could not hear: its own outage must
// not age anybody, and who was Here has as much time to be heard again as after a beat. What witnesses saw moves along,
// so that it stays as old or new beside the car's own word as it was.
func Resume(t Testimony, from, to time.Time) (time.Time, *Others) {
	if !to.After(from) {
		return t.LastHeard, t.Others
	}
	heard := t.LastHeard.Add(to.Sub(from))
	if PresenceAt(from, t, 0) == Here || heard.After(to) {
		heard = to
	}
	return heard, t.Others.moved(to.Sub(from), to)
}
