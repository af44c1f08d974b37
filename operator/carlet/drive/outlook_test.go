package drive

import (
	"math"
	"testing"
	"time"

	"parkade.dev/carlet/fleet"
)

// TestForecastsAreCalibratedOnTheSessionsThatTheyAreNotMadeOf looks at each session each half hour, as if it went on.
func TestForecastsAreCalibratedOnTheSessionsThatTheyAreNotMadeOf(t *testing.T) {
	found, err := readTraces()
	if err != nil {
		t.Fatal(err)
	}
	var said, left, errors, base [fleet.Horizons]float64
	looks := 0.0
	each := func(see func(shares, happened [fleet.Horizons]float64)) {
		for n := 0; n < len(found.stays); n += 7 {
			s := found.stays[n]
			for elapsed := 10 * time.Minute; elapsed < s.length; elapsed += 30 * time.Minute {
				shares, known := found.leavingWithin(s, elapsed, 1)
				if !known {
					continue
				}
				var happened [fleet.Horizons]float64
				for i, horizon := range horizons {
					if s.length-elapsed <= horizon {
						happened[i] = 1
					}
				}
				see(shares, happened)
			}
		}
	}
	each(func(shares, happened [fleet.Horizons]float64) {
		looks++
		for i := range shares {
			said[i] += shares[i]
			left[i] += happened[i]
			errors[i] += math.Pow(shares[i]-happened[i], 2)
		}
	})
	for i := range horizons {
		rate := left[i] / looks
		base[i] = looks * rate * (1 - rate) // the Brier score of who always says the rate
		t.Logf("%s: %.0f looks, %.3f said, %.3f left, Brier %.4f of %.4f", horizons[i], looks, said[i]/looks, rate, errors[i]/looks, base[i]/looks)
		if math.Abs(said[i]-left[i])/looks > 0.02 {
			t.Errorf("within %s %.3f were said to leave, and %.3f did", horizons[i], said[i]/looks, rate)
		}
	}
	if last := fleet.Horizons - 1; errors[last] > 0.95*base[last] {
		t.Errorf("within an hour it foresees no better than the mean: %.4f and %.4f", errors[last]/looks, base[last]/looks)
	}
}

func TestAForecastCountsAlikeSessionsAtTheSpeedOfTheirPlay(t *testing.T) {
	nine := 33 * time.Hour // Tuesday
	found := &traces{stays: []stay{{arrival: 2 * time.Hour, length: 30 * time.Hour}}}
	for i := range enoughLike {
		found.stays = append(found.stays, stay{arrival: nine + time.Duration(i)*time.Minute, length: 4*time.Hour + time.Duration(2*i+1)*time.Minute})
	}
	present := stay{arrival: nine + 10*time.Minute, length: 8 * time.Hour}
	for _, c := range []struct {
		elapsed time.Duration
		speed   float64
		want    [fleet.Horizons]float64
		known   bool
	}{
		{4 * time.Hour, 1, [fleet.Horizons]float64{3. / 30, 8. / 30, 1}, true},                      // by 5, 15 and 60 minutes more
		{4 * time.Hour, 3, [fleet.Horizons]float64{8. / 30, 23. / 30, 1}, true},                     // 15, 45 and 180 of the sessions
		{4*time.Hour + 2*time.Minute, 1, [fleet.Horizons]float64{3. / 30, 8. / 30, 29. / 30}, true}, // too few alike: all
		{6 * time.Hour, 1, [fleet.Horizons]float64{}, true},                                         // the long one
		{31 * time.Hour, 1, [fleet.Horizons]float64{}, false},
	} {
		if got, known := found.leavingWithin(present, c.elapsed, c.speed); got != c.want || known != c.known {
			t.Errorf("after %s at %g: %v %t", c.elapsed, c.speed, got, known)
		}
	}
	without, _ := found.leavingWithin(found.stays[1], 4*time.Hour, 1)
	if without[0] != 2./30 {
		t.Errorf("a session foresees its own end: %v", without)
	}
}

func TestTheRoundingOfManyForecastsIsRight(t *testing.T) {
	total := 0.0
	for i := range 100 {
		total += float64(coarse(0.072, (float64(i)+0.5)/100))
	}
	if math.Abs(total/100-7.2) > 0.1 || coarse(1, 0.99) != 100 || coarse(0, 0.99) != 0 {
		t.Errorf("7.2 %% is said as %g", total/100)
	}
}
