package fleet

import (
	"math/rand/v2"
	"testing"
	"time"
)

const keepFive = 5 * time.Minute

// saw makes accounts of sightings, each said so long before noon.
func saw(sightings ...Sighting) *Others {
	var others *Others
	for _, seen := range sightings {
		others, _ = others.With(seen)
	}
	return others
}

func ago(source Source, claim Claim, before time.Duration) Sighting {
	return Sighting{source, claim, noon.Add(-before)}
}

func TestWitnessesBesideTheCarsOwnWord(t *testing.T) {
	const second, minute = time.Second, time.Minute
	for _, c := range []struct {
		name    string
		silence time.Duration
		others  *Others
		want    Standing
	}{
		{"nobody but itself", 0, saw(), Standing{Here, ByHeartbeat}},
		{"seen plugged in adds nothing to a beat", 0, saw(ago(Charger, PluggedIn, 0)), Standing{Here, ByHeartbeat}},
		{"seen plugged in, it is no less silent", 2 * minute, saw(ago(Charger, PluggedIn, 0)), Standing{Silent, ByCharger}},
		{"what was seen before its last word says nothing of the silence", 2 * minute, saw(ago(Charger, PluggedIn, 3*minute)), Standing{Silent, ByNobody}},
		{"its charger sees it beyond keepFor", 20 * minute, saw(ago(Charger, PluggedIn, 4*minute)), Standing{Silent, ByCharger}},
		{"so does its maker", 20 * minute, saw(ago(Maker, PluggedIn, 4*minute)), Standing{Silent, ByMaker}},
		{"the newer of both is shown", 20 * minute, saw(ago(Maker, PluggedIn, 4*minute), ago(Charger, PluggedIn, minute)), Standing{Silent, ByCharger}},
		{"exactly keepFor after it was seen", 20 * minute, saw(ago(Charger, PluggedIn, keepFive)), Standing{Silent, ByCharger}},
		{"nobody has seen it for keepFor", 20 * minute, saw(ago(Charger, PluggedIn, keepFive+1)), Standing{Gone, ByNobody}},
		{"nobody is silent for ever", 72*second + WitnessedFor + 1, saw(ago(Charger, PluggedIn, 0)), Standing{Gone, ByNobody}},
		{"the cable was drawn, and it may stand there", 2 * minute, saw(ago(Maker, PluggedIn, 50*second), ago(Maker, Unplugged, 40*second)), Standing{Silent, ByNobody}},
		{"and then only its own keepFor counts", 7 * minute, saw(ago(Maker, PluggedIn, 50*second), ago(Maker, Unplugged, 40*second)), Standing{Gone, ByNobody}},
		{"one unplugs, the other sees it", 7 * minute, saw(ago(Maker, Unplugged, 40*second), ago(Charger, PluggedIn, 40*second)), Standing{Silent, ByCharger}},
		{"seen leaving after its last word", 30 * second, saw(ago(Charger, Departed, 20*second)), Standing{Gone, ByCharger}},
		{"seen leaving while a beat was on its way", 0, saw(ago(Maker, Departed, agreement)), Standing{Gone, ByMaker}},
		{"it spoke after it was seen leaving", 0, saw(ago(Maker, Departed, agreement+1)), Standing{Here, ByHeartbeat}},
		{"it speaks on while a witness repeats itself", 10 * second, saw(ago(Maker, Departed, minute), ago(Maker, Departed, 0)), Standing{Here, ByHeartbeat}},
		{"it fell silent, and the witness had gone on", 2 * minute, saw(ago(Maker, Departed, 10*minute), ago(Maker, Departed, minute)), Standing{Gone, ByMaker}},
		{"left, came back, leaves again", 20 * second, saw(ago(Maker, Departed, time.Hour), ago(Maker, PluggedIn, minute), ago(Maker, Departed, second)), Standing{Gone, ByMaker}},
		{"plugged in elsewhere, it must speak itself", 2 * minute, saw(ago(Maker, Departed, minute), ago(Maker, PluggedIn, 0)), Standing{Gone, ByMaker}},
		{"a charger that sees another car does not undo it", 2 * minute, saw(ago(Maker, Departed, minute), ago(Charger, PluggedIn, 0)), Standing{Gone, ByMaker}},
	} {
		w := Testimony{LastHeard: noon.Add(-c.silence), Beat: time.Minute, Others: c.others}
		if got := Judge(noon, w, keepFive); got.Standing != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
		w.Left = true
		if got := Judge(noon, w, keepFive).Standing; got != (Standing{Gone, ByAnnouncement}) {
			t.Errorf("%s, and it said goodbye: %+v", c.name, got)
		}
		w.Revoked = true
		if got := Judge(noon, w, keepFive).Standing; got != (Standing{Gone, ByRevocation}) {
			t.Errorf("%s, and it is revoked: %+v", c.name, got)
		}
	}
}

