//! What is counted, and `/metrics`. Handles are looked up once a workload, so that the request path only adds to atomics.

use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

use serde_json::{Map, Value};

use crate::errors::{Cause, Outcome, Refusal};
use crate::forward::Forwarded;
use crate::hedges::Hedged;
use crate::queue::Tier;
use crate::verify::Verification;

/// Seconds; from a car's fastest answers to the longest deadlines.
const BUCKETS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Label of requests that no place answered.
const NO_TIER: &str = "none";
/// Label of requests for models that no workload has; callers' text never becomes a label.
const NO_WORKLOAD: &str = "unknown";

/// All metrics of this process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    durations: HistogramVec,
    retries: IntCounterVec,
    credits: IntGaugeVec,
    waiting: IntGaugeVec,
    barred: IntGaugeVec,
    refused_cars: IntCounterVec,
    verifications: IntCounterVec,
    refused: IntCounterVec,
    hedges: IntCounterVec,
    forwarded: IntCounterVec,
    owns: IntGaugeVec,
    refused_peers: IntCounterVec,
    dropped_lines: IntCounter,
    dropped_spans: IntCounterVec,
    unknown: IntCounter,
}

/// Handles of one workload.
#[derive(Debug)]
pub struct Meters {
    requests: [[IntCounter; Outcome::ALL.len()]; 3],
    durations: [Histogram; 2],
    retries: [IntCounter; Cause::ALL.len()],
    credits: [IntGauge; 2],
    waiting: IntGauge,
    barred: IntGauge,
    verifications: [IntCounter; Verification::ALL.len()],
    hedges: [IntCounter; Hedged::ALL.len()],
    forwarded: [IntCounter; Forwarded::ALL.len()],
    owns: IntGauge,
}

