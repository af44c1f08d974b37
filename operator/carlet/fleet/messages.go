package fleet

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// Version is the protocol version that this carlet speaks; docs/architecture.md, "The fleet link".
const Version = 1

// MaxMessageBytes bounds one message from a vehicle. A hello with MaxModels digests needs 17 kB.
const MaxMessageBytes = 64 << 10

// Bounds of lists and texts inside a message; what exceeds them is cut, never refused, so that one chatty field
// does not make a vehicle invisible.
const (
	MaxModels      = 256
	MaxAssignments = 64
	maxReason      = 64
	maxText        = 512
)

// Kind is the last token of a subject.
type Kind string

// The kinds of messages, up and down.
const (
	KindHello       Kind = "hello"
	KindState       Kind = "state"
	KindBeat        Kind = "beat"
	KindDesired     Kind = "desired"
	KindRenew       Kind = "renew"
	KindCredentials Kind = "credentials"
	KindSupported   Kind = "supported"
)

// Phase of an assignment as the vehicle reports it.
type Phase string

// Phases in the order in which a replica comes up, then the ways in which it does not.
const (
	PhaseFetching Phase = "Fetching"
	PhaseLoading  Phase = "Loading"
	PhaseReady    Phase = "Ready"
	PhaseDraining Phase = "Draining"
	PhaseRefused  Phase = "Refused"
	PhaseFailed   Phase = "Failed"
)

// Key names a vehicle: its fleet and its pseudonym.
type Key struct{ Fleet, Vehicle string }

func (k Key) String() string { return k.Fleet + "/" + k.Vehicle }

// CompareKeys orders vehicles by fleet and name.
func CompareKeys(a, b Key) int {
	return cmp.Or(cmp.Compare(a.Fleet, b.Fleet), cmp.Compare(a.Vehicle, b.Vehicle))
}

// Hello is what a vehicle says of itself on connect. Memory is in bytes.
type Hello struct {
	V           int      `json:"v"`
	Vehicle     string   `json:"vehicle"`
	Fleet       string   `json:"fleet"`
	Hardware    string   `json:"hardware"`
	Memory      int64    `json:"memory"`
	Slots       int      `json:"slots"`
	BeatSeconds float64  `json:"beatSeconds"`
	Cell        string   `json:"cell"`
	Models      []string `json:"models"`
	Desired     string   `json:"desired"`
}

// State is what a vehicle would do and does do. LeavingWithin is its forecast of its departure, where it has one.
type State struct {
	V           int             `json:"v"`
	Present     bool            `json:"present"`
	Leaving     bool            `json:"leaving"`
	Link        string          `json:"link"`
	State       string          `json:"state"`
	Eligible    bool            `json:"eligible"`
	Reason      string          `json:"reason"`
	Message     string          `json:"message"`
	RTTMillis   float64         `json:"rttMillis"`
	Desired     string          `json:"desired"`
	Assignments []HeldByVehicle `json:"assignments"`

	LeavingWithin Leaving `json:"leavingWithin,omitempty"`
}

// Leaving is a forecast in percent: the chances to leave, or the shares that leave, by 5, 15 and 60 minutes. Nil is none.
type Leaving []float64

// LeavingStep is the step in percent in which vehicles tell their forecasts; between two, chance decides.
const LeavingStep = 5

// Horizons are how many times a forecast looks at.
const Horizons = 3

// bounded is a forecast that can be meant: within 0 and 100 and never falling. What is none of that many times is none;
// a car is not less visible for a forecast that cannot be read.
func (l Leaving) bounded() Leaving {
	if len(l) != Horizons {
		return nil
	}
	least := 0.0
	for i := range l {
		l[i] = min(max(l[i], least), 100)
		least = l[i]
	}
	return l
}

// HeldByVehicle is one replica as the vehicle reports it.
type HeldByVehicle struct {
	Workload string `json:"workload"`
	Digest   string `json:"digest"`
	Phase    Phase  `json:"phase"`
	Reason   string `json:"reason"`
	Message  string `json:"message"`
}

// Beat says only: still here.
type Beat struct {
	V           int     `json:"v"`
	Seq         int64   `json:"seq"`
	BeatSeconds float64 `json:"beatSeconds"`
}

// Terms are what a pool asks and pays, as in its manifest and for vehicles alone to interpret. EnergyPrice is nil unless
// it is one number: the price of a region, or of a series by the hour, is not carlet's to know.
type Terms struct {
	Contract    json.RawMessage `json:"contract,omitempty"`
	Payout      json.RawMessage `json:"payout,omitempty"`
	EnergyPrice json.RawMessage `json:"energyPrice,omitempty"`
}

// Desired is the full order to one vehicle; whatever it does not name is to be let go. The terms are those of its pool; a
// vehicle without a cell is told none. Term is that of the carlet's Share: an order of an older one comes from a carlet that
// does not order the vehicle any more. It is no part of the revision.
type Desired struct {
	V    int    `json:"v"`
	Term int64  `json:"term,omitempty"`
	Cell string `json:"cell"`
	Terms
	Revision    string       `json:"revision"`
	Assignments []Assignment `json:"assignments"`
	Stage       []Staged     `json:"stage,omitempty"`
}

// Assignment orders one replica. Bytes and Memory are in bytes; URL is empty until the digest is in the store.
type Assignment struct {
	Workload string `json:"workload"`
	Model    string `json:"model"`
	Digest   string `json:"digest"`
	Bytes    int64  `json:"bytes"`
	Format   string `json:"format"`
	Memory   int64  `json:"memory"`
	URL      string `json:"url,omitempty"`
	Router   string `json:"router"`
}

