package witness

import (
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"parkade.dev/carlet/fleet"
)

// Numbers of Tesla Fleet Telemetry's vehicle_data.proto: of messages Payload, Datum and Value, and of the signals that are
// read (enum Field). https://github.com/teslamotors/fleet-telemetry, protos/.
const (
	payloadData, payloadCreated, payloadVIN  protowire.Number = 1, 2, 3
	timestampSeconds, timestampNanos         protowire.Number = 1, 2
	datumKey, datumValue                     protowire.Number = 1, 2
	valueString, valueInt, valueLong         protowire.Number = 1, 2, 3
	valueFloat, valueDouble                  protowire.Number = 4, 5
	valueCharging, valueShift, valueDetailed protowire.Number = 8, 9, 32
)

const (
	fieldChargeState         = 2
	fieldVehicleSpeed        = 4 // mph
	fieldGear                = 10
	fieldDCChargingPower     = 35 // kW
	fieldACChargingPower     = 37 // kW
	fieldDetailedChargeState = 179
)

// teslaFields are the signals by the names that its MQTT topics have.
var teslaFields = map[string]uint64{
	"ChargeState": fieldChargeState, "VehicleSpeed": fieldVehicleSpeed, "Gear": fieldGear,
	"DCChargingPower": fieldDCChargingPower, "ACChargingPower": fieldACChargingPower, "DetailedChargeState": fieldDetailedChargeState,
}

// Words of the enums by number: ChargingState and DetailedChargeStateValue have the same, without their prefixes.
var (
	chargeWords = []string{"Unknown", "Disconnected", "NoPower", "Starting", "Charging", "Complete", "Stopped"}
	gearWords   = []string{"Unknown", "Invalid", "P", "R", "N", "D", "SNA"}
)

var errRecord = errors.New("not a record of vehicle_data.proto")

// value is one signal: a word, or a number, or neither if it is invalid, or of a type that is not read.
type value struct {
	word   string
	number float64 // NaN if it is none
}

// readTesla judges one vehicle record (`V`). The VIN is empty if the record has none.
func readTesla(record []byte) (vin string, claim fleet.Claim, at time.Time, err error) {
	said := map[uint64]value{}
	err = eachField(record, func(number protowire.Number, scalar uint64, content []byte) error {
		switch number {
		case payloadData:
			key, v, err := readDatum(content)
			said[key] = v
			return err
		case payloadCreated:
			var err error
			at, err = readTimestamp(content)
			return err
		case payloadVIN:
			vin = string(content)
		}
		return nil
	})
	if err != nil {
		return "", fleet.Nothing, time.Time{}, err
	}
	return vin, teslaSignals(said).claim(), at, nil
}

// readTeslaField judges one signal as the MQTT dispatcher writes it: JSON, bare or as {"value": ...}.
func readTeslaField(name string, text []byte) (fleet.Claim, error) {
	field, read := teslaFields[name]
	if !read {
		return fleet.Nothing, nil
	}
	var said any
	if err := json.Unmarshal(text, &said); err != nil {
		return fleet.Nothing, err
	}
	if object, wrapped := said.(map[string]any); wrapped {
		said = object["value"]
	}
	v := value{number: math.NaN()}
	switch said := said.(type) {
	case string:
		v = wordOrNumber(said)
	case float64:
		v.number = said
	}
	return teslaSignals(map[uint64]value{field: v}).claim(), nil
}

// teslaSignals reads the words of the maker. Older firmware sends ChargeState, newer the detailed one, which is preferred.
func teslaSignals(said map[uint64]value) signals {
	var s signals
	for _, field := range []uint64{fieldDetailedChargeState, fieldChargeState} {
		if s.cable != unsaid {
			break
		}
		word := strings.TrimPrefix(strings.TrimPrefix(said[field].word, "Detailed"), "ChargeState")
		switch word {
		case "Disconnected":
			s.cable = no
		case "NoPower", "Starting", "Charging", "Complete", "Stopped":
			s.cable = yes
		}
	}
	for _, field := range []uint64{fieldACChargingPower, fieldDCChargingPower} {
		if power, told := said[field]; told && power.number > 0.1 {
			s.charging = yes
		}
	}
	gear := strings.TrimPrefix(said[fieldGear].word, "ShiftState")
	speed, told := said[fieldVehicleSpeed]
	s.moving = gear == "D" || gear == "R" || told && speed.number*kmPerMile > fastest
	return s
}

func readDatum(datum []byte) (key uint64, v value, err error) {
	v.number = math.NaN()
	err = eachField(datum, func(number protowire.Number, scalar uint64, content []byte) error {
		switch number {
		case datumKey:
			key = scalar
		case datumValue:
			return eachField(content, func(number protowire.Number, scalar uint64, content []byte) error {
				v = readValue(number, scalar, content)
				return nil
			})
		}
		return nil
	})
	return key, v, err
}

func readValue(number protowire.Number, scalar uint64, content []byte) value {
	none := value{number: math.NaN()}
	switch number {
	case valueString:
		return wordOrNumber(string(content))
	case valueInt, valueLong:
		return value{number: float64(int64(scalar))}
	case valueFloat:
		return value{number: float64(math.Float32frombits(uint32(scalar)))}
	case valueDouble:
		return value{number: math.Float64frombits(scalar)}
	case valueCharging, valueDetailed:
		return word(chargeWords, scalar)
	case valueShift:
		return word(gearWords, scalar)
	}
	return none
}

func word(words []string, number uint64) value {
	v := value{number: math.NaN()}
	if number < uint64(len(words)) {
		v.word = words[number]
	}
	return v
}

// wordOrNumber reads what fields below 179 may be: a string, whatever they mean.
func wordOrNumber(text string) value {
	number, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(number, 0) {
		number = math.NaN()
	}
	return value{word: text, number: number}
}

func readTimestamp(content []byte) (time.Time, error) {
	var seconds, nanos int64
	err := eachField(content, func(number protowire.Number, scalar uint64, _ []byte) error {
		switch number {
		case timestampSeconds:
			seconds = int64(scalar)
		case timestampNanos:
			nanos = int64(scalar)
		}
		return nil
	})
	return time.Unix(seconds, nanos), err
}

// eachField goes through the fields of one message: scalar has the bits of a number, content those of a string or of
// a message inside. Fields that are not known are passed over by who is called.
func eachField(message []byte, take func(number protowire.Number, scalar uint64, content []byte) error) error {
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return errRecord
		}
		message = message[n:]
		var scalar uint64
		var content []byte
		switch kind {
		case protowire.VarintType:
			scalar, n = protowire.ConsumeVarint(message)
		case protowire.Fixed32Type:
			var bits uint32
			bits, n = protowire.ConsumeFixed32(message)
			scalar = uint64(bits)
		case protowire.Fixed64Type:
			scalar, n = protowire.ConsumeFixed64(message)
		case protowire.BytesType:
			content, n = protowire.ConsumeBytes(message)
		default:
			n = protowire.ConsumeFieldValue(number, kind, message)
		}
		if n < 0 {
			return errRecord
		}
		message = message[n:]
		if err := take(number, scalar, content); err != nil {
			return err
		}
	}
	return nil
}
