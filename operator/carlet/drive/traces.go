package drive

import (
	"embed"
	"encoding/csv"
	"fmt"
	"strconv"
	"strings"
	"time"
)

//go:embed traces/*.csv
var traceFiles embed.FS

// stay is one charging session of the real data: when in the week a car was plugged in, for how long, and how long it
// took energy at chargingPower.
type stay struct {
	arrival  time.Duration // after Monday 0:00
	length   time.Duration
	charging time.Duration
}

// chargingPower is what the sites of the data give a car, in kilowatts: 32 A at 208 V.
const chargingPower = 6.6

const week = 7 * 24 * time.Hour

// window is how long one line of a link's trace lasts.
const window = 10 * time.Second

// outage is a time in which nothing passed a link.
type outage struct{ start, length time.Duration }

// linkTrace is how a real link did.
type linkTrace struct {
	rtt     []uint16 // milliseconds, one for each window
	outages []outage
}

func (t *linkTrace) length() time.Duration { return time.Duration(len(t.rtt)) * window }

// rttAt is the round trip at a time after the start of the trace, which begins anew at its end; 0 without a trace.
func (t *linkTrace) rttAt(at time.Duration) time.Duration {
	if t == nil || len(t.rtt) == 0 {
		return 0
	}
	return time.Duration(t.rtt[int(at/window)%len(t.rtt)]) * time.Millisecond
}

// next is the outage that comes next after a time since the start of the trace, and how long until then.
func (t *linkTrace) next(at time.Duration) (outage, time.Duration, bool) {
	if t == nil || len(t.outages) == 0 {
		return outage{}, 0, false
	}
	place := at % t.length()
	for _, o := range t.outages {
		if o.start > place {
			return o, o.start - place, true
		}
	}
	first := t.outages[0]
	return first, t.length() - place + first.start, true
}

// traces are what the program carries; NOTICE says whose they are.
type traces struct {
	stays []stay
	links map[string]*linkTrace
}

func readTraces() (*traces, error) {
	t := &traces{links: map[string]*linkTrace{}}
	err := readRows("charging", func(row []float64) {
		t.stays = append(t.stays, stay{
			arrival: time.Duration(row[0]) * time.Minute, length: time.Duration(row[1]) * time.Minute,
			charging: time.Duration(row[3] / chargingPower * float64(time.Hour)),
		})
	})
	for link, file := range map[string]string{"Starlink": "starlink", "Cellular": "cellular"} {
		trace := &linkTrace{}
		if err == nil {
			err = readRows(file, func(row []float64) { trace.add(uint16(row[0]), time.Duration(row[1]*float64(time.Second))) })
		}
		t.links[link] = trace
	}
	return t, err
}

// add appends a window; windows in which a second and more was lost, one after the other, are one outage.
func (t *linkTrace) add(rtt uint16, lost time.Duration) {
	at := t.length()
	t.rtt = append(t.rtt, rtt)
	if lost < time.Second {
		return
	}
	if last := len(t.outages) - 1; last >= 0 && t.outages[last].start+t.outages[last].length >= at {
		t.outages[last].length += lost
		return
	}
	t.outages = append(t.outages, outage{at + window - lost, lost})
}

func readRows(name string, take func([]float64)) error {
	text, err := traceFiles.ReadFile("traces/" + name + ".csv")
	if err != nil {
		return err
	}
	rows, err := csv.NewReader(strings.NewReader(string(text))).ReadAll()
	if err != nil {
		return fmt.Errorf("traces/%s.csv: %w", name, err)
	}
	for _, row := range rows[1:] {
		values := make([]float64, len(row))
		for i, field := range row {
			if values[i], err = strconv.ParseFloat(field, 64); err != nil {
				return fmt.Errorf("traces/%s.csv: %w", name, err)
			}
		}
		take(values)
	}
	return nil
}
