package fleet

import (
	"maps"
	"slices"
	"time"
)

// The rhythm of membership. A carlet that cannot renew stops ordering MemberHold after it began its last renewal; others
// take its cells MemberLife after they saw that renewal, so that clocks may differ in speed, and a cycle may run on, by
// the difference. Cells that come from another carlet are only listened to for MemberSettle: what its last orders
// did is heard before the first new one.
const (
	MemberLife    = 10 * time.Second
	MemberHold    = 7 * time.Second
	MemberRenew   = 3 * time.Second
	MemberLook    = time.Second
	MemberSettle  = time.Second
	memberForgets = 5 * time.Minute
)

// CarletLease is one carlet's Lease as any carlet reads it.
type CarletLease struct {
	ID     string
	Holder string // another one under the same id is another process
	Mark   string // differs after every renewal
	Term   int64
	View   []string // the carlets among which its holder shares the fleet out
	Linked bool     // its holder reaches the vehicles
}

// Publication is what a carlet writes into its Lease.
type Publication struct {
	Term   int64
	View   []string
	Linked bool
}

func (p Publication) same(other Publication) bool {
	return p.Term == other.Term && p.Linked == other.Linked && slices.Equal(p.View, other.View)
}

// Membership decides what one carlet of several serves, from the Leases of all. It is pure but for what it remembers, and not
// safe for concurrent use.
//
// A name passes from one carlet to another in two steps: who loses it stops, and then writes a view by which it is not its own;
// who gains it writes its view, and then waits until nobody else's says otherwise. Whoever comes second to write, reads
// the other's view after its own is written, so two never serve a name at a time, however late either hears of the other.
type Membership struct {
	id      string
	others  map[string]sighting
	written Publication
	pending [][]string // views that were on their way since: others may act on any of them, or on what was written
	renewed time.Time  // when the last renewal that succeeded began; zero while there is none
	read    bool       // the others were read after what is written was
	share   *Share
	aim     *Share    // becomes the share when it is ripe
	ripe    time.Time // when the last orders of those who had it were heard
}

// sighting is another carlet's Lease and since when it is as it is, by our own clock: no other is needed.
type sighting struct {
	CarletLease
	since time.Time
}

// NewMembership knows nobody yet.
func NewMembership(id string) *Membership {
	return &Membership{id: id, others: map[string]sighting{}, share: NoShare(id)}
}

// Look takes in all Leases as they are now. They must have been read, not watched: a watch may be behind what was written. Where
// its own is missing, somebody removed it, and others begin at once.
func (m *Membership) Look(leases []CarletLease, now time.Time) {
	seen := map[string]bool{}
	held := false
	for _, lease := range leases {
		if lease.ID == m.id { // of our predecessor, before the first writing
			m.written.Term, held = max(m.written.Term, lease.Term), true
			continue
		}
		seen[lease.ID] = true
		before, known := m.others[lease.ID]
		if !known || before.Mark != lease.Mark || before.Holder != lease.Holder {
			m.others[lease.ID] = sighting{lease, now}
		}
	}
	maps.DeleteFunc(m.others, func(id string, _ sighting) bool { return !seen[id] })
	m.read = len(m.pending) == 0
	if !held && !m.renewed.IsZero() {
		m.renewed = time.Time{}
	}
}

// living are the other carlets whose Leases have not run out, by id.
func (m *Membership) living(now time.Time) []CarletLease {
	var living []CarletLease
	for _, id := range slices.Sorted(maps.Keys(m.others)) {
		if other := m.others[id]; now.Sub(other.since) < MemberLife {
			living = append(living, other.CarletLease)
		}
	}
	return living
}

// Propose says what the Lease should say, and whether it has to be written now. linked says whether vehicles are reached.
func (m *Membership) Propose(linked bool, now time.Time) (Publication, bool) {
	want := Publication{Term: m.written.Term, View: m.view(linked, now), Linked: linked}
	if m.renewed.IsZero() || !slices.Equal(want.View, m.written.View) {
		want.Term = max(now.UnixMilli(), m.term()+1)
	}
	due := m.renewed.IsZero() || len(m.pending) > 0 || !want.same(m.written) || now.Sub(m.renewed) >= MemberRenew
	return want, due
}

// view is among whom the fleet is shared out: the carlets that reach the vehicles, or all if none does.
func (m *Membership) view(linked bool, now time.Time) []string {
	all, reaching := []string{m.id}, []string{}
	if linked {
		reaching = append(reaching, m.id)
	}
	for _, other := range m.living(now) {
		all = append(all, other.ID)
		if other.Linked {
			reaching = append(reaching, other.ID)
		}
	}
	if len(reaching) == 0 {
		reaching = all
	}
	slices.Sort(reaching)
	return reaching
}

func (m *Membership) term() int64 {
	term := m.written.Term
	for _, other := range m.others {
		term = max(term, other.Term)
	}
	return term
}

// Begin is called before a publication is written; what is served has to be what Take says then, before it is.
func (m *Membership) Begin(p Publication) {
	m.pending, m.read = append(m.pending, p.View), false
}

// Wrote is called when it was written by a call that began at an instant, and so that no earlier call can still succeed.
func (m *Membership) Wrote(p Publication, began time.Time) {
	m.written, m.pending, m.renewed, m.read = p, nil, began, false
}

// Take says what may be served from now on, and until when; no limit is the zero time. What is lost is lost at once, and what is
// gained is served after MemberSettle. A carlet that saw no other goes on when the API server takes no renewals: one that
// comes meanwhile has a newer term.
func (m *Membership) Take(now time.Time) (*Share, time.Time) {
	next, until := m.next(now)
	switch {
	case !m.read:
		if !m.share.alike(next) {
			m.share = m.share.Narrowed(next)
		}
		return m.share, until
	case m.aim == nil && len(next.Without) == 0: // there was nobody from the beginning, so nobody's orders are on their way
		m.aim, m.ripe = next, now
	case m.aim == nil || !m.aim.alike(next):
		m.aim, m.ripe = next, now.Add(MemberSettle)
		m.share = m.share.Narrowed(next)
	}
	if !now.Before(m.ripe) {
		m.share = next
	}
	return m.share, until
}

// Joined says whether it was ever found out what to serve.
func (m *Membership) Joined() bool { return m.aim != nil }

func (m *Membership) next(now time.Time) (*Share, time.Time) {
	if m.renewed.IsZero() {
		return NoShare(m.id), time.Time{}
	}
	share := &Share{ID: m.id, Within: [][]string{m.written.View}, Term: m.term()}
	for _, view := range m.pending {
		if !slices.Equal(view, share.Within[len(share.Within)-1]) {
			share.Within = append(share.Within, view)
		}
	}
	living := m.living(now)
	if len(living) == 0 {
		return share, time.Time{}
	}
	for _, other := range living {
		share.Without = append(share.Without, ActingView{other.ID, other.View})
	}
	return share, m.renewed.Add(MemberHold)
}

// Forgotten are carlets that ended long ago without removing their Leases.
func (m *Membership) Forgotten(now time.Time) []CarletLease {
	var gone []CarletLease
	for _, other := range m.others {
		if now.Sub(other.since) > memberForgets {
			gone = append(gone, other.CarletLease)
		}
	}
	return gone
}
