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
}

// Room is a cell that takes vehicles of one pool.
type Room struct {
	Cell string
	Pool string
	Max  int
	// Closed to those that are not in it.
	Closed bool
}

// Place gives every vehicle a cell of its pool, never more than Max to one. Who is in a cell stays in it while there
// is room; others go to the open cell with room that their id ranks first. A vehicle without a cell is missing in
// the answer: it waits.
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
		}
		for _, m := range claimants[:min(len(claimants), limit)] {
			placed[m.Key] = cell
			taken[cell]++
		}
	}
	rest := slices.DeleteFunc(slices.Clone(members), func(m Member) bool { return placed[m.Key] != "" })
	slices.SortFunc(rest, func(a, b Member) int { return CompareKeys(a.Key, b.Key) })
	for _, m := range rest {
		if cell := bestRoom(m.Key, byPool[m.Pool], taken); cell != "" {
			placed[m.Key] = cell
			taken[cell]++
		}
	}
	return placed
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
		if taken[room.Cell] >= room.Max {
			continue
		}
		score := Score(room.Cell, key.Fleet, key.Vehicle)
		if best == "" || score > bestScore || score == bestScore && room.Cell < best {
			best, bestScore = room.Cell, score
		}
	}
	return best
}
