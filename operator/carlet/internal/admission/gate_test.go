package admission

import (
	"strconv"
	"testing"
	"time"
)

var noon = time.Unix(1_800_000_000, 0)

func TestABoundedNumberIsUnderWay(t *testing.T) {
	gate := NewGate(Options{AtOnce: 2, Returning: 10, Least: time.Second})
	first, _, admitted := gate.Enter(noon)
	if _, _, second := gate.Enter(noon); !admitted || !second {
		t.Fatal("two places, and less than two are let in")
	}
	if _, wait, third := gate.Enter(noon); third || wait < time.Second {
		t.Errorf("a third is let in, or told to wait %s", wait)
	}
	first()
	if _, _, again := gate.Enter(noon); !again {
		t.Error("a place is free, and nobody is let in")
	}
}

func TestABoundedNumberBeginsInASecond(t *testing.T) {
	gate := NewGate(Options{AtOnce: 100, PerSecond: 10, Burst: 20, Returning: 10, Least: time.Second})
	begun := 0
	for i := range 1000 { // two seconds
		leave, _, admitted := gate.Enter(noon.Add(time.Duration(i) * 2 * time.Millisecond))
		if admitted {
			begun++
			leave()
		}
	}
	if begun < 30 || begun > 41 {
		t.Errorf("%d began where a burst of 20 and 10 a second may", begun)
	}
}

func TestAStormIsAskedBackAsFastAsItCanBeAnswered(t *testing.T) {
	const cars, returning = 6000, 100
	gate := NewGate(Options{AtOnce: 1, Returning: returning, Least: 10 * time.Second})
	gate.Enter(noon)
	back := map[int]int{}
	for range cars {
		_, wait, _ := gate.Enter(noon)
		seconds, err := strconv.Atoi(RetryAfter(wait))
		if err != nil || seconds < 10 {
			t.Fatalf("Retry-After after %s is %d %v", wait, seconds, err)
		}
		back[seconds]++
	}
	for second, number := range back {
		if number > 2*returning {
			t.Errorf("%d of %d return in second %d, and %d are answered in one", number, cars, second, returning)
		}
	}
	if _, wait, _ := gate.Enter(noon.Add(time.Hour)); wait > 11*time.Second {
		t.Errorf("an hour later one is told to wait %s", wait)
	}
	for range 100 * cars {
		if _, wait, _ := gate.Enter(noon); wait > longest {
			t.Fatalf("told to wait %s", wait)
		}
	}
}
