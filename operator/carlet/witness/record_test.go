package witness

import (
	"math"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"parkade.dev/carlet/fleet"
)

var noon = time.Date(2026, 8, 18, 12, 0, 0, 0, time.UTC)

// Values of the maker's messages, encoded by their published numbers.
func text(s string) []byte { return protowire.AppendString(tag(nil, 1, protowire.BytesType), s) }
func double(f float64) []byte {
	return protowire.AppendFixed64(tag(nil, 5, protowire.Fixed64Type), math.Float64bits(f))
}
func float(f float32) []byte {
	return protowire.AppendFixed32(tag(nil, 4, protowire.Fixed32Type), math.Float32bits(f))
}
func enum(number protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(tag(nil, number, protowire.VarintType), v)
}

func tag(b []byte, number protowire.Number, kind protowire.Type) []byte {
	return protowire.AppendTag(b, number, kind)
}

// datum is a signal by its number.
func datum(key uint64, value []byte) []byte {
	b := protowire.AppendVarint(tag(nil, 1, protowire.VarintType), key)
	return protowire.AppendBytes(tag(b, 2, protowire.BytesType), value)
}

// record is a Payload with the fields that newer protos may add.
func record(vin string, at time.Time, data ...[]byte) []byte {
	var b []byte
	for _, d := range data {
		b = protowire.AppendBytes(tag(b, 1, protowire.BytesType), d)
	}
	stamp := protowire.AppendVarint(tag(nil, 1, protowire.VarintType), uint64(at.Unix()))
	stamp = protowire.AppendVarint(tag(stamp, 2, protowire.VarintType), uint64(at.Nanosecond()))
	b = protowire.AppendBytes(tag(b, 2, protowire.BytesType), stamp)
	b = protowire.AppendString(tag(b, 3, protowire.BytesType), vin)
	b = protowire.AppendVarint(tag(b, 4, protowire.VarintType), 1)
	return protowire.AppendString(tag(b, 99, protowire.BytesType), "of a newer proto")
}

