package witness

import (
	"encoding/json"
	"time"

	"parkade.dev/carlet/fleet"
)

// fastest is the speed, in km/h, up to which a standing car may seem to move.
const fastest = 3.0

// kmPerMile converts the miles of makers that send them.
const kmPerMile = 1.609344

// answer is a signal that may not have been said.
type answer int

const (
	unsaid answer = iota
	yes
	no
)

func answered(is bool) answer {
	if is {
		return yes
	}
	return no
}

// signals are what one message says of a car, in whatever words of its maker.
type signals struct {
	cable    answer // connected
	charging answer
	moving   bool // in a gear to drive, or faster than fastest
	ignition bool // on
}

// claim weighs them. A car that moves with its cable in is an error of one of the two, and says nothing; one whose
// ignition is on may be heated at its plug.
func (s signals) claim() fleet.Claim {
	cable := s.cable
	if cable == unsaid && s.charging == yes {
		cable = yes
	}
	switch {
	case s.moving && cable == yes:
		return fleet.Nothing
	case s.moving, s.ignition && cable == no:
		return fleet.Departed
	case cable == yes:
		return fleet.PluggedIn
	case cable == no:
		return fleet.Unplugged
	}
	return fleet.Nothing
}

// instant reads a time as RFC 3339, or without a zone, which libraries write of UTC.
type instant struct{ time.Time }

func (i *instant) UnmarshalJSON(text []byte) error {
	var said string
	if err := json.Unmarshal(text, &said); err != nil {
		return err
	}
	at, err := time.Parse(time.RFC3339, said)
	if err != nil {
		at, err = time.Parse("2006-01-02T15:04:05", said)
	}
	i.Time = at
	return err
}
