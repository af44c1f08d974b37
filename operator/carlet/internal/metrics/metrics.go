// Package metrics holds what carlet counts. No vehicle id is ever a label.
package metrics

import (
	"crypto/x509"

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
	Expires          *prometheus.GaugeVec
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
		Expires: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "parkade_certificate_expiration_timestamp_seconds",
			Help: "When a certificate that carlet read at its start ends, by use: serving (its own), vehicles (signs what cars show to routers).",
		}, []string{"use"}),
		CycleSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "parkade_carlet_cycle_seconds", Help: "Duration of one pass over the fleet.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5},
		}),
	}
	m.Registry.MustRegister(m.Vehicles, m.Cells, m.Evidence, m.Changes, m.Messages, m.Witnesses, m.Enrolments, m.CellWrites, m.OrdersSent, m.OrdersWaiting, m.ModelBytes, m.ModelsTurnedAway, m.CycleSeconds, m.Expires,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for _, outcome := range []string{"written", "not_found", "failed"} {
		m.CellWrites.WithLabelValues(outcome) // from 0, so that the first failure is an increase
	}
	for _, way := range []string{"enroll", "renew", "link"} {
		m.Enrolments.WithLabelValues(way, "")
	}
	return m
}

// Ends shows when a certificate that is used so ends.
func (m *Metrics) Ends(use string, certificate *x509.Certificate) {
	if certificate != nil {
		m.Expires.WithLabelValues(use).Set(float64(certificate.NotAfter.Unix()))
	}
}

// WatchLink shows at each scrape whether messages of vehicles flow.
func (m *Metrics) WatchLink(connected func() bool) {
	m.Registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "parkade_fleet_link_up", Help: "1 while carlet is connected to the fleet link.",
	}, func() float64 {
		if connected() {
			return 1
		}
		return 0
	}))
}