// TestLawsOfWitnesses plays random histories of a car and its witnesses, some of which err or lie.
func TestLawsOfWitnesses(t *testing.T) {
	random := rand.New(rand.NewPCG(6, 2))
	claims := []Claim{PluggedIn, PluggedIn, PluggedIn, Unplugged, Departed, Nothing}
	verdicts := map[Standing]int{}
	for range 2_000 {
		now := noon
		w := Testimony{LastHeard: now, Beat: time.Minute}
		vouchedAt, accused := time.Time{}, false
		honest := random.IntN(2) == 0 // no witness speaks of a departure
		for range 60 {
			now = now.Add(time.Duration(random.IntN(90_000)) * time.Millisecond)
			switch random.IntN(6) {
			case 0:
				w.LastHeard, w.Left = now, false
			case 1:
				if random.IntN(10) == 0 {
					w.LastHeard, w.Left = now, true
				}
			default:
				seen := Sighting{Source(random.IntN(int(sources))), claims[random.IntN(len(claims))], now.Add(-time.Duration(random.IntN(100)) * time.Second)}
				if honest && seen.Claim == Departed {
					continue
				}
				before := w.Others
				w.Others, _ = w.Others.With(seen)
				if seen.Claim == PluggedIn && before != w.Others && seen.At.After(vouchedAt) {
					vouchedAt = seen.At
				}
				accused = accused || seen.Claim == Departed
			}
			alone := w
			alone.Others = nil
			with, without := Judge(now, w, keepFive), Judge(now, alone, keepFive)
			verdicts[with.Standing]++
			silence := now.Sub(w.LastHeard)
			switch {
			case with.Presence == Here && without.Presence != Here:
				t.Fatalf("a witness makes a car Here that does not answer: %+v", w)
			case without.By == ByAnnouncement && with.Standing != without.Standing:
				t.Fatalf("a witness undoes the car's own goodbye: %+v", w)
			case !accused && without.Presence == Here && with.Presence != Here:
				t.Fatalf("a car that answers is not Here, though nobody saw it leave: %+v", w)
			case !accused && without.Presence == Silent && with.Presence != Silent:
				t.Fatalf("a car is Gone before keepFor is over, though nobody saw it leave: %+v", w)
			case with.Presence == Silent && silence > silentAfter(w.Beat)+WitnessedFor:
				t.Fatalf("a car is Silent for %s: %+v", silence, w)
			case with.Presence == Silent && without.Presence == Gone && now.Sub(vouchedAt) > keepFive:
				t.Fatalf("a car is Silent though nobody has seen it for %s: %+v", now.Sub(vouchedAt), w)
			case with.At.After(now):
				t.Fatalf("a verdict rests on the future: %+v", with)
			}
			if later := now.Add(silentAfter(w.Beat) + keepFive + 1); Judge(later, w, keepFive).Presence != Gone {
				t.Fatalf("nobody sees the car any more and it is not Gone: %+v", w)
			}
			spoken := w
			spoken.LastHeard, spoken.Left = now.Add(agreement+1), false
			repeated := spoken
			for source := range sources {
				if w.Others != nil && w.Others[source].Claim == Departed {
					repeated.Others, _ = repeated.Others.With(Sighting{source, Departed, spoken.LastHeard.Add(time.Second)})
				}
			}
			for _, again := range []Testimony{spoken, repeated} {
				if got := Judge(again.LastHeard.Add(time.Second), again, keepFive).Standing; got != (Standing{Here, ByHeartbeat}) {
					t.Fatalf("a car that speaks again is %+v: %+v", got, again)
				}
			}
			back := now.Add(time.Duration(1+random.IntN(7200)) * time.Second)
			resumed := w
			resumed.LastHeard, resumed.Others = Resume(w, now, back)
			if got := Judge(back, resumed, keepFive).Standing; got != with.Standing {
				t.Fatalf("carlet's own outage makes %+v of %+v: %+v", got, with.Standing, w)
			}
		}
	}
	for _, wanted := range []Standing{
		{Here, ByHeartbeat}, {Silent, ByNobody}, {Silent, ByMaker}, {Silent, ByCharger},
		{Gone, ByNobody}, {Gone, ByMaker}, {Gone, ByCharger}, {Gone, ByAnnouncement},
	} {
		if verdicts[wanted] < 50 {
			t.Errorf("%+v came %d times: the histories prove little", wanted, verdicts[wanted])
		}
	}
}

