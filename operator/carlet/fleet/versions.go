package fleet

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Oldest is the oldest protocol version that this carlet understands: two back from Version, once there are that many.
const Oldest = 1

// Bounds of the names of unknown fields that are said back.
const (
	maxUnknown     = 16
	maxUnknownName = 64
)

// Supported answers a hello of another version, or with fields that this carlet does not know: so an agent learns what
// it may say, and what of its words was not heard.
type Supported struct {
	V        int      `json:"v"`
	Versions []int    `json:"versions"`
	Unknown  []string `json:"unknown,omitempty"`
}

// speaks says whether a message of this version is understood.
func speaks(version int) bool { return version >= Oldest && version <= Version }

// AnswerHello returns what a hello must be answered with besides a desired set; false if it was understood whole.
func AnswerHello(data []byte, outcome Outcome) (Supported, bool) {
	answer := Supported{V: Version}
	for version := Oldest; version <= Version; version++ {
		answer.Versions = append(answer.Versions, version)
	}
	switch outcome {
	case UnknownVersion:
		return answer, true
	case Accepted:
		answer.Unknown = unknownFields(data, reflect.TypeFor[Hello]())
		return answer, len(answer.Unknown) > 0
	}
	return Supported{}, false
}

// unknownFields are the names in a JSON object that a type does not read, sorted.
func unknownFields(data []byte, read reflect.Type) []string {
	var said map[string]json.RawMessage
	if json.Unmarshal(data, &said) != nil {
		return nil
	}
	for i := range read.NumField() {
		name, _, _ := strings.Cut(read.Field(i).Tag.Get("json"), ",")
		delete(said, name)
	}
	unknown := slices.Sorted(maps.Keys(said))
	unknown = unknown[:min(len(unknown), maxUnknown)]
	for i := range unknown {
		unknown[i] = cut(unknown[i], maxUnknownName)
	}
	return unknown
}
