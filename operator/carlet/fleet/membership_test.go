package fleet

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// sharers are carlets around one store of Leases, moved on in steps of time. Each may be stopped for a while, cut off from
// the store, lose an answer, or lose the vehicles.
type sharers struct {
	t      *testing.T
	random *rand.Rand
	now    time.Time
	marks  int
	store  map[string]CarletLease
	flaky  bool     // writings fail
	late   []func() // writings on their way whose callers do not wait any more
	all    map[string]*sharer
}

type sharer struct {
	*Membership
	id    string
	fast  time.Duration // by how much its clock is off
	todo  []func() bool // the rest of a step; false ends it
	pause time.Time     // it does nothing before
	apart time.Time     // it does not reach the store before
	blind time.Time     // it does not reach vehicles before
	next  time.Time     // its next step
	seen  string        // mark of its own Lease as it was read last
	share *Share
	until time.Time
}

func newSharers(t *testing.T, seed uint64, ids ...string) *sharers {
	s := &sharers{t: t, random: rand.New(rand.NewPCG(seed, 1)), now: noon, store: map[string]CarletLease{}, all: map[string]*sharer{}}
	for _, id := range ids {
		s.start(id)
	}
	return s
}

func (s *sharers) start(id string) {
	fast := time.Duration(s.random.IntN(7200)-3600) * time.Second
	s.all[id] = &sharer{Membership: NewMembership(id), id: id, fast: fast, share: NoShare(id)}
}

func (c *sharer) clock(now time.Time) time.Time { return now.Add(c.fast) }

func (s *sharers) look(c *sharer) bool {
	if s.now.Before(c.apart) {
		return false
	}
	c.seen = s.store[c.id].Mark
	c.Look(slices.Collect(maps.Values(s.store)), c.clock(s.now))
	return true
}

func (s *sharers) take(c *sharer) bool {
	c.share, c.until = c.Take(c.clock(s.now))
	return true
}

// step is nodes.member's step in pieces, between which others do theirs.
func (s *sharers) step(c *sharer) {
	c.todo = []func() bool{
		func() bool { return s.look(c) },
		func() bool {
			want, due := c.Propose(!s.now.Before(c.blind), c.clock(s.now))
			if !due {
				return s.take(c)
			}
			c.Begin(want)
			s.take(c)
			began := c.clock(s.now)
			c.todo = append(c.todo,
				func() bool {
					if s.now.Before(c.apart) {
						return false
					}
					seen := c.seen
					write := func() bool {
						if s.store[c.id].Mark != seen {
							return false
						}
						s.marks++
						s.store[c.id] = CarletLease{c.id, c.id, fmt.Sprint(s.marks), want.Term, want.View, want.Linked}
						return true
					}
					what := s.random.IntN(6)
					switch {
					case !s.flaky:
					case what == 0: // the answer is lost
						write()
						return false
					case what == 1: // it may yet be written
						s.late = append(s.late, func() { write() })
						return false
					}
					return write()
				},
				func() bool { c.Wrote(want, began); return s.take(c) },
				func() bool { return s.look(c) },
				func() bool { return s.take(c) })
			return true
		},
	}
}

// run lets time pass, and calls trouble before each instant.
func (s *sharers) run(length time.Duration, trouble func()) {
	const instant = 50 * time.Millisecond
	for end := s.now.Add(length); s.now.Before(end); s.now = s.now.Add(instant) {
		if trouble != nil {
			trouble()
		}
		if len(s.late) > 0 && s.random.IntN(40) == 0 {
			s.late[0]()
			s.late = s.late[1:]
		}
		for _, id := range slices.Sorted(maps.Keys(s.all)) {
			c := s.all[id]
			switch {
			case s.now.Before(c.pause):
			case len(c.todo) > 0:
				first := c.todo[0]
				c.todo = c.todo[1:]
				if !first() {
					c.todo = nil
				}
			case !s.now.Before(c.next):
				c.next = s.now.Add(MemberLook)
				s.step(c)
			}
		}
		s.atMostOne()
	}
}

// serves says whether a carlet would order now, and whether it does so because it knows of no other.
func (s *sharers) serves(c *sharer, cell string) (serves, alone bool) {
	now := c.clock(s.now)
	return c.share.OwnsCell(cell) && (c.until.IsZero() || now.Before(c.until)), c.until.IsZero()
}

func (s *sharers) servers(cell string) (servers []string) {
	for id, c := range s.all {
		if serves, _ := s.serves(c, cell); serves {
			servers = append(servers, id)
		}
	}
	return servers
}