func TestTheRegistryRemembersWhatWitnessesSaw(t *testing.T) {
	r, key := NewRegistry(), Key{"f", "v-1"}
	departed := Sighting{Charger, Departed, noon.Add(time.Second)}
	if outcome, _ := r.Witnessed(key, departed, noon.Add(time.Second)); outcome != UnknownVehicle || len(r.Vehicles()) != 0 {
		t.Errorf("a witness made a vehicle: %s", outcome)
	}
	r.Hear("parkade.v1.f.v-1.hello", []byte(`{"v":1,"fleet":"f","vehicle":"v-1"}`), noon, false)
	standing := func(at time.Time) Standing { v := r.Vehicles()[0]; return Judge(at, v.Testimony(), keepFive).Standing }
	if outcome, changed := r.Witnessed(key, Sighting{Charger, PluggedIn, noon}, noon); outcome != Accepted || changed {
		t.Errorf("seen plugged in: %s, %v", outcome, changed)
	}
	if outcome, changed := r.Witnessed(key, departed, noon.Add(time.Second)); outcome != Accepted || !changed || standing(noon.Add(time.Second)).By != ByCharger {
		t.Errorf("seen leaving: %s, %v, %+v", outcome, changed, standing(noon.Add(time.Second)))
	}
	for want, seen := range map[Outcome]Sighting{
		Outdated: {Charger, PluggedIn, noon}, SaysNothing: {Charger, Nothing, noon.Add(time.Minute)},
	} {
		if outcome, changed := r.Witnessed(key, seen, noon.Add(time.Minute)); outcome != want || changed {
			t.Errorf("%+v: %s, %v, want %s", seen, outcome, changed, want)
		}
	}
	if got := standing(noon.Add(time.Minute)); got != (Standing{Gone, ByCharger}) {
		t.Errorf("after that: %+v", got)
	}
	r.Hear("parkade.v1.f.v-1.beat", []byte(`{"v":1}`), noon.Add(time.Minute), false)
	if got := standing(noon.Add(time.Minute)); got != (Standing{Here, ByHeartbeat}) {
		t.Errorf("when it spoke again: %+v", got)
	}
	if r.Witnessed(key, Sighting{Maker, Departed, noon.Add(time.Hour)}, noon.Add(2*time.Minute)); r.Vehicles()[0].Others[Maker].At != noon.Add(2*time.Minute) {
		t.Errorf("another machine's clock is believed: %+v", r.Vehicles()[0].Others[Maker])
	}
	r.Revoke(key)
	if outcome, _ := r.Witnessed(key, departed, noon.Add(time.Hour)); outcome != FromRevoked {
		t.Errorf("of a revoked vehicle: %s", outcome)
	}
	r.Forget(key)
	if len(r.Vehicles()) != 0 {
		t.Error("a witness outlives forgetting")
	}
}

func TestChangesOfPresenceAreCounted(t *testing.T) {
	r, key := NewRegistry(), Key{"f", "v-1"}
	r.Hear("parkade.v1.f.v-1.hello", []byte(`{"v":1,"fleet":"f","vehicle":"v-1"}`), noon, false)
	come := func(standing Standing) map[PoolPresence]int {
		r.Commit(Decision{Vehicles: []Told{{Vehicle: &Vehicle{Key: key}, Pool: "home", Standing: standing, Desired: &Desired{}}}}, noon, time.Hour, MaxVehicles)
		return r.Changes()
	}
	for _, c := range []struct {
		standing Standing
		want     int
	}{
		{Standing{Here, ByHeartbeat}, 0}, // first seen, as all are by a restarted carlet
		{Standing{Silent, ByNobody}, 1},
		{Standing{Silent, ByCharger}, 0},
		{Standing{Gone, ByCharger}, 1},
		{Standing{Here, ByHeartbeat}, 1},
	} {
		if got := come(c.standing); got[PoolPresence{"home", c.standing}] != c.want || len(got) != c.want {
			t.Errorf("%+v: %v", c.standing, got)
		}
	}
}
