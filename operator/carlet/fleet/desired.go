package fleet

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
)

// NewDesired orders the assignments and computes the revision: the sha256 of the cell and the assignments as JSON
// without their URLs, so that a fresh signature is no new order.
func NewDesired(cell string, assignments []Assignment) Desired {
	sorted := slices.Clone(assignments)
	if sorted == nil {
		sorted = []Assignment{}
	}
	slices.SortFunc(sorted, func(a, b Assignment) int { return cmp.Compare(a.Workload, b.Workload) })
	bare := slices.Clone(sorted)
	for i := range bare {
		bare[i].URL = ""
	}
	text, err := json.Marshal(struct {
		Cell        string
		Assignments []Assignment
	}{cell, bare})
	if err != nil { // strings and integers always marshal
		panic(err)
	}
	sum := sha256.Sum256(text)
	return Desired{V: Version, Cell: cell, Revision: hex.EncodeToString(sum[:]), Assignments: sorted}
}
