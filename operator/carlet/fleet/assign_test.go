package fleet

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

const gib = int64(1) << 30

func car(id string, change ...func(*Car)) Car {
	c := Car{
		Key: Key{"f", id}, Presence: Here, Eligible: true, Heard: true, Memory: 8 * gib,
		Holds: map[string]bool{}, Refused: map[string]bool{},
	}
	for _, f := range change {
		f(&c)
	}
	return c
}

func holds(workload string, ready bool) func(*Car) { return func(c *Car) { c.Holds[workload] = ready } }
func is(presence Presence) func(*Car)              { return func(c *Car) { c.Presence = presence } }
func ineligible(c *Car)                            { c.Eligible = false }
func unheard(c *Car)                               { c.Heard = false }
func has(digest string) func(*Car)                 { return func(c *Car) { c.Models = append(c.Models, digest) } }
func refuses(workload string) func(*Car)           { return func(c *Car) { c.Refused[workload] = true } }

// holdersOf lists the ids that were given a workload.
func holdersOf(given map[Key][]string, workload string) []string {
	var ids []string
	for key, workloads := range given {
		if slices.Contains(workloads, workload) {
			ids = append(ids, key.Vehicle)
		}
	}
	slices.Sort(ids)
	return ids
}

func TestAssign(t *testing.T) {
	one := Want{Workload: "w", Digest: "d", Replicas: 1, Memory: gib}
	two := one
	two.Replicas = 2
	for _, c := range []struct {
		name string
		want Want
		cars []Car
		ids  []string
	}{
		{"who holds it keeps it, whoever else is better", one, []Car{car("a", holds("w", false)), car("b", has("d"))}, []string{"a"}},
		{"who has the file is first", one, []Car{car("a"), car("b", has("d")), car("c")}, []string{"b"}},
		{"silent keeps", one, []Car{car("a", holds("w", true), is(Silent)), car("b")}, []string{"a"}},
		{"silent gets nothing new", one, []Car{car("a", is(Silent))}, nil},
		{"gone gives away, and keeps until the other is ready", one, []Car{car("a", holds("w", false), is(Gone)), car("b")}, []string{"a", "b"}},
		{"gone loses it when the other is ready", one, []Car{car("a", holds("w", true), is(Gone)), car("b", holds("w", true))}, []string{"b"}},
		{"ineligible gives away", one, []Car{car("a", holds("w", true), ineligible), car("b")}, []string{"a", "b"}},
		{"ineligible keeps when nobody else can", one, []Car{car("a", holds("w", false), ineligible)}, []string{"a"}},
		{"unheard keeps", one, []Car{car("a", holds("w", true), unheard), car("b")}, []string{"a"}},
		{"unheard gets nothing new", one, []Car{car("a", unheard)}, nil},
		{"a heard holder is not dropped for an unheard one", one, []Car{car("a", holds("w", true), unheard), car("b", holds("w", true))}, []string{"b"}},
		{"surplus stays while one is unheard", two, []Car{car("a", holds("w", true), unheard), car("b", holds("w", true)), car("c", holds("w", false))}, []string{"a", "b", "c"}},
		{"surplus goes when enough are ready", one, []Car{car("a", holds("w", true)), car("b", holds("w", false))}, []string{"a"}},
		{"refused is not asked", one, []Car{car("a", refuses("w"))}, nil},
		{"refused loses it", one, []Car{car("a", refuses("w"), holds("w", false)), car("b")}, []string{"b"}},
		{"too large for every car", Want{Workload: "w", Digest: "d", Replicas: 1, Memory: 9 * gib}, []Car{car("a")}, nil},
		{"zero replicas take all away", Want{Workload: "w", Digest: "d"}, []Car{car("a", holds("w", true))}, nil},
		{"as many as there are", Want{Workload: "w", Digest: "d", Replicas: 5}, []Car{car("a"), car("b")}, []string{"a", "b"}},
	} {
		if got := holdersOf(Assign("cell", []Want{c.want}, c.cars), "w"); !slices.Equal(got, c.ids) {
			t.Errorf("%s: %v, want %v", c.name, got, c.ids)
		}
	}
}