func TestTeslaRecords(t *testing.T) {
	const detailed, charge, gear, speed, ac, dc, soc = 179, 2, 10, 4, 37, 35, 8
	for _, c := range []struct {
		name string
		data [][]byte
		want fleet.Claim
	}{
		{"charging", [][]byte{datum(detailed, enum(32, 4))}, fleet.PluggedIn},
		{"complete, and plugged in", [][]byte{datum(detailed, enum(32, 5))}, fleet.PluggedIn},
		{"stopped, and plugged in", [][]byte{datum(detailed, enum(32, 6)), datum(gear, enum(9, 2))}, fleet.PluggedIn},
		{"disconnected in park", [][]byte{datum(detailed, enum(32, 1)), datum(gear, enum(9, 2))}, fleet.Unplugged},
		{"disconnected and in gear", [][]byte{datum(detailed, enum(32, 1)), datum(gear, enum(9, 5))}, fleet.Departed},
		{"reverse alone", [][]byte{datum(gear, enum(9, 3))}, fleet.Departed},
		{"neutral alone", [][]byte{datum(gear, enum(9, 4))}, fleet.Nothing},
		{"a gear as a string", [][]byte{datum(gear, text("D"))}, fleet.Departed},
		{"a gear as the name of its enum", [][]byte{datum(gear, text("ShiftStateD"))}, fleet.Departed},
		{"an invalid gear", [][]byte{datum(gear, enum(10, 1))}, fleet.Nothing},
		{"a gear that the proto does not name", [][]byte{datum(gear, enum(9, 77))}, fleet.Nothing},
		{"speed as a double", [][]byte{datum(speed, double(31.5))}, fleet.Departed},
		{"speed as a float", [][]byte{datum(speed, float(31.5))}, fleet.Departed},
		{"speed as an integer", [][]byte{datum(speed, enum(2, 31))}, fleet.Departed},
		{"speed as a string", [][]byte{datum(speed, text("31.5"))}, fleet.Departed},
		{"speed of a car that stands", [][]byte{datum(speed, double(0.4))}, fleet.Nothing},
		{"speed that is no number", [][]byte{datum(speed, text("<invalid>"))}, fleet.Nothing},
		{"speed that is infinite", [][]byte{datum(speed, text("+Inf"))}, fleet.Nothing},
		{"invalid charge state", [][]byte{datum(detailed, enum(10, 1))}, fleet.Nothing},
		{"older charge state, as a string", [][]byte{datum(charge, text("Charging"))}, fleet.PluggedIn},
		{"older charge state, as its enum", [][]byte{datum(charge, enum(8, 1))}, fleet.Unplugged},
		{"the detailed one is preferred", [][]byte{datum(charge, text("Disconnected")), datum(detailed, enum(32, 4))}, fleet.PluggedIn},
		{"unless it is invalid", [][]byte{datum(charge, text("Disconnected")), datum(detailed, enum(10, 1))}, fleet.Unplugged},
		{"a word of newer firmware", [][]byte{datum(charge, text("Levitating"))}, fleet.Nothing},
		{"power from the wall", [][]byte{datum(ac, double(7.2))}, fleet.PluggedIn},
		{"fast power, as a string", [][]byte{datum(dc, text("120"))}, fleet.PluggedIn},
		{"no power says nothing", [][]byte{datum(ac, double(0))}, fleet.Nothing},
		{"plugged in and driving is an error", [][]byte{datum(detailed, enum(32, 4)), datum(gear, enum(9, 5))}, fleet.Nothing},
		{"other signals say nothing", [][]byte{datum(soc, double(80)), datum(250, text("x"))}, fleet.Nothing},
		{"an empty record", nil, fleet.Nothing},
	} {
		vin, claim, at, err := readTesla(record("5YJ3E1EA1NF000001", noon.Add(5), c.data...))
		if err != nil || vin != "5YJ3E1EA1NF000001" || claim != c.want || !at.Equal(noon.Add(5)) {
			t.Errorf("%s: %q %q %s, %v; want %q", c.name, vin, claim, at, err, c.want)
		}
	}
}

func FuzzTeslaRecordsNeverPanic(f *testing.F) {
	whole := record("5YJ3E1EA1NF000001", noon, datum(179, enum(32, 4)), datum(10, text("D")))
	for length := range len(whole) {
		f.Add(whole[:length])
	}
	f.Add([]byte("not protobuf at all"))
	f.Fuzz(func(_ *testing.T, data []byte) { _, _, _, _ = readTesla(data) })
}

func TestACutRecordIsNoRecord(t *testing.T) {
	whole := record("5YJ3E1EA1NF000001", noon, datum(179, enum(32, 4)))
	if _, claim, _, err := readTesla(whole[:9]); err == nil || claim != fleet.Nothing {
		t.Errorf("%q, %v", claim, err)
	}
}

func TestTeslaFieldsOfTopics(t *testing.T) {
	for _, c := range []struct {
		field, said string
		want        fleet.Claim
	}{
		{"DetailedChargeState", `"DetailedChargeStateCharging"`, fleet.PluggedIn},
		{"DetailedChargeState", `{"value":"DetailedChargeStateDisconnected"}`, fleet.Unplugged},
		{"Gear", `{"value":"ShiftStateD"}`, fleet.Departed},
		{"Gear", `"P"`, fleet.Nothing},
		{"VehicleSpeed", `12.3`, fleet.Departed},
		{"VehicleSpeed", `"12.3"`, fleet.Departed},
		{"VehicleSpeed", `{"value":null}`, fleet.Nothing},
		{"ACChargingPower", `{"value":7.2}`, fleet.PluggedIn},
		{"Gear", `"<invalid>"`, fleet.Nothing},
		{"Location", `{"value":{"latitude":1}}`, fleet.Nothing},
	} {
		if claim, err := readTeslaField(c.field, []byte(c.said)); err != nil || claim != c.want {
			t.Errorf("%s %s: %q, %v; want %q", c.field, c.said, claim, err, c.want)
		}
	}
	if _, err := readTeslaField("Gear", []byte(`{`)); err == nil {
		t.Error("half an object is JSON")
	}
}

