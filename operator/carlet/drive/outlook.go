package drive

import (
	"math/rand/v2"
	"time"

	"parkade.dev/carlet/fleet"
)

const (
	// lookEvery is how often a vehicle looks ahead; operator/parkade/vehicle/dwelling.py.
	lookEvery = time.Minute
	// likeArrival is how far apart two arrivals in the day may be to be alike.
	likeArrival = time.Hour
	// enoughLike is how many alike sessions make a forecast; with fewer, all sessions that lasted as long do.
	enoughLike = 30
)

// horizons are the times by which a forecast says that a car leaves.
var horizons = [fleet.Horizons]time.Duration{5 * time.Minute, 15 * time.Minute, time.Hour}

// outlook is what a vehicle foresees of its stay.
type outlook struct {
	at     moment  // when it looks again
	dither float64 // drawn for each stay, as the agent does
	known  bool
	said   [fleet.Horizons]uint8 // percent
}

// foresee looks ahead in the stay that goes on.
func (v *vehicle) foresee(now moment) {
	v.outlook.at = never
	before := v.outlook
	v.outlook.known = false
	if s, elapsed, plugged := current(v.stays, v.inWeek(now)); plugged && !v.unplugged {
		v.outlook.at = now + lookEvery
		var shares [fleet.Horizons]float64
		shares, v.outlook.known = v.driver.traces.leavingWithin(s, elapsed, v.driver.options.Speed)
		for i, share := range shares {
			v.outlook.said[i] = coarse(share, v.outlook.dither)
		}
	}
	if v.outlook.known != before.known || v.outlook.said != before.said {
		v.news(now)
	}
}

// newStay lets the vehicle look ahead at once.
func (v *vehicle) newStay(now moment) { v.outlook = outlook{at: now, dither: rand.Float64()} }

// leaving is the forecast as a state says it; nil for none.
func (o *outlook) leaving() fleet.Leaving {
	if !o.known {
		return nil
	}
	forecast := make(fleet.Leaving, 0, fleet.Horizons)
	for _, percent := range o.said {
		forecast = append(forecast, float64(percent))
	}
	return forecast
}

// coarse is a share in percent, in steps of fleet.LeavingStep; whether a share between two steps takes the upper one is the
// dither's choice, so that the mean over many vehicles has no error of rounding.
func coarse(share, dither float64) uint8 {
	return uint8(min(100, fleet.LeavingStep*int(100*share/fleet.LeavingStep+dither)))
}

// current is the session that goes on at a time of the week, and since when.
func current(stays []stay, place time.Duration) (stay, time.Duration, bool) {
	for _, s := range stays {
		if since := (place - s.arrival + week) % week; since < s.length {
			return s, since, true
		}
	}
	return stay{}, 0, false
}

// leavingWithin counts what the other sessions of the data did: of those that began at a like time of a like day and lasted
// as long, the share that ended within each horizon. A vehicle has no history of its own, as its sessions are drawn from
// those of many drivers. A horizon is wall-clock time, in which so much more of a session passes as it is played faster.
func (t *traces) leavingWithin(present stay, elapsed time.Duration, speed float64) (shares [fleet.Horizons]float64, known bool) {
	for _, alike := range []func(stay) bool{present.alike, func(stay) bool { return true }} {
		var left [fleet.Horizons]float64
		staying := 0.0
		for _, s := range t.stays {
			if s == present || s.length <= elapsed || !alike(s) {
				continue
			}
			staying++
			for i, horizon := range horizons {
				if s.length-elapsed <= time.Duration(float64(horizon)*speed) {
					left[i]++
				}
			}
		}
		for i := range left {
			shares[i] = left[i] / max(staying, 1)
		}
		if known = staying > 0; staying >= enoughLike {
			break
		}
	}
	return shares, known
}

// alike says whether both sessions began on a workday, or both on a weekend, at about the same time of the day.
func (s stay) alike(other stay) bool {
	const day = 24 * time.Hour
	apart := (s.arrival - other.arrival + week) % day
	return min(apart, day-apart) <= likeArrival && (s.arrival >= 5*day) == (other.arrival >= 5*day)
}