func TestAssignSpreadsAndRespectsPriority(t *testing.T) {
	wants := []Want{
		{Workload: "a", Replicas: 1, Memory: 5 * gib, Priority: 1},
		{Workload: "b", Replicas: 1, Memory: 5 * gib, Priority: 2},
	}
	if given := Assign("cell", wants, []Car{car("only")}); !slices.Equal(given[Key{"f", "only"}], []string{"b"}) {
		t.Errorf("the higher priority did not win: %v", given)
	}
	given := Assign("cell", wants, []Car{car("x"), car("y")})
	if len(given[Key{"f", "x"}]) != 1 || len(given[Key{"f", "y"}]) != 1 {
		t.Errorf("the idle car got nothing: %v", given)
	}
}

// randomCell makes wants and cars, of which some hold things.
func randomCell(random *rand.Rand) ([]Want, []Car) {
	var wants []Want
	for i := range 1 + random.IntN(4) {
		wants = append(wants, Want{
			Workload: fmt.Sprintf("w%d", i), Digest: fmt.Sprintf("d%d", i), Replicas: random.IntN(5),
			Memory: int64(random.IntN(5)) * gib, Priority: random.IntN(2),
		})
	}
	var cars []Car
	for i := range random.IntN(9) {
		c := car(fmt.Sprintf("v%d", i))
		c.Presence = []Presence{Here, Here, Here, Silent, Gone}[random.IntN(5)]
		c.Eligible, c.Heard = random.IntN(5) > 0, random.IntN(5) > 0
		for _, w := range wants {
			if random.IntN(4) == 0 {
				c.Holds[w.Workload] = random.IntN(2) == 0
			}
			if random.IntN(3) == 0 {
				c.Models = append(c.Models, w.Digest)
			}
			c.Refused[w.Workload] = random.IntN(8) == 0
		}
		cars = append(cars, c)
	}
	return wants, cars
}

func TestAssignLaws(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for round := range 3000 {
		wants, cars := randomCell(random)
		given := Assign("cell", wants, cars)
		checkMemoryAndCandidates(t, wants, cars, given)

		shuffledCars, shuffledWants := slices.Clone(cars), slices.Clone(wants)
		random.Shuffle(len(cars), func(i, j int) { shuffledCars[i], shuffledCars[j] = shuffledCars[j], shuffledCars[i] })
		random.Shuffle(len(wants), func(i, j int) { shuffledWants[i], shuffledWants[j] = shuffledWants[j], shuffledWants[i] })
		if again := Assign("cell", shuffledWants, shuffledCars); !reflect.DeepEqual(again, given) {
			t.Fatalf("round %d: the order of the input matters: %v, %v", round, given, again)
		}
		settled := settle(wants, cars)
		for _, w := range wants {
			if holders := holdersOf(settled, w.Workload); allGoodAndReady(cars, holders) && len(holders) > w.Replicas {
				t.Fatalf("round %d: %s has %d holders of %d", round, w.Workload, len(holders), w.Replicas)
			}
		}
	}
}

func checkMemoryAndCandidates(t *testing.T, wants []Want, cars []Car, given map[Key][]string) {
	t.Helper()
	byName := map[string]Want{}
	for _, w := range wants {
		byName[w.Workload] = w
	}
	for _, c := range cars {
		used := int64(0)
		for _, workload := range given[c.Key] {
			used += byName[workload].Memory
			if _, held := c.Holds[workload]; !held && !(c.Heard && c.Eligible && c.Presence == Here && !c.Refused[workload]) {
				t.Fatalf("%v was given %s anew", c, workload)
			}
			if byName[workload].Replicas == 0 {
				t.Fatalf("%v was given %s, of which none is wanted", c, workload)
			}
		}
		if used > c.Memory {
			t.Fatalf("%v was given %d bytes", c, used)
		}
	}
}

// settle lets cars become ready with what they are given until nothing changes; it must, and soon.
func settle(wants []Want, cars []Car) map[Key][]string {
	var before map[Key][]string
	for range 10 {
		given := Assign("cell", wants, cars)
		if reflect.DeepEqual(given, before) {
			return given
		}
		before = given
		for i := range cars {
			next := map[string]bool{}
			for _, workload := range given[cars[i].Key] {
				next[workload] = cars[i].Presence == Here && cars[i].Eligible
			}
			cars[i].Holds = next
		}
	}
	panic("assignments never settle")
}

func allGoodAndReady(cars []Car, ids []string) bool {
	for _, c := range cars {
		if slices.Contains(ids, c.Key.Vehicle) && !(c.Heard && c.Eligible && c.Presence == Here) {
			return false
		}
	}
	return true
}
