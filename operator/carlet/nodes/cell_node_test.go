package nodes

import (
	"testing"
	"time"

	"parkade.dev/carlet/fleet"
)

func TestNumbersOfVehiclesWaitWhereAConditionOfANodeDoesNot(t *testing.T) {
	cell, now := cellIdentity{Cell: fleet.Cell{Name: "home-0", Pool: "home"}}, time.Now()
	node := func(here int) fleet.CellFacts {
		return fleet.CellFacts{Counts: fleet.Counts{Registered: 5, Here: here, Gone: 5 - here}}
	}
	before := nodeFor(cell, node(4), Address{}, now, now)
	if got := pauseBefore(before, nodeFor(cell, node(3), Address{}, now, now)); got != countsPause {
		t.Errorf("a car fewer is written after %s", got)
	}
	if got := pauseBefore(before, nodeFor(cell, node(0), Address{}, now, now)); got != updatePause {
		t.Errorf("that nobody is here is written after %s", got)
	}
	if got := pauseBefore(nil, before); got != updatePause {
		t.Errorf("the first change is written after %s", got)
	}
}
