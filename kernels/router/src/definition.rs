//! What the router needs of an `InferenceWorkload`, read leniently: a field it does not know is no reason to stop serving.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use crate::callers::{CALLERS, Callers};
use crate::durations;
use crate::queue::{PlannedPlace, Tier};

/// The workload's own timeout where its manifest names none.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(2);
/// The workload's latency target where its manifest names none.
const DEFAULT_TARGET: Duration = Duration::from_millis(100);
/// The tolerance of `trust.tolerance` where its manifest names none.
const DEFAULT_TOLERANCE: f64 = 0.001;

/// Addresses of one Triton server.
#[derive(Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// `host:port` of KServe v2 over HTTP.
    pub http: String,
    /// `host:port` of KServe v2 over gRPC.
    pub grpc: String,
}

/// One workload as the cluster knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Definition {
    /// Creation time as RFC 3339 text; of two workloads with one model name the older serves.
    pub born: String,
    /// The name callers use.
    pub model: Arc<str>,
    /// Latency target.
    pub target: Duration,
    /// Deadline of requests that name none.
    pub timeout: Duration,
    /// Fleets that may see payloads; empty means every fleet.
    pub fleets: Vec<String>,
    /// Percent of cars' answers that Triton computes again.
    pub verify_percent: u32,
    /// How far two right floats may be apart, relative to 1 + their size.
    pub tolerance: f64,
    /// Whose requests it takes, where callers are asked who they are.
    pub callers: Callers,
    /// Whether its owner suspended it.
    pub suspended: bool,
    /// The plan's places that its manifest allows, by preference.
    pub places: Vec<PlannedPlace<Arc<Endpoint>>>,
    /// Names of the plan's other places: outside of the jurisdictions that may see payloads.
    pub barred: Vec<String>,
}

/// All workloads by `namespace/name`.
pub type Definitions = BTreeMap<String, Definition>;

