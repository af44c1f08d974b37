package fleet

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
)

// NewDesired orders the assignments and computes the revision: the sha256 of the cell, the terms, the assignments
// and the files to fetch ahead as JSON without their URLs, so that a fresh signature is no new order and a changed term is one.
func NewDesired(cell string, terms Terms, assignments []Assignment, stage ...Staged) Desired {
	sorted := slices.Clone(assignments)
	if sorted == nil {
		sorted = []Assignment{}
	}
	slices.SortFunc(sorted, func(a, b Assignment) int { return cmp.Compare(a.Workload, b.Workload) })
	bare := slices.Clone(sorted)
	for i := range bare {
		bare[i].URL = ""
	}
	files := slices.SortedFunc(slices.Values(stage), func(a, b Staged) int { return cmp.Compare(a.Digest, b.Digest) })
	text, err := json.Marshal(struct {
		Cell        string
		Contract    json.RawMessage `json:",omitempty"`
		Payout      json.RawMessage `json:",omitempty"`
		EnergyPrice json.RawMessage `json:",omitempty"`
		Assignments []Assignment
		Stage       []Staged `json:",omitempty"`
	}{cell, terms.Contract, terms.Payout, terms.EnergyPrice, bare, files})
	if err != nil { // strings, integers and what was marshalled before always marshal
		panic(err)
	}
	sum := sha256.Sum256(text)
	return Desired{V: Version, Cell: cell, Terms: terms, Revision: hex.EncodeToString(sum[:]), Assignments: sorted, Stage: files}
}