func TestSignalsOfVSS(t *testing.T) {
	const charging = `Vehicle.Powertrain.TractionBattery.Charging.`
	point := func(path, value string) string {
		return `{"path":"` + path + `","dp":{"value":` + value + `,"ts":"2026-08-18T12:00:00Z"}}`
	}
	for _, c := range []struct {
		name, data string
		want       fleet.Claim
	}{
		{"4.x", point(charging+"IsChargingCableConnected", `"true"`), fleet.PluggedIn},
		{"4.x, JSON's own", point(charging+"IsChargingCableConnected", `false`), fleet.Unplugged},
		{"6.0", point(charging+"ChargingPort.AnyPosition.IsChargingCableConnected", `"true"`), fleet.PluggedIn},
		{"6.0, one of several ports", point(charging+"ChargingPort.RearLeft.IsChargingCableConnected", `"true"`), fleet.PluggedIn},
		{"6.0, another port is free", point(charging+"ChargingPort.FrontLeft.IsChargingCableConnected", `"false"`), fleet.Nothing},
		{"6.0, no port", point(charging+"ChargingPort.AnyPosition.IsChargingCableConnected", `"false"`), fleet.Unplugged},
		{"with slashes", point("Vehicle/Powertrain/TractionBattery/Charging/IsChargingCableConnected", `"true"`), fleet.PluggedIn},
		{"charging", point(charging+"IsCharging", `"true"`), fleet.PluggedIn},
		{"moving", point("Vehicle.IsMoving", `"true"`), fleet.Departed},
		{"backwards", point("Vehicle.Speed", `"-7.5"`), fleet.Departed},
		{"standing", point("Vehicle.Speed", `0.5`), fleet.Nothing},
		{"ignition alone", point("Vehicle.LowVoltageSystemState", `"ON"`), fleet.Nothing},
		{"ignition, unplugged", `[` + point("Vehicle.LowVoltageSystemState", `"START"`) + `,` + point(charging+"IsChargingCableConnected", `"false"`) + `]`, fleet.Departed},
		{"ignition, plugged in", `[` + point("Vehicle.LowVoltageSystemState", `"ON"`) + `,` + point(charging+"IsChargingCableConnected", `"true"`) + `]`, fleet.PluggedIn},
		{"one port free, another not", `[` + point(charging+"ChargingPort.RearLeft.IsChargingCableConnected", `true`) + `,` + point(charging+"ChargingPort.AnyPosition.IsChargingCableConnected", `false`) + `]`, fleet.PluggedIn},
		{"the newest of a list", `{"path":"` + charging + `IsChargingCableConnected","dp":[{"value":"true","ts":"2026-08-18T11:59:00Z"},{"value":"false","ts":"2026-08-18T12:00:00Z"}]}`, fleet.Unplugged},
		{"not a word of the catalogue", point(charging+"IsChargingCableConnected", `"maybe"`), fleet.Nothing},
		{"another signal", point("Vehicle.Cabin.Infotainment.Media.Volume", `"11"`), fleet.Nothing},
	} {
		claim, at, err := readVSS([]byte(`{"action":"subscription","subscriptionId":"7","data":` + c.data + `,"ts":"2026-08-18T12:00:01Z"}`))
		if err != nil || claim != c.want || c.want != fleet.Nothing && !at.Equal(noon) {
			t.Errorf("%s: %q at %s, %v; want %q", c.name, claim, at, err, c.want)
		}
	}
	for _, bad := range []string{``, `[]`, `{}`, `{"data":7}`, `{"data":[{"path":"Vehicle.Speed","dp":{"value":1,"ts":"noon"}}]}`} {
		if _, _, err := readVSS([]byte(bad)); err == nil {
			t.Errorf("%s is read", bad)
		}
	}
}
