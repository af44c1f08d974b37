// Package metrics holds what carlet counts. No vehicle id is ever a label.
package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Metrics of one carlet, with a registry of its own.
type Metrics struct {
	Registry      *prometheus.Registry
	Vehicles      *prometheus.GaugeVec
	Evidence      *prometheus.GaugeVec
	Changes       *prometheus.CounterVec
	Messages      *prometheus.CounterVec
	Witnesses     *prometheus.CounterVec
	Enrolments    *prometheus.CounterVec
	CellWrites    *prometheus.CounterVec
	OrdersSent    prometheus.Counter
	OrdersWaiting prometheus.Gauge
	Cells         prometheus.Gauge
	ModelBytes    prometheus.Counter
	// ModelsTurnedAway were asked for while too many others were fetched.
	ModelsTurnedAway prometheus.Counter
	CycleSeconds     prometheus.Histogram
}

// New registers all metrics.
func New() *Metrics {
	m := &Metrics{
		Registry: prometheus.NewRegistry(),
		Vehicles: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "parkade_vehicles", Help: "Vehicles by pool and presence; the pool is empty for vehicles that no pool wants.",
		}, []string{"pool", "presence"}),
		Evidence: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "parkade_vehicle_evidence", Help: "Vehicles by pool, presence and on whose word it rests.",
		}, []string{"pool", "presence", "evidence"}),
		Changes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "parkade_vehicle_changes_total", Help: "Changes of vehicles' presence by pool, the presence they came to and on whose word.",
		}, []string{"pool", "presence", "evidence"}),
		Witnesses: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "parkade_witness_messages_total", Help: "Messages from makers and chargers about vehicles, by source and outcome.",
		}, []string{"source", "outcome"}),
		Messages: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "parkade_fleet_messages_total", Help: "Messages from vehicles by kind and outcome.",
		}, []string{"kind", "outcome"}),
		Enrolments: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "parkade_fleet_credentials_total", Help: "Answers to cars that asked for credentials, by way (enroll, renew, link) and reason, which is empty for a grant.",
		}, []string{"way", "reason"}),
		CellWrites: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "parkade_cell_writes_total", Help: "Writes of VehicleCell status by outcome.",
		}, []string{"outcome"}),
		OrdersWaiting: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "parkade_fleet_orders_waiting", Help: "Vehicles that wait for a desired set because others are told first.",
		}),
		OrdersSent: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "parkade_fleet_orders_total", Help: "Desired sets sent to vehicles.",
		}),
		Cells: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "parkade_carlet_cells", Help: "Cells that this carlet serves; other carlets serve the others.",
		}),
		ModelBytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "parkade_model_bytes_total", Help: "Bytes of models served to vehicles.",
		}),
		ModelsTurnedAway: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "parkade_model_requests_turned_away_total", Help: "Requests for models that came while too many were under way.",
		}),
		CycleSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "parkade_carlet_cycle_seconds", Help: "Duration of one pass over the fleet.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5},
		}),
	}
	m.Registry.MustRegister(m.Vehicles, m.Cells, m.Evidence, m.Changes, m.Messages, m.Witnesses, m.Enrolments, m.CellWrites, m.OrdersSent, m.OrdersWaiting, m.ModelBytes, m.ModelsTurnedAway, m.CycleSeconds,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}
