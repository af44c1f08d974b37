package fleet

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestARefusalIsShownAndAskedAgainLater(t *testing.T) {
	s := newStreet(t, 1)
	s.arrive("v-1")
	s.decide()
	s.say("v-1", KindState, wellState(held(PhaseFailed)), false)
	decision, told := s.decide()
	if got := s.fact(decision); got.Reason != ReasonFailed || !slices.Equal(told, []string{"v-1"}) {
		t.Errorf("told %v: %+v", told, got)
	}
	s.say("v-1", KindState, wellState(), false)
	s.world.Now = noon.Add(firstRefusal - time.Second)
	if decision, told = s.decide(); len(told) != 0 || s.fact(decision).Reason != ReasonFailed {
		t.Errorf("asked too early, or forgotten: %v %+v", told, s.fact(decision))
	}
	s.world.Now = noon.Add(firstRefusal)
	if _, told = s.decide(); !slices.Equal(told, []string{"v-1"}) {
		t.Errorf("not asked again: %v", told)
	}
}

func TestACarWhoseAnswersAreRejectedLosesItsReplicaToAnother(t *testing.T) {
	rejected := held(PhaseFailed)
	rejected.Reason, rejected.Message = "AnswersRejected", "3 answers of this car in a row could not be used"
	for _, c := range []struct {
		name     string
		others   []string
		reason   string
		sentence string
	}{
		{"another takes over", []string{"v-2"}, ReasonAssigned, "vehicles were told"},
		{"nobody else is here", nil, ReasonFailed, "one said AnswersRejected: 3 answers of this car in a row could not be used"},
	} {
		s := newStreet(t, 1)
		s.arrive("v-1")
		s.decide()
		s.say("v-1", KindState, wellState(held(PhaseReady)), false)
		for _, v := range c.others {
			s.arrive(v)
		}
		s.decide()
		s.say("v-1", KindState, wellState(rejected), false)
		decision, told := s.decide()
		if got := s.fact(decision); got.Reason != c.reason || !strings.Contains(got.Message, c.sentence) || got.Serving {
			t.Errorf("%s: %+v", c.name, got)
		}
		if want := append([]string{"v-1"}, c.others...); !slices.Equal(told, want) {
			t.Errorf("%s: told %v, want %v", c.name, told, want)
		}
		if left := decision.Told(Key{"f", "v-1"}).Desired.Assignments; len(left) != 0 {
			t.Errorf("%s: the car keeps %v", c.name, left)
		}
	}
}

func TestWhatAnIneligibleCarRefusesIsNoRefusalOfTheWorkload(t *testing.T) {
	s := newStreet(t, 1)
	s.hello("v-1")
	resting := wellState(held(PhaseRefused))
	resting.Eligible, resting.Reason = false, "Paused"
	s.say("v-1", KindState, resting, false)
	if decision, _ := s.decide(); s.fact(decision).Reason != ReasonNoVehicle {
		t.Errorf("a resting car: %+v", s.fact(decision))
	}
	s.say("v-1", KindState, wellState(), false)
	if _, told := s.decide(); !slices.Equal(told, []string{"v-1"}) {
		t.Errorf("the car works again and is not asked: told %v", told)
	}
}

func TestANewVersionThatFailsKeepsTheOldOne(t *testing.T) {
	s := newStreet(t, 1)
	s.arrive("v-1")
	s.decide()
	old := held(PhaseReady)
	old.Digest = "bbbb"
	s.say("v-1", KindState, wellState(old, held(PhaseFailed)), false)
	decision, _ := s.decide()
	if desired := decision.Told(Key{"f", "v-1"}).Desired; len(desired.Assignments) != 1 {
		t.Errorf("the car was told to drop what it serves: %+v", desired)
	}
	if got := s.fact(decision); !got.Serving || got.Ready != 0 {
		t.Errorf("%+v", got)
	}
}
