//! What one workload's requests were lately, for the next plan: counters and histograms that only grow, so that whoever reads
//! them twice knows what came between. Nothing here waits, and nothing is written but memory.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use http::{HeaderMap, HeaderName};
use serde_json::{Map, Value, json};

use crate::ask::Form;

/// Where a request's caller is, in the caller's or a forwarding router's words.
pub const REGION: HeaderName = HeaderName::from_static("parkade-region");
/// Names of regions, hardware and places remembered for one workload; what comes after them counts for nobody in particular.
const NAMES: usize = 64;
/// A name is one of Kubernetes.
const NAME_LENGTH: usize = 63;
/// Bits of a duration after its first that its bucket keeps: buckets are at most 12.5 % wide.
const FINE: u32 = 3;
/// The last bucket begins at 2^30 microseconds, 18 minutes: longer than any deadline.
const BUCKETS: usize = ((31 - FINE as usize) << FINE) + (1 << FINE);

/// Counters by name, of which there are few: found by walking, added once.
#[derive(Debug)]
struct Named<T>(RwLock<Vec<(Arc<str>, Arc<T>)>>);

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

impl<T: Default> Named<T> {
    /// The counters of a name; `None` where it is no name or there are too many.
    fn of(&self, name: &str) -> Option<Arc<T>> {
        let find = |rows: &[(Arc<str>, Arc<T>)]| Some(rows.iter().find(|(known, _)| **known == *name)?.1.clone());
        if let Some(found) = find(&self.0.read().unwrap_or_else(PoisonError::into_inner)) {
            return Some(found);
        }
        if !is_name(name) {
            return None;
        }
        let mut rows = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = find(&rows) {
            return Some(found);
        }
        if rows.len() >= NAMES {
            return None;
        }
        let counters = Arc::new(T::default());
        rows.push((name.into(), counters.clone()));
        drop(rows);
        Some(counters)
    }

    fn json(&self, one: impl Fn(&T) -> Value) -> Value {
        let rows = self.0.read().unwrap_or_else(PoisonError::into_inner);
        rows.iter().map(|(name, counters)| (name.to_string(), one(counters))).collect::<Map<_, _>>().into()
    }
}

fn is_name(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'.';
    !name.is_empty() && name.len() <= NAME_LENGTH && name.bytes().all(inner)
}

/// Times of one kind of replica: enough for their mean and variance.
#[derive(Debug, Default)]
pub struct Times {
    count: AtomicU64,
    micros: AtomicU64,
    /// Sum of squares, in 1e-6 s².
    squares: AtomicU64,
}