// Outcome of a message: accepted, or why it was not; the label of parkade_fleet_messages_total.
type Outcome string

// Outcomes of messages from vehicles; the last three are those of witnesses alone.
const (
	Accepted       Outcome = "accepted"
	Garbage        Outcome = "garbage"
	Oversized      Outcome = "oversized"
	UnknownVersion Outcome = "unknown_version"
	WrongIdentity  Outcome = "wrong_identity"
	UnknownSubject Outcome = "unknown_subject"
	OverCapacity   Outcome = "over_capacity"
	FromRevoked    Outcome = "revoked"
	UnknownVehicle Outcome = "unknown_vehicle"
	SaysNothing    Outcome = "says_nothing"
	Outdated       Outcome = "outdated"
)

// malformed says whether the message itself was at fault. An unknown subject is not: a newer agent may say more.
func (o Outcome) malformed() bool {
	return o == Garbage || o == Oversized || o == UnknownVersion || o == WrongIdentity
}

// The words for links and states that VehicleCell.status knows.
var (
	knownLinks  = map[string]bool{"Ethernet": true, "WiFi": true, "Starlink": true, "Cellular": true}
	knownStates = map[string]bool{"Asleep": true, "Awake": true, "Charging": true}
)

var token = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$`)

// CheckName refuses what cannot be one token of a subject. NATS lower-cases tags, so names are lower case.
func CheckName(what, name string) error {
	if token.MatchString(name) {
		return nil
	}
	return fmt.Errorf("%s %q must be 1 to 64 lower-case letters, digits and dashes; choose another name", what, name)
}

// Subject is where messages of a kind of one vehicle travel.
func Subject(key Key, kind Kind) string {
	return "parkade.v1." + key.Fleet + "." + key.Vehicle + "." + string(kind)
}

// ParseSubject is the inverse of Subject.
func ParseSubject(subject string) (Key, Kind, error) {
	parts := strings.Split(subject, ".")
	if len(parts) != 5 || parts[0] != "parkade" || parts[1] != "v1" {
		return Key{}, "", fmt.Errorf("subject %q is not parkade.v1.<fleet>.<vehicle>.<kind>", subject)
	}
	if err := errors.Join(CheckName("fleet", parts[2]), CheckName("vehicle", parts[3])); err != nil {
		return Key{}, "", err
	}
	return Key{parts[2], parts[3]}, Kind(parts[4]), nil
}

// decode reads one message into v after the checks that all kinds share.
func decode(data []byte, v any) Outcome {
	if len(data) > MaxMessageBytes {
		return Oversized
	}
	var header struct {
		V int `json:"v"`
	}
	if err := json.Unmarshal(data, &header); err != nil {
		return Garbage
	}
	if !speaks(header.V) {
		return UnknownVersion
	}
	if err := json.Unmarshal(data, v); err != nil {
		return Garbage
	}
	return Accepted
}

// ReadHello decodes and bounds a hello heard on a vehicle's subject.
func ReadHello(key Key, data []byte) (Hello, Outcome) {
	var hello Hello
	if outcome := decode(data, &hello); outcome != Accepted {
		return Hello{}, outcome
	}
	if hello.Vehicle != key.Vehicle || hello.Fleet != key.Fleet {
		return Hello{}, WrongIdentity
	}
	if len(hello.Models) > MaxModels {
		hello.Models = hello.Models[:MaxModels]
	}
	if hello.Memory < 0 {
		hello.Memory = 0
	}
	hello.Hardware = cut(hello.Hardware, maxReason)
	hello.Cell = cut(hello.Cell, 253)
	return hello, Accepted
}

// ReadState decodes and bounds a state.
func ReadState(data []byte) (State, Outcome) {
	var state State
	if outcome := decode(data, &state); outcome != Accepted {
		return State{}, outcome
	}
	if len(state.Assignments) > MaxAssignments {
		state.Assignments = state.Assignments[:MaxAssignments]
	}
	for i := range state.Assignments {
		held := &state.Assignments[i]
		held.Reason, held.Message = cut(held.Reason, maxReason), cut(held.Message, maxText)
	}
	state.Link, state.State = cut(state.Link, maxReason), cut(state.State, maxReason)
	state.Reason, state.Message = cut(state.Reason, maxReason), cut(state.Message, maxText)
	state.LeavingWithin = state.LeavingWithin.bounded()
	state.RTTMillis = min(max(state.RTTMillis, 0), float64(time.Hour/time.Millisecond))
	if state.Eligible && !(knownLinks[state.Link] && knownStates[state.State]) {
		// Its bytes and its energy could not be priced, and VehicleCell.status would refuse the words.
		state.Eligible, state.Reason = false, "UnknownLinkOrState"
	}
	return state, Accepted
}

// ReadBeat decodes a beat.
func ReadBeat(data []byte) (Beat, Outcome) {
	var beat Beat
	outcome := decode(data, &beat)
	return beat, outcome
}

// BeatInterval is the interval a vehicle announced, within a second and an hour; 60 s if it announced none.
func BeatInterval(seconds float64) time.Duration {
	if !(seconds > 0) {
		return time.Minute
	}
	return time.Duration(min(max(seconds, 1), 3600) * float64(time.Second))
}

func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit], "")
}
