package fleet

import (
	"cmp"
	"slices"
)

// Member is a vehicle that looks for its cell.
type Member struct {
	Key  Key
	Pool string
	Cell string // the cell it is in, or was told last; empty if none
	// Holds says that it has work, or that it is not known to have none.
	Holds bool
}

// Room is a cell that takes vehicles of one pool.
type Room struct {
	Cell string
	Pool string
	Max  int
	// Closed to those that are not in it.
	Closed bool
	// Closing rooms are to be emptied.
	Closing bool
}

// Place gives every vehicle a cell of its pool, never more than Max to one. Who is in a cell stays in it while there
// is room, those with work first; others go to the open cell with room that their id ranks first. From a closing cell
// those without work go where there is room, so that no work moves for it. A vehicle without a cell is missing in the
// answer: it waits.
func Place(members []Member, rooms []Room) map[Key]string {
	byCell := make(map[string]Room, len(rooms))
	byPool := map[string][]Room{}
	for _, room := range rooms {
		byCell[room.Cell] = room
		if !room.Closed {
			byPool[room.Pool] = append(byPool[room.Pool], room)
		}
	}
	placed := make(map[Key]string, len(members))
	claims := map[string][]Member{}
	for _, m := range members {
		if room, ok := byCell[m.Cell]; ok && room.Pool == m.Pool {
			claims[m.Cell] = append(claims[m.Cell], m)
		}
	}
	taken := map[string]int{}
	for cell, claimants := range claims {
		limit := max(byCell[cell].Max, 0)
		if len(claimants) > limit {
			sortByRank(claimants, cell, func(m Member) Key { return m.Key })
			slices.SortStableFunc(claimants, func(a, b Member) int { return cmp.Compare(idle(a), idle(b)) })
		}
		for _, m := range claimants[:min(len(claimants), limit)] {
			if m.Holds || !byCell[cell].Closing {
				placed[m.Key] = cell
				taken[cell]++
			}
		}
	}
	rest := slices.DeleteFunc(slices.Clone(members), func(m Member) bool { return placed[m.Key] != "" })
	slices.SortFunc(rest, func(a, b Member) int { return CompareKeys(a.Key, b.Key) })
	for _, m := range rest {
		cell := bestRoom(m.Key, byPool[m.Pool], taken)
		if own, ok := byCell[m.Cell]; cell == "" && ok && own.Pool == m.Pool && taken[m.Cell] < own.Max {
			cell = m.Cell // closing, and nobody else has room
		}
		if cell != "" {
			placed[m.Key] = cell
			taken[cell]++
		}
	}
	return placed
}

func idle(m Member) int {
	if m.Holds {
		return 0
	}
	return 1
}

// sortByRank orders by the rendezvous score of a name and each item's vehicle, the highest first.
func sortByRank[T any](items []T, name string, key func(T) Key) {
	type ranked struct {
		item  T
		score uint64
	}
	all := make([]ranked, len(items))
	for i, item := range items {
		k := key(item)
		all[i] = ranked{item, Score(name, k.Fleet, k.Vehicle)}
	}
	slices.SortFunc(all, func(a, b ranked) int {
		return cmp.Or(cmp.Compare(b.score, a.score), CompareKeys(key(a.item), key(b.item)))
	})
	for i := range all {
		items[i] = all[i].item
	}
}

func bestRoom(key Key, rooms []Room, taken map[string]int) string {
	best, bestScore := "", uint64(0)
	for _, room := range rooms {
		if room.Closing || taken[room.Cell] >= room.Max {
			continue
		}
		score := Score(room.Cell, key.Fleet, key.Vehicle)
		if best == "" || score > bestScore || score == bestScore && room.Cell < best {
			best, bestScore = room.Cell, score
		}
	}
	return best
}