#[derive(Deserialize)]
struct Object {
    metadata: Metadata,
    spec: Spec,
    #[serde(default)]
    status: Option<Status>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: String,
    #[serde(default = "default_namespace")]
    namespace: String,
    #[serde(default)]
    creation_timestamp: Option<String>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

fn default_namespace() -> String {
    "default".to_owned()
}

#[derive(Deserialize)]
struct Spec {
    #[serde(default)]
    suspend: bool,
    model: Model,
    #[serde(default)]
    latency: Option<Latency>,
    #[serde(default)]
    trust: Option<Trust>,
    #[serde(default)]
    placement: Option<Bounds>,
}

#[derive(Deserialize, Default)]
struct Bounds {
    #[serde(default)]
    jurisdictions: Option<Vec<String>>,
}

impl Bounds {
    /// Whether a place may see payloads; one whose jurisdiction nobody told is in none.
    fn allow(&self, placement: &Placement) -> bool {
        match self.jurisdictions.as_deref() {
            None | Some([]) => true,
            Some(names) => placement.jurisdiction.as_ref().is_some_and(|name| names.contains(name)),
        }
    }
}

#[derive(Deserialize)]
struct Model {
    name: String,
}

#[derive(Deserialize)]
struct Latency {
    #[serde(default)]
    target: Option<String>,
    #[serde(default)]
    timeout: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Trust {
    #[serde(default)]
    fleets: Option<Vec<String>>,
    #[serde(default)]
    verify_percent: Option<u32>,
    #[serde(default)]
    tolerance: Option<String>,
}

#[derive(Deserialize, Default)]
struct Status {
    #[serde(default)]
    placements: Option<Vec<Placement>>,
}

#[derive(Deserialize)]
struct Placement {
    place: String,
    tier: Tier,
    #[serde(default)]
    share: u32,
    #[serde(default)]
    jurisdiction: Option<String>,
    #[serde(default)]
    endpoints: Option<Vec<Server>>,
}

#[derive(Deserialize)]
struct Server {
    http: String,
    grpc: String,
    #[serde(default = "one")]
    replicas: u32,
}

const fn one() -> u32 {
    1
}

impl Definition {
    /// Reads one object; the error is a sentence that names what cannot be read.
    pub fn read(object: serde_json::Value) -> Result<(String, Self), String> {
        let object: Object =
            serde_json::from_value(object).map_err(|error| format!("not an InferenceWorkload: {error}"))?;
        let latency = object.spec.latency.unwrap_or(Latency { target: None, timeout: None });
        let trust = object.spec.trust.unwrap_or_default();
        let key = format!("{}/{}", object.metadata.namespace, object.metadata.name);
        let placements = object.status.unwrap_or_default().placements.unwrap_or_default();
        let bounds = object.spec.placement.unwrap_or_default();
        let (allowed, barred): (Vec<_>, Vec<_>) = placements.into_iter().partition(|placement| bounds.allow(placement));
        let callers = object.metadata.annotations.as_ref().and_then(|annotations| annotations.get(CALLERS));
        let definition = Self {
            born: object.metadata.creation_timestamp.unwrap_or_default(),
            model: object.spec.model.name.into(),
            target: duration(latency.target, DEFAULT_TARGET),
            timeout: duration(latency.timeout, DEFAULT_TIMEOUT),
            fleets: trust.fleets.unwrap_or_default(),
            verify_percent: trust.verify_percent.unwrap_or(0).min(100),
            tolerance: trust.tolerance.and_then(|text| text.parse().ok()).unwrap_or(DEFAULT_TOLERANCE),
            callers: callers.map(|text| Callers::read(text)).unwrap_or_default(),
            suspended: object.spec.suspend,
            places: allowed.into_iter().map(planned).collect(),
            barred: barred.into_iter().map(|placement| placement.place).collect(),
        };
        Ok((key, definition))
    }
}

fn planned(placement: Placement) -> PlannedPlace<Arc<Endpoint>> {
    let servers = placement.endpoints.unwrap_or_default();
    PlannedPlace {
        name: placement.place.into(),
        tier: placement.tier,
        share: placement.share,
        servers: servers
            .into_iter()
            .map(|server| (Arc::new(Endpoint { http: server.http, grpc: server.grpc }), server.replicas))
            .collect(),
    }
}

/// The schema has checked the text; one that is not readable here falls back rather than stops the workload.
fn duration(text: Option<String>, default: Duration) -> Duration {
    text.and_then(|text| durations::parse(&text)).filter(|time| !time.is_zero()).unwrap_or(default)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::Definition;
    use crate::callers::Callers;
    use crate::queue::Tier;

    #[test]
    fn a_full_object() {
        let object = json!({
            "metadata": {"name": "sign-reader", "namespace": "vision", "creationTimestamp": "2026-08-18T16:00:00Z",
                         "annotations": {"parkade.dev/callers": "maps"}},
            "spec": {"model": {"name": "signs", "artifacts": []}, "latency": {"target": "150ms", "timeout": "3s"},
                     "trust": {"fleets": ["owners-ca"], "verifyPercent": 2, "tolerance": "0.01"}},
            "status": {"placements": [
                {"place": "cell-0", "tier": "Vehicle", "replicas": 3, "share": 75, "reason": "CheapestPlace"},
                {"place": "austin", "tier": "Datacenter", "replicas": 2, "share": 25, "reason": "KeepsFallback",
                 "endpoints": [{"http": "127.0.0.1:1", "grpc": "127.0.0.1:2", "replicas": 2}]}]}
        });
        let (key, definition) = Definition::read(object).unwrap();
        assert_eq!(key, "vision/sign-reader");
        assert_eq!(&*definition.model, "signs");
        assert_eq!(definition.timeout, Duration::from_secs(3));
        assert_eq!(definition.places[0].tier, Tier::Vehicle);
        assert_eq!(definition.places[1].servers[0].1, 2);
        assert_eq!(definition.fleets, ["owners-ca"]);
        assert_eq!(definition.verify_percent, 2);
        assert!((definition.tolerance - 0.01).abs() < 1e-9);
        assert_eq!(definition.callers, Callers::Named(vec!["maps".to_owned()]));
    }

    #[test]
    fn places_outside_of_its_jurisdictions_are_barred() {
        let read = |jurisdictions: serde_json::Value| {
            let object = json!({
                "metadata": {"name": "a"},
                "spec": {"model": {"name": "m"}, "placement": {"jurisdictions": jurisdictions}},
                "status": {"placements": [
                    {"place": "austin", "tier": "Datacenter", "jurisdiction": "US"},
                    {"place": "cell-0", "tier": "Vehicle", "jurisdiction": "DE"},
                    {"place": "cell-1", "tier": "Vehicle"}]}
            });
            let definition = Definition::read(object).unwrap().1;
            (definition.places.iter().map(|place| place.name.to_string()).collect::<Vec<_>>(), definition.barred)
        };
        let named = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(read(json!(["US"])), (named(&["austin"]), named(&["cell-0", "cell-1"])));
        assert_eq!(read(json!(["US", "DE"])), (named(&["austin", "cell-0"]), named(&["cell-1"])));
        for any in [json!([]), json!(null)] {
            assert_eq!(read(any), (named(&["austin", "cell-0", "cell-1"]), vec![]));
        }
    }

    #[test]
    fn a_new_workload_has_no_status_yet() {
        let object = json!({"metadata": {"name": "a"}, "spec": {"model": {"name": "m"}}});
        let (key, definition) = Definition::read(object).unwrap();
        assert_eq!(key, "default/a");
        assert!(definition.places.is_empty());
        assert_eq!(definition.timeout, Duration::from_secs(2));
    }

    #[test]
    fn an_unknown_tier_is_named() {
        let object = json!({"metadata": {"name": "a"}, "spec": {"model": {"name": "m"}},
                            "status": {"placements": [{"place": "x", "tier": "Moon"}]}});
        assert!(Definition::read(object).unwrap_err().contains("Moon"));
    }
}
