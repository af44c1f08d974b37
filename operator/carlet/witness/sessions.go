package witness

import (
	"time"

	"parkade.dev/carlet/fleet"
)

// sessionLife is how long a session without an event is remembered: cars stand at a plug for a weekend.
const sessionLife = 72 * time.Hour

// sessionID names a session at a charging station of a fleet.
type sessionID struct{ fleet, station, transaction string }

// session is whose it is and what was claimed last: most events name neither the car nor its state.
type session struct {
	vehicle fleet.Key
	guest   bool // of a token that no vehicle of the fleet has
	claim   fleet.Claim
	at      time.Time // when it was heard of last
}

// sessions are those that go on. They are in memory alone: after a restart, a session whose events do not name its car
// is nobody's until the next one begins.
type sessions map[sessionID]session

// keep remembers a session that goes on and forgets one that ended.
func (s sessions) keep(id sessionID, kept session, ended bool) {
	if ended {
		delete(s, id)
		return
	}
	if _, known := s[id]; !known && len(s) >= fleet.MaxVehicles {
		for other, old := range s {
			if kept.at.Sub(old.at) > sessionLife {
				delete(s, other)
			}
		}
		if len(s) >= fleet.MaxVehicles {
			return
		}
	}
	s[id] = kept
}
