package fleet

import "time"

// Source is a witness of where a car is, beside its own agent.
type Source int

// The witnesses.
const (
	Maker   Source = iota // the telemetry that the car sends to its maker
	Charger               // the session at the charger
	sources
)

func (s Source) evidence() Evidence { return [sources]Evidence{ByMaker, ByCharger}[s] }

// String is the token of the source in subjects and the label of metrics.
func (s Source) String() string { return [sources]string{"maker", "charger"}[s] }

// ParseSource is the inverse of String.
func ParseSource(text string) (Source, bool) {
	for source := range sources {
		if source.String() == text {
			return source, true
		}
	}
	return 0, false
}

// Claim is what one message of a witness says of where the car is.
type Claim string

// What witnesses can claim. Nothing is a message about other things: the temperature of a battery, a session that
// begins before the car came.
const (
	Nothing   Claim = ""
	PluggedIn Claim = "PluggedIn" // a cable holds it where it is
	Unplugged Claim = "Unplugged" // it may leave, and may as well stand there
	Departed  Claim = "Departed"  // it moves, or its cable was drawn at the charger
)

// Sighting is a claim about one vehicle at a time.
type Sighting struct {
	Source Source
	Claim  Claim
	At     time.Time
}

// Account is what is remembered of one witness about one vehicle: its newest claim, and the newest run of claims that
// the vehicle has departed, from its first to its last.
type Account struct {
	Claim               Claim
	At                  time.Time
	LeftSince, LeftLast time.Time
}

// Others are the accounts of the witnesses, by Source. They are never changed in place.
type Others [sources]Account

// With adds a sighting; false if it says nothing, or is older than what its witness said last.
func (o *Others) With(seen Sighting) (*Others, bool) {
	next := Others{}
	if o != nil {
		next = *o
	}
	account := &next[seen.Source]
	if seen.Claim == Nothing || seen.At.Before(account.At) {
		return o, false
	}
	if seen.Claim == Departed {
		if account.Claim != Departed {
			account.LeftSince = seen.At
		}
		account.LeftLast = seen.At
	}
	account.Claim, account.At = seen.Claim, seen.At
	return &next, true
}

// moved shifts all times, to no later than an instant.
func (o *Others) moved(by time.Duration, latest time.Time) *Others {
	if o == nil {
		return nil
	}
	next := *o
	for i := range next {
		for _, at := range []*time.Time{&next[i].At, &next[i].LeftSince, &next[i].LeftLast} {
			if at.IsZero() {
				continue
			}
			if *at = at.Add(by); at.After(latest) {
				*at = latest
			}
		}
	}
	return &next
}

// Witnessed takes in what a witness says of a vehicle, said at an instant; an earlier time of the sighting itself is
// believed, a later one is another machine's clock. Vehicles that never dialled in are not remembered.
func (r *Registry) Witnessed(key Key, seen Sighting, now time.Time) (outcome Outcome, changed bool) {
	if seen.At.IsZero() || seen.At.After(now) {
		seen.At = now
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	v := r.vehicles[key]
	switch {
	case v == nil:
		return UnknownVehicle, false
	case r.revoked[key]:
		return FromRevoked, false
	case seen.Claim == Nothing:
		return SaysNothing, false
	}
	before := Judge(now, v.Testimony(), 0)
	others, news := v.Others.With(seen)
	if !news {
		return Outdated, false
	}
	r.private(v)
	v.Others = others
	after := Judge(now, v.Testimony(), 0)
	return Accepted, before.Presence != after.Presence || before.By != after.By
}

// Knows says whether a vehicle has spoken.
func (r *Registry) Knows(key Key) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.vehicles[key] != nil
}

// WitnessSubjects begin the subjects of witnesses: <fleet>.<source>.<car or charging station>.<form>. Those of vehicles begin
// otherwise, so that neither can speak as the other.
const WitnessSubjects = "parkade.witness.v1."