// atMostOne is the law: a cell has one server, but for one that is cut off from the store and knew nobody, whose orders
// are older than those of the other and thereby not heeded.
func (s *sharers) atMostOne() {
	for i := range 20 {
		cell := fmt.Sprintf("home-%d", i)
		var serving []*sharer
		for _, c := range s.all {
			if serves, _ := s.serves(c, cell); serves {
				serving = append(serving, c)
			}
		}
		slices.SortFunc(serving, func(a, b *sharer) int { return int(b.share.Term - a.share.Term) })
		for n, c := range serving[min(1, len(serving)):] {
			_, alone := s.serves(c, cell)
			cutOff := s.now.Before(later(c.apart, c.pause).Add(2 * MemberLook)) // it has to look again first
			if !alone || !cutOff || c.share.Term >= serving[n].share.Term {
				s.t.Fatalf("%s is served by %v of %v: %+v and %+v", cell, s.servers(cell), slices.Sorted(maps.Keys(s.all)), c, serving[n])
			}
		}
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (s *sharers) allServed(within time.Duration) {
	s.t.Helper()
	s.run(within, nil)
	for i := range 20 {
		if cell := fmt.Sprintf("home-%d", i); len(s.servers(cell)) != 1 {
			s.t.Fatalf("after %s %s is served by %v of %v", within, cell, s.servers(cell), slices.Sorted(maps.Keys(s.all)))
		}
	}
}

func TestCarletsShareAndTakeOver(t *testing.T) {
	s := newSharers(t, 1, "a")
	s.allServed(time.Second) // who is alone waits for nobody
	s.start("b")
	s.allServed(5 * time.Second)
	if got := s.all["b"].share; len(got.Without) != 1 || got.Term <= s.all["a"].written.Term-1 {
		t.Errorf("b serves %+v", got)
	}
	before := s.all["b"].share.Term
	delete(s.all, "a") // kill -9
	s.allServed(15 * time.Second)
	if after := s.all["b"].share.Term; after <= before {
		t.Errorf("b took over with term %d after %d", after, before)
	}
	s.start("a")
	s.allServed(5 * time.Second)
	delete(s.all, "b") // gracefully
	delete(s.store, "b")
	s.allServed(3 * time.Second)
	delete(s.store, "a") // by somebody's hand
	s.run(2*MemberLook, nil)
	s.allServed(4 * time.Second)
	s.run(2*memberForgets, nil)
	if gone := s.all["a"].Forgotten(s.all["a"].clock(s.now)); gone != nil {
		t.Errorf("what was removed is to be removed again: %v", gone)
	}
}

func TestACarletWithoutTheLinkServesNothingWhileAnotherHasIt(t *testing.T) {
	s := newSharers(t, 2, "a", "b")
	s.run(15*time.Second, nil)
	s.all["a"].blind = s.now.Add(time.Hour)
	s.allServed(6 * time.Second)
	if got := s.servers("home-0"); !slices.Equal(got, []string{"b"}) {
		t.Errorf("served by %v", got)
	}
	s.all["b"].blind = s.now.Add(time.Hour) // nobody has it: nodes are kept as before
	s.allServed(8 * time.Second)
}

func TestACarletWithoutTheStoreEndsBeforeOthersBegin(t *testing.T) {
	s := newSharers(t, 3, "a", "b")
	s.run(15*time.Second, nil)
	s.all["a"].apart = s.now.Add(30 * time.Second)
	s.run(MemberHold+time.Second, nil)
	for i := range 20 {
		if serves, _ := s.serves(s.all["a"], fmt.Sprintf("home-%d", i)); serves {
			t.Fatal("a cannot renew, and serves")
		}
	}
	s.run(6*time.Second, nil)
	if got := s.servers("home-0"); !slices.Equal(got, []string{"b"}) {
		t.Errorf("served by %v", got)
	}
	s.run(20*time.Second, nil)
	s.allServed(6 * time.Second)
}

// A writing that failed may have been done: nothing is served that others could take by it.
func TestAWritingThatFailedIsHeededUntilOneSucceeds(t *testing.T) {
	m, own := NewMembership("a"), CarletLease{ID: "a"}
	look := func(leases ...CarletLease) Publication {
		m.Look(leases, noon)
		want, due := m.Propose(true, noon)
		if !due {
			t.Fatalf("nothing is written: %+v", want)
		}
		m.Begin(want)
		return want
	}
	m.Wrote(look(), noon)
	m.Look([]CarletLease{own}, noon)
	m.Take(noon)
	look(own, CarletLease{ID: "b", View: []string{"a", "b"}, Linked: true})
	want := look(own) // b is gone, and the Lease may name it
	share, _ := m.Take(noon)
	both := &Share{ID: "a", Within: [][]string{{"a", "b"}}}
	owned := 0
	for i := range 20 {
		cell := fmt.Sprintf("home-%d", i)
		if share.OwnsCell(cell) && !both.OwnsCell(cell) {
			t.Errorf("%s may be b's", cell)
		}
		if share.OwnsCell(cell) {
			owned++
		}
	}
	m.Wrote(want, noon)
	m.Look([]CarletLease{own}, noon)
	m.Take(noon)
	share, _ = m.Take(noon.Add(MemberSettle))
	if owned == 0 || !share.OwnsCell("home-0") || !share.OwnsCell("home-1") {
		t.Errorf("%d cells were served before, and now %+v", owned, share)
	}
}

// Whatever happens to carlets, no cell has two servers, and soon after it is over each has one.
func TestNoTroubleGivesACellTwoServers(t *testing.T) {
	for seed := range uint64(40) {
		s := newSharers(t, seed, "a", "b")
		s.flaky = true
		s.run(3*time.Minute, func() {
			id := []string{"a", "b", "c"}[s.random.IntN(3)]
			later := s.now.Add(time.Duration(s.random.IntN(20_000)) * time.Millisecond)
			c := s.all[id]
			switch what := s.random.IntN(300); {
			case what == 0:
				s.start(id) // also instead of one that runs: its process was killed
			case c == nil:
			case what == 1:
				delete(s.all, id)
			case what == 2:
				c.pause = later
			case what == 3:
				c.apart = later
			case what == 4:
				c.blind = later
			case what == 5: // gracefully
				delete(s.all, id)
				delete(s.store, id)
			}
		})
		if len(s.all) == 0 {
			s.start("d")
		}
		for _, c := range s.all {
			c.pause, c.apart, c.blind = s.now, s.now, s.now
		}
		s.flaky, s.late = false, nil
		s.allServed(20 * time.Second)
	}
}
