package fleet

import (
	"fmt"
	"testing"
	"time"
)

// The value is in docs/architecture.md, for whoever computes the same function elsewhere.
func TestScoreIsTheDocumentedFunction(t *testing.T) {
	if got := Score("vision/sign-reader", "local"); got != 0x2b80e017aa48799b {
		t.Errorf("score is %016x", got)
	}
}

func routers(count int, renewed time.Time) []Router {
	all := make([]Router, 0, count)
	for i := range count {
		id := fmt.Sprintf("r%d", i)
		all = append(all, Router{ID: id, Cars: id + ":7443", Renewed: renewed, Expires: renewed.Add(15 * time.Second)})
	}
	return all
}

func TestOwnersAreSpreadAndOnlyTheDeadOnesWorkMoves(t *testing.T) {
	all := routers(4, noon)
	owned := map[string]int{}
	for i := range 4000 {
		workload := fmt.Sprintf("vision/w%d", i)
		before, _ := Owner(workload, all)
		owned[before.ID]++
		after, _ := Owner(workload, all[1:])
		if before.ID != "r0" && after.ID != before.ID {
			t.Fatalf("%s moved from %s to %s, though r0 left", workload, before.ID, after.ID)
		}
	}
	for id, count := range owned {
		if count < 900 || count > 1100 {
			t.Errorf("%s owns %d of 4000", id, count)
		}
	}
}

func TestRoutersDieByTheRenewalsOfOthers(t *testing.T) {
	all := routers(2, noon)
	first, _ := Owner("a/b", all)
	other := 0
	if all[0].ID == first.ID {
		other = 1
	}
	all[other].Renewed = noon.Add(14 * time.Second)
	if got, _ := Owner("a/b", all); got.ID != first.ID {
		t.Error("an unexpired router lost its workload")
	}
	all[other].Renewed = noon.Add(15 * time.Second)
	all[other].Expires = noon.Add(30 * time.Second)
	if got, _ := Owner("a/b", all); got.ID != all[other].ID {
		t.Error("an expired router kept its workload while another renewed")
	}
	if _, found := Owner("a/b", nil); found {
		t.Error("an owner without routers")
	}
}
