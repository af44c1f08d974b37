package witness

import (
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"
	"time"

	"parkade.dev/carlet/fleet"
)

// Signals of the COVESA Vehicle Signal Specification that are read. Whether the cable is connected stood under Charging until
// 4.x, and stands under a charging port since 5.1; a port that is not AnyPosition only counts when it is connected.
const (
	vssCharging   = "Vehicle.Powertrain.TractionBattery.Charging."
	vssPort       = vssCharging + "ChargingPort."
	vssConnected  = "IsChargingCableConnected"
	vssIsCharging = vssCharging + "IsCharging"
	vssIsMoving   = "Vehicle.IsMoving"
	vssSpeed      = "Vehicle.Speed" // km/h; negative backwards
	vssIgnition   = "Vehicle.LowVoltageSystemState"
)

// vssMessage is a VISS version 2 message: data is one signal or a list of them, and so is its data point.
type vssMessage struct {
	Data oneOrMore[struct {
		Path string               `json:"path"`
		DP   oneOrMore[dataPoint] `json:"dp"`
	}] `json:"data"`
}

type dataPoint struct {
	Value any     `json:"value"`
	TS    instant `json:"ts"`
}

// oneOrMore reads a JSON value or a list of them.
type oneOrMore[T any] []T

func (o *oneOrMore[T]) UnmarshalJSON(text []byte) error {
	if text = []byte(strings.TrimSpace(string(text))); len(text) > 0 && text[0] == '[' {
		return json.Unmarshal(text, (*[]T)(o))
	}
	var one T
	err := json.Unmarshal(text, &one)
	*o = oneOrMore[T]{one}
	return err
}

// readVSS judges the newest value of each signal in a message; values are JSON's own, or strings, as VISS writes them.
func readVSS(text []byte) (claim fleet.Claim, at time.Time, err error) {
	var message vssMessage
	if err := json.Unmarshal(text, &message); err != nil {
		return fleet.Nothing, time.Time{}, err
	}
	if len(message.Data) == 0 {
		return fleet.Nothing, time.Time{}, errors.New("no signal under data")
	}
	var s signals
	for _, signal := range message.Data {
		var newest dataPoint
		for i, point := range signal.DP {
			if i == 0 || !point.TS.Before(newest.TS.Time) {
				newest = point
			}
		}
		if s.takeVSS(strings.ReplaceAll(signal.Path, "/", "."), newest.Value) && newest.TS.After(at) {
			at = newest.TS.Time
		}
	}
	return s.claim(), at, nil
}

// takeVSS adds one signal; false if it is not read.
func (s *signals) takeVSS(path string, said any) bool {
	switch {
	case path == vssCharging+vssConnected, strings.HasPrefix(path, vssPort) && strings.HasSuffix(path, "."+vssConnected):
		connected := truth(said)
		if port := strings.HasPrefix(path, vssPort) && path != vssPort+"AnyPosition."+vssConnected; port && connected == no || s.cable == yes {
			return true
		}
		s.cable = connected
	case path == vssIsCharging:
		s.charging = truth(said)
	case path == vssIsMoving:
		s.moving = s.moving || truth(said) == yes
	case path == vssSpeed:
		s.moving = s.moving || math.Abs(quantity(said)) > fastest
	case path == vssIgnition:
		s.ignition = said == "ON" || said == "START"
	default:
		return false
	}
	return true
}

func truth(said any) answer {
	switch said := said.(type) {
	case bool:
		return answered(said)
	case string:
		if is, err := strconv.ParseBool(said); err == nil {
			return answered(is)
		}
	}
	return unsaid
}

func quantity(said any) float64 {
	switch said := said.(type) {
	case float64:
		return said
	case string:
		return wordOrNumber(said).number
	}
	return math.NaN()
}