impl Times {
    /// One answer took this long.
    pub fn add(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.count.fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(micros, Ordering::Relaxed);
        let square = u128::from(micros) * u128::from(micros) / 1_000_000;
        self.squares.fetch_add(u64::try_from(square).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn json(&self) -> Value {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        json!({
            "count": load(&self.count),
            "seconds": from_micros(load(&self.micros)),
            "squaredSeconds": from_micros(load(&self.squares)),
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "2^53 microseconds are 285 years")]
fn from_micros(micros: u64) -> f64 {
    micros as f64 / 1e6
}

/// Durations in buckets that are finer than any metric's.
#[derive(Debug)]
struct Histogram([AtomicU64; BUCKETS]);

impl Histogram {
    const fn new() -> Self {
        Self([const { AtomicU64::new(0) }; BUCKETS])
    }

    fn add(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.0[bucket(micros)].fetch_add(1, Ordering::Relaxed);
    }

    /// `[[upper bound in seconds, count], ...]` of the buckets that hold anything.
    fn json(&self) -> Value {
        let counts = self.0.iter().map(|count| count.load(Ordering::Relaxed)).enumerate();
        counts.filter(|(_, count)| *count > 0).map(|(index, count)| json!([from_micros(end(index)), count])).collect()
    }
}

/// The bucket of a duration: its highest bit and the `FINE` bits after that.
fn bucket(micros: u64) -> usize {
    let length = u64::BITS - micros.leading_zeros();
    if length <= FINE {
        return usize::try_from(micros).unwrap_or(0);
    }
    let shift = length - FINE - 1;
    let fine = usize::try_from(micros >> shift).unwrap_or(0) & ((1 << FINE) - 1);
    (((shift as usize + 1) << FINE) + fine).min(BUCKETS - 1)
}

/// Where a bucket ends, in microseconds.
const fn end(index: usize) -> u64 {
    let (power, fine) = (index >> FINE, (index & ((1 << FINE) - 1)) as u64);
    if power == 0 { fine + 1 } else { ((1 << FINE) + fine + 1) << (power - 1) }
}

/// What is known of one workload's requests.
#[derive(Debug)]
pub struct Observed {
    /// Requests of callers who do not say where they are: they are where the router is.
    here: AtomicU64,
    regions: Named<AtomicU64>,
    answered: Histogram,
    hardware: Named<Times>,
    places: Named<Times>,
}

impl Observed {
    /// Nothing was observed yet.
    pub fn new() -> Self {
        Self {
            here: AtomicU64::new(0),
            regions: Named::default(),
            answered: Histogram::new(),
            hardware: Named::default(),
            places: Named::default(),
        }
    }

    /// A request came.
    pub fn arrived(&self, form: &Form) {
        let (Form::Http { headers, .. } | Form::Grpc { metadata: headers }) = form;
        let region = said(headers).and_then(|name| self.regions.of(name));
        region.as_deref().unwrap_or(&self.here).fetch_add(1, Ordering::Relaxed);
    }

    /// A request was answered after this time.
    pub fn answered(&self, time: Duration) {
        self.answered.add(time);
    }

    /// Where the times of cars with this hardware are added, if the name is one.
    pub fn hardware(&self, name: &str) -> Option<Arc<Times>> {
        self.hardware.of(name)
    }

    /// A Triton server of this place answered after this time.
    pub fn place(&self, name: &str, time: Duration) {
        if let Some(times) = self.places.of(name) {
            times.add(time);
        }
    }

    /// All of it; callers who did not say where they are count for `region`.
    pub fn json(&self, region: Option<&str>) -> Map<String, Value> {
        let mut regions = self.regions.json(|count| count.load(Ordering::Relaxed).into());
        let here = self.here.load(Ordering::Relaxed);
        let home = region.unwrap_or_default();
        if here > 0 || regions.get(home).is_some() {
            let said = regions.get(home).and_then(Value::as_u64).unwrap_or(0);
            regions[home] = (here + said).into();
        }
        let mut shown = Map::new();
        shown.insert("regions".to_owned(), regions);
        shown.insert("answered".to_owned(), self.answered.json());
        shown.insert("hardware".to_owned(), self.hardware.json(Times::json));
        shown.insert("places".to_owned(), self.places.json(Times::json));
        shown
    }
}

fn said(headers: &HeaderMap) -> Option<&str> {
    headers.get(REGION)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::uri::PathAndQuery;
    use http::{HeaderMap, HeaderValue};
    use serde_json::json;

    use super::{BUCKETS, NAMES, Observed, bucket, end};
    use crate::ask::Form;

    fn from(region: Option<&str>) -> Form {
        let mut headers = HeaderMap::new();
        if let Some(region) = region {
            headers.insert("parkade-region", HeaderValue::from_str(region).unwrap());
        }
        Form::Http { path: PathAndQuery::from_static("/"), headers }
    }

    #[test]
    fn buckets_follow_one_another_and_are_narrow() {
        for micros in (0..5000).chain((13..40).map(|power| 1 << power)).chain([u64::MAX]) {
            let index = bucket(micros);
            assert!(index < BUCKETS);
            if index < BUCKETS - 1 {
                assert!(micros < end(index), "{micros} in {index}");
                assert!(index == 0 || micros >= end(index - 1), "{micros} in {index}");
                assert!(micros < 8 || end(index) * 8 <= micros * 9 + 9, "{micros} ends at {}", end(index));
            }
        }
        assert!(end(BUCKETS - 2) > 600_000_000, "the longest deadline has a bucket of its own");
    }

    #[test]
    fn callers_count_where_they_say_they_are_or_where_the_router_is() {
        let observed = Observed::new();
        for region in [None, Some("us-tx"), Some("us-tx"), Some("us-ca"), Some("No Region!")] {
            observed.arrived(&from(region));
        }
        assert_eq!(observed.json(Some("us-ca"))["regions"], json!({"us-ca": 3, "us-tx": 2}));
        assert_eq!(observed.json(None)["regions"], json!({"": 2, "us-ca": 1, "us-tx": 2}));
    }

    #[test]
    fn invented_regions_do_not_fill_the_memory() {
        let observed = Observed::new();
        for number in 0..3 * NAMES {
            observed.arrived(&from(Some(&format!("r{number}"))));
        }
        let shown = observed.json(Some("here"));
        assert_eq!(shown["regions"].as_object().unwrap().len(), NAMES + 1);
        assert_eq!(shown["regions"]["here"], 2 * NAMES);
    }

    #[test]
    fn times_have_a_mean_and_a_variance() {
        let observed = Observed::new();
        for millis in [10, 30] {
            observed.place("austin", Duration::from_millis(millis));
            observed.hardware("hw4").unwrap().add(Duration::from_millis(millis));
            observed.answered(Duration::from_millis(millis));
        }
        let shown = observed.json(None);
        let times = json!({"count": 2, "seconds": 0.04, "squaredSeconds": 0.001});
        assert_eq!(shown["places"]["austin"], times);
        assert_eq!(shown["hardware"]["hw4"], times);
        assert_eq!(shown["answered"], json!([[0.010_240, 1], [0.030_720, 1]]));
    }
}
