package fleet

import "slices"

// Share is the part of the fleet that one of several carlets serves: the cells, and the pools whose vehicles without a
// cell it places. It is a value; the nil Share is the whole fleet.
type Share struct {
	ID string
	// Within are the views that this carlet acts on: by each of them a name has to be its own.
	Within [][]string
	// Without are what other carlets say that they act on: a name that one of them still counts as its own is not ours yet.
	Without []ActingView
	// Term grows whenever cells pass from one carlet to another; vehicles ignore orders of an older one.
	Term int64
}

// ActingView is what a carlet acts on: it serves no name that is not its own by it.
type ActingView struct {
	ID   string
	View []string
}

// Keys of what is shared out. A cell and a pool of one name may go to two carlets.
func cellShare(cell string) string { return "cell\n" + cell }
func poolShare(pool string) string { return "pool\n" + pool }

// OwnsCell says whether this carlet orders the vehicles of the cell, keeps its node and shows its facts.
func (s *Share) OwnsCell(cell string) bool { return s.owns(cellShare(cell)) }

// OwnsPool says whether this carlet places the vehicles that are in no cell of the pool yet; the empty pool has those that
// no pool wants.
func (s *Share) OwnsPool(pool string) bool { return s.owns(poolShare(pool)) }

func (s *Share) owns(name string) bool {
	if s == nil {
		return true
	}
	for _, view := range s.Within {
		if shareOwner(name, view) != s.ID {
			return false
		}
	}
	for _, claim := range s.Without {
		if shareOwner(name, claim.View) == claim.ID {
			return false
		}
	}
	return len(s.Within) > 0
}

// alike says whether two Shares are equal but for their terms.
func (s *Share) alike(other *Share) bool {
	return slices.EqualFunc(s.Within, other.Within, slices.Equal[[]string]) &&
		slices.EqualFunc(s.Without, other.Without, func(a, b ActingView) bool { return a.ID == b.ID && slices.Equal(a.View, b.View) })
}

// Narrowed is what is owned by both; the term is that of the other.
func (s *Share) Narrowed(other *Share) *Share {
	if len(s.Within) == 0 || len(other.Within) == 0 {
		return NoShare(other.ID)
	}
	return &Share{
		ID: other.ID, Within: slices.Concat(s.Within, other.Within), Without: slices.Concat(s.Without, other.Without), Term: other.Term,
	}
}

// NoShare is a Share without a name in it.
func NoShare(id string) *Share { return &Share{ID: id} }

// shareOwner is the member of the view that ranks the name highest, the smaller id on a tie; empty if there is none.
func shareOwner(name string, view []string) string {
	best, bestScore := "", uint64(0)
	for _, id := range view {
		score := Score(name, id)
		if best == "" || score > bestScore || score == bestScore && id < best {
			best, bestScore = id, score
		}
	}
	return best
}