impl Metrics {
    /// Registers every metric.
    ///
    /// # Errors
    /// Two metrics have one name: a mistake in this file.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let counter = |name: &str, help: &str, labels: &[&str]| IntCounterVec::new(Opts::new(name, help), labels);
        let gauge = |name: &str, help: &str, labels: &[&str]| IntGaugeVec::new(Opts::new(name, help), labels);
        let requests = counter(
            "parkade_router_requests_total",
            "Requests by the tier that answered and how they ended",
            &["workload", "tier", "outcome"],
        )?;
        let durations = HistogramVec::new(
            HistogramOpts::new("parkade_router_request_duration_seconds", "From a request's head to its answer")
                .buckets(BUCKETS.to_vec()),
            &["workload", "tier"],
        )?;
        let retries =
            counter("parkade_router_retries_total", "Attempts that missed, by cause", &["workload", "cause"])?;
        let credits = gauge("parkade_router_credits", "Replicas known to be free", &["workload", "tier"])?;
        let barred = gauge(
            "parkade_router_places_barred",
            "Planned places outside of the workload's jurisdictions, which get no request",
            &["workload"],
        )?;
        let waiting = gauge("parkade_router_waiting", "Requests that wait for a credit", &["workload"])?;
        let refused_cars =
            counter("parkade_router_cars_refused_total", "Connections of cars that were refused", &["reason"])?;
        let hedges = counter(
            "parkade_router_hedges_total",
            "Second attempts beside a slow one, by how they ended",
            &["workload", "outcome"],
        )?;
        let verifications = counter(
            "parkade_router_verifications_total",
            "Answers of cars chosen to be compared with Triton's, by how that ended",
            &["workload", "outcome"],
        )?;
        let refused = counter("parkade_router_refused_total", "Requests that were not let in, by reason", &["reason"])?;
        let forwarded = counter(
            "parkade_router_forwarded_total",
            "Requests passed on to the router that keeps the queue, by how that ended",
            &["workload", "outcome"],
        )?;
        let owns = gauge("parkade_router_owns", "1 where this router keeps the queue", &["workload"])?;
        let refused_peers = counter(
            "parkade_router_peers_refused_total",
            "Connections refused where routers speak to each other",
            &["reason"],
        )?;
        let dropped_lines = IntCounter::new(
            "parkade_router_access_lines_dropped_total",
            "Access lines dropped because their file was too slow",
        )?;
        let dropped_spans =
            counter("parkade_router_spans_dropped_total", "Spans that never reached the collector", &["reason"])?;
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(durations.clone()))?;
        registry.register(Box::new(retries.clone()))?;
        registry.register(Box::new(credits.clone()))?;
        registry.register(Box::new(waiting.clone()))?;
        registry.register(Box::new(barred.clone()))?;
        registry.register(Box::new(refused_cars.clone()))?;
        registry.register(Box::new(verifications.clone()))?;
        registry.register(Box::new(refused.clone()))?;
        registry.register(Box::new(hedges.clone()))?;
        registry.register(Box::new(forwarded.clone()))?;
        registry.register(Box::new(owns.clone()))?;
        registry.register(Box::new(refused_peers.clone()))?;
        registry.register(Box::new(dropped_lines.clone()))?;
        registry.register(Box::new(dropped_spans.clone()))?;
        let unknown = requests.with_label_values(&[NO_WORKLOAD, NO_TIER, Outcome::Rejected.label()]);
        Ok(Self {
            registry,
            requests,
            durations,
            retries,
            credits,
            waiting,
            barred,
            refused_cars,
            verifications,
            refused,
            hedges,
            forwarded,
            owns,
            refused_peers,
            dropped_lines,
            dropped_spans,
            unknown,
        })
    }

    /// The handles of one workload.
    pub fn of(&self, workload: &str) -> Meters {
        let tiers = [Tier::Vehicle.label(), Tier::Datacenter.label(), NO_TIER];
        let real = [Tier::Vehicle.label(), Tier::Datacenter.label()];
        Meters {
            requests: tiers.map(|tier| {
                Outcome::ALL.map(|outcome| self.requests.with_label_values(&[workload, tier, outcome.label()]))
            }),
            durations: real.map(|tier| self.durations.with_label_values(&[workload, tier])),
            retries: Cause::ALL.map(|cause| self.retries.with_label_values(&[workload, cause.label()])),
            credits: real.map(|tier| self.credits.with_label_values(&[workload, tier])),
            waiting: self.waiting.with_label_values(&[workload]),
            barred: self.barred.with_label_values(&[workload]),
            hedges: Hedged::ALL.map(|ended| self.hedges.with_label_values(&[workload, ended.label()])),
            verifications: Verification::ALL
                .map(|ended| self.verifications.with_label_values(&[workload, ended.label()])),
            forwarded: Forwarded::ALL.map(|outcome| self.forwarded.with_label_values(&[workload, outcome.label()])),
            owns: self.owns.with_label_values(&[workload]),
        }
    }

    /// Forgets a workload that was deleted.
    pub fn forget(&self, workload: &str) {
        // A combination that was never used is no error here.
        let _ = self.waiting.remove_label_values(&[workload]);
        let _ = self.barred.remove_label_values(&[workload]);
        let _ = self.owns.remove_label_values(&[workload]);
        for outcome in Forwarded::ALL {
            let _ = self.forwarded.remove_label_values(&[workload, outcome.label()]);
        }
        for tier in [Tier::Vehicle.label(), Tier::Datacenter.label(), NO_TIER] {
            for outcome in Outcome::ALL {
                let _ = self.requests.remove_label_values(&[workload, tier, outcome.label()]);
            }
            let _ = self.durations.remove_label_values(&[workload, tier]);
            let _ = self.credits.remove_label_values(&[workload, tier]);
        }
        for ended in Verification::ALL {
            let _ = self.verifications.remove_label_values(&[workload, ended.label()]);
        }
        for ended in Hedged::ALL {
            let _ = self.hedges.remove_label_values(&[workload, ended.label()]);
        }
        for cause in Cause::ALL {
            let _ = self.retries.remove_label_values(&[workload, cause.label()]);
        }
    }

    /// A request for a model that no workload has.
    pub fn unknown_model(&self) {
        self.unknown.inc();
    }

    /// A car's connection was refused.
    pub fn refused_car(&self, reason: &str) {
        self.refused_cars.with_label_values(&[reason]).inc();
    }

    /// A request was not let in.
    pub fn refused(&self, refusal: &Refusal) {
        let reason = match refusal {
            Refusal::Unauthenticated { .. } => "unauthenticated",
            Refusal::NoProof => "unavailable",
            Refusal::Forbidden { .. } => "forbidden",
            Refusal::OverQuota { .. } => "quota",
            _ => return,
        };
        self.refused.with_label_values(&[reason]).inc();
    }

    /// A connection was refused where routers speak to each other.
    pub fn refused_peer(&self, reason: &str) {
        self.refused_peers.with_label_values(&[reason]).inc();
    }

    /// An access line was dropped.
    pub fn dropped_line(&self) {
        self.dropped_lines.inc();
    }

    /// Spans were dropped: `backlog`, too many waited; `collector`, it did not take them.
    pub fn dropped_spans(&self, reason: &str, count: usize) {
        self.dropped_spans.with_label_values(&[reason]).inc_by(count as u64);
    }

    /// The text that Prometheus reads.
    pub fn text(&self) -> Vec<u8> {
        let mut text = Vec::with_capacity(16 << 10);
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            tracing::error!("metrics cannot be written: {error}");
        }
        text
    }
}

