package fleet

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
)

// NewDesired orders the assignments and computes the revision: the sha256 of the cell, the terms and the assignments
// as JSON without their URLs, so that a fresh signature is no new order and a changed term is one.
func NewDesired(cell string, terms Terms, assignments []Assignment) Desired {
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
		Contract    json.RawMessage `json:",omitempty"`
		Payout      json.RawMessage `json:",omitempty"`
		EnergyPrice json.RawMessage `json:",omitempty"`
		Assignments []Assignment
	}{cell, terms.Contract, terms.Payout, terms.EnergyPrice, bare})
	if err != nil { // strings, integers and what was marshalled before always marshal
		panic(err)
	}
	sum := sha256.Sum256(text)
	return Desired{V: Version, Cell: cell, Terms: terms, Revision: hex.EncodeToString(sum[:]), Assignments: sorted}
}
