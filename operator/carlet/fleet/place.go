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
}

// Place gives every vehicle a cell of its pool, never more than Max to one. Who is in a cell stays in it while there
// is room; others go to the cell with room that their id ranks first. A vehicle without a cell is missing in
// the answer: it waits.
func Place(members []Member, rooms []Room) map[Key]string {
	byCell := make(map[string]Room, len(rooms))
	byPool := map[string][]Room{}
	for _, room := range rooms {
		byCell[room.Cell] = room
		byPool[room.Pool] = append(byPool[room.Pool], room)
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
		slices.SortFunc(claimants, func(a, b Member) int { return rank(cell, a.Key, b.Key) })
		for _, m := range claimants[:min(len(claimants), max(byCell[cell].Max, 0))] {
			placed[m.Key] = cell
			taken[cell]++
		}
	}
	rest := slices.DeleteFunc(slices.Clone(members), func(m Member) bool { return placed[m.Key] != "" })
	slices.SortFunc(rest, func(a, b Member) int { return cmp.Compare(a.Key.String(), b.Key.String()) })
	for _, m := range rest {
		if cell := bestRoom(m.Key, byPool[m.Pool], taken); cell != "" {
			placed[m.Key] = cell
			taken[cell]++
		}
	}
	return placed
}

// rank orders vehicles by who stays in a cell that is too full.
func rank(cell string, a, b Key) int {
	return cmp.Or(cmp.Compare(Score(cell, b.String()), Score(cell, a.String())), cmp.Compare(a.String(), b.String()))
}

func bestRoom(key Key, rooms []Room, taken map[string]int) string {
	best, bestScore := "", uint64(0)
	for _, room := range rooms {
		if taken[room.Cell] >= room.Max {
			continue
		}
		score := Score(room.Cell, key.String())
		if best == "" || score > bestScore || score == bestScore && room.Cell < best {
			best, bestScore = room.Cell, score
		}
	}
	return best
}