impl Meters {
    /// A request ended.
    pub fn ended(&self, tier: Option<Tier>, outcome: Outcome, seconds: f64) {
        let row = tier.map_or(2, |tier| tier as usize);
        self.requests[row][outcome as usize].inc();
        if let Some(tier) = tier {
            self.durations[tier as usize].observe(seconds);
        }
    }

    /// An attempt missed.
    pub fn missed(&self, cause: Cause) {
        self.retries[cause as usize].inc();
    }

    /// A slow attempt got a second one beside it, or should have.
    pub fn hedged(&self, ended: Hedged) {
        self.hedges[ended as usize].inc();
    }

    /// A check of a car's answer ended.
    pub fn verified(&self, ended: Verification) {
        self.verifications[ended as usize].inc();
    }

    /// How requests, attempts and checks ended so far, by the labels of the metrics.
    pub fn report(&self, report: &mut Map<String, Value>) {
        let all_tiers = |outcome: Outcome| self.requests.iter().map(|row| row[outcome as usize].get()).sum::<u64>();
        let outcomes = Outcome::ALL.map(|outcome| (outcome.label().to_owned(), all_tiers(outcome).into()));
        let retries = Cause::ALL.map(|cause| (cause.label().to_owned(), self.retries[cause as usize].get().into()));
        let checks =
            Verification::ALL.map(|end| (end.label().to_owned(), self.verifications[end as usize].get().into()));
        report.insert("outcomes".to_owned(), Map::from_iter(outcomes).into());
        report.insert("retries".to_owned(), Map::from_iter(retries).into());
        report.insert("verifications".to_owned(), Map::from_iter(checks).into());
    }

    /// Places of the plan that the workload may not use.
    pub fn bars(&self, places: usize) {
        self.barred.set(signed(places));
    }

    /// A request was passed on to another router.
    pub fn forwarded(&self, outcome: Forwarded) {
        self.forwarded[outcome as usize].inc();
    }

    /// Whether this router keeps the queue.
    pub fn owns(&self, owns: bool) {
        self.owns.set(owns.into());
    }

    /// What the queue holds at this scrape.
    pub fn holds(&self, cars: usize, slots: usize, waiting: usize) {
        self.credits[0].set(signed(cars));
        self.credits[1].set(signed(slots));
        self.waiting.set(signed(waiting));
    }
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::Metrics;
    use crate::errors::{Cause, Outcome};
    use crate::queue::Tier;

    #[test]
    fn what_is_counted_is_shown_and_forgotten() {
        let metrics = Metrics::new().unwrap();
        let meters = metrics.of("vision/signs");
        meters.ended(Some(Tier::Datacenter), Outcome::Answered, 0.02);
        meters.ended(None, Outcome::Unplaced, 0.5);
        meters.missed(Cause::Malformed);
        meters.holds(3, 1, 0);
        let text = String::from_utf8(metrics.text()).unwrap();
        for line in [
            r#"parkade_router_requests_total{outcome="answered",tier="Datacenter",workload="vision/signs"} 1"#,
            r#"parkade_router_requests_total{outcome="unplaced",tier="none",workload="vision/signs"} 1"#,
            r#"parkade_router_retries_total{cause="malformed",workload="vision/signs"} 1"#,
            r#"parkade_router_credits{tier="Vehicle",workload="vision/signs"} 3"#,
            r#"parkade_router_request_duration_seconds_count{tier="Datacenter",workload="vision/signs"} 1"#,
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
        metrics.forget("vision/signs");
        assert!(!String::from_utf8(metrics.text()).unwrap().contains("vision/signs"));
    }
}
