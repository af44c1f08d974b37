package fleet

import (
	"fmt"
	"slices"
	"testing"
)

func TestSharesOfOneViewAreAPartition(t *testing.T) {
	view := []string{"a", "b", "c"}
	var shares []*Share
	for _, id := range view {
		shares = append(shares, &Share{ID: id, Within: [][]string{view}})
	}
	counts := map[string]int{}
	moved := 0
	for i := range 3000 {
		cell := fmt.Sprintf("home-%d", i)
		var owners []string
		for _, share := range shares {
			if share.OwnsCell(cell) {
				owners = append(owners, share.ID)
			}
		}
		if len(owners) != 1 {
			t.Fatalf("%s is served by %v", cell, owners)
		}
		counts[owners[0]]++
		for _, id := range []string{"a", "b"} { // c ends: only its cells move
			without := &Share{ID: id, Within: [][]string{{"a", "b"}}}
			if owners[0] != "c" && without.OwnsCell(cell) != (id == owners[0]) {
				moved++
			}
		}
	}
	for _, id := range view {
		if counts[id] < 800 || counts[id] > 1200 {
			t.Errorf("shares are uneven: %v", counts)
		}
	}
	if moved != 0 {
		t.Errorf("%d cells of others moved", moved)
	}
}

func TestAShareIsWhatNobodyElseClaims(t *testing.T) {
	var all *Share
	if !all.OwnsCell("x") || !all.OwnsPool("") {
		t.Error("the nil Share is not the whole fleet")
	}
	if NoShare("a").OwnsCell("x") {
		t.Error("nothing has a cell in it")
	}
	both := &Share{ID: "a", Within: [][]string{{"a", "b"}}}
	names := func(share *Share) (owned []string) {
		for i := range 100 {
			if name := fmt.Sprint(i); share.OwnsCell(name) {
				owned = append(owned, name)
			}
		}
		return owned
	}
	claimed := &Share{ID: "a", Within: both.Within, Without: []ActingView{{"b", []string{"b"}}}}
	if got := names(claimed); got != nil {
		t.Errorf("b still counts all as its own, and a serves %v", got)
	}
	given := &Share{ID: "a", Within: both.Within, Without: []ActingView{{"b", []string{"a", "b"}}}}
	if got := names(given); !slices.Equal(got, names(both)) || len(got) == 0 {
		t.Errorf("b agrees, and a serves %v", got)
	}
	alone := &Share{ID: "a", Within: [][]string{{"a"}}, Term: 7}
	if got := alone.Narrowed(both); !slices.Equal(names(got), names(both)) || got.Term != both.Term {
		t.Errorf("narrowed: %v", names(got))
	}
	if got := names(both.Narrowed(NoShare("a"))); got != nil {
		t.Errorf("nothing leaves %v", got)
	}
}
