//! How many requests a second a namespace may send: one token bucket each, in this router alone.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::errors::Refusal;
use crate::files;

/// Buckets kept at most; past it, full ones are forgotten, which changes nothing for their namespaces.
const MOST: usize = 4096;
/// What sums of fractions of a request may miss.
const ROUNDING: f64 = 1e-6;
/// The longest wait that is told.
const LONGEST: Duration = Duration::from_secs(3600);

/// The limits of all namespaces and what they have left.
#[derive(Debug)]
pub struct Quotas {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    limits: Limits,
    buckets: HashMap<Arc<str>, Bucket>,
}

/// The file's content.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Limits {
    /// Of namespaces that are not named; none: they are not limited.
    #[serde(default)]
    default: Option<Limit>,
    #[serde(default)]
    namespaces: BTreeMap<String, Limit>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Limit {
    /// Requests per second over time.
    rate: f64,
    /// Requests at once; default: one second's worth.
    #[serde(default)]
    burst: Option<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// Requests that may come at once.
    left: f64,
    /// When that was so.
    at: Instant,
}

impl Limit {
    fn burst(self) -> f64 {
        self.burst.map_or(self.rate.max(1.0), f64::from)
    }

    fn is_good(self) -> bool {
        self.rate.is_finite() && self.rate > 0.0 && self.burst != Some(0)
    }
}

impl Bucket {
    fn filled(self, limit: Limit, now: Instant) -> f64 {
        let seconds = now.saturating_duration_since(self.at).as_secs_f64();
        seconds.mul_add(limit.rate, self.left).min(limit.burst())
    }
}

impl Limits {
    fn read(bytes: &[u8]) -> Result<Self, String> {
        // YAML 1.1 reads `n` and `yes` as truths; names of namespaces are text.
        let options = serde_saphyr::options! { strict_booleans: true };
        let limits: Self = serde_saphyr::from_slice_with_options(bytes, options)
            .map_err(|error| format!("not quotas: {error}; write {{default: {{rate: 100, burst: 200}}}}"))?;
        let named = limits.namespaces.iter().map(|(name, limit)| (name.as_str(), *limit));
        match limits.default.map(|limit| ("default", limit)).into_iter().chain(named).find(|(_, it)| !it.is_good()) {
            Some((name, _)) => Err(format!("not quotas: rate and burst of {name} must be above 0")),
            None => Ok(limits),
        }
    }

    fn of(&self, namespace: &str) -> Option<Limit> {
        self.namespaces.get(namespace).copied().or(self.default)
    }
}

impl State {
    /// Takes one request out of the namespace's bucket, or says at which rate and when the next one is allowed.
    fn take(&mut self, namespace: &str, now: Instant) -> Result<(), (f64, Duration)> {
        let Some(limit) = self.limits.of(namespace) else { return Ok(()) };
        if !self.buckets.contains_key(namespace) {
            self.make_room(now);
        }
        let bucket = match self.buckets.get_mut(namespace) {
            Some(bucket) => bucket,
            None => self.buckets.entry(namespace.into()).or_insert(Bucket { left: limit.burst(), at: now }),
        };
        let left = bucket.filled(limit, now);
        let taken = left > 1.0 - ROUNDING;
        *bucket = Bucket { left: if taken { left - 1.0 } else { left }, at: now };
        if taken {
            return Ok(());
        }
        Err((limit.rate, Duration::from_secs_f64(((1.0 - left) / limit.rate).min(LONGEST.as_secs_f64()))))
    }

    fn make_room(&mut self, now: Instant) {
        if self.buckets.len() < MOST {
            return;
        }
        let limits = &self.limits;
        self.buckets.retain(|namespace, bucket| {
            limits.of(namespace).is_some_and(|limit| bucket.filled(limit, now) < limit.burst())
        });
        if self.buckets.len() >= MOST {
            self.buckets.clear();
        }
    }
}

impl Quotas {
    /// Reads the file, and again whenever it changes.
    ///
    /// # Errors
    /// A sentence: the file cannot be read at the start.
    pub fn open(path: &Path) -> Result<Arc<Self>, String> {
        let named = |sentence: String| format!("--quota {}: {sentence}", path.display());
        let bytes = std::fs::read(path).map_err(|error| named(format!("{error}; give a file that can be read")))?;
        let limits = Limits::read(&bytes).map_err(named)?;
        let quotas = Arc::new(Self { state: Mutex::new(State { limits, ..State::default() }) });
        let following = quotas.clone();
        tokio::spawn(files::follow(path.to_owned(), move |bytes| {
            following.state().limits = Limits::read(bytes)?;
            Ok(())
        }));
        Ok(quotas)
    }

    /// One request of a namespace.
    pub fn admit(&self, namespace: &str) -> Result<(), Refusal> {
        self.state().take(namespace, Instant::now()).map_err(|(rate, wait)| Refusal::OverQuota {
            namespace: namespace.to_owned(),
            rate,
            wait,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Limits, MOST, State};

    fn state(text: &str) -> State {
        State { limits: Limits::read(text.as_bytes()).unwrap(), ..State::default() }
    }

    #[test]
    fn a_burst_then_the_rate() {
        let mut state = state("{default: {rate: 10, burst: 3}}");
        let begun = Instant::now();
        for _ in 0..3 {
            state.take("a", begun).unwrap();
        }
        let (rate, wait) = state.take("a", begun).unwrap_err();
        assert!((rate - 10.0).abs() < 1e-9);
        assert_eq!(wait.as_millis(), 100);
        let admitted = (1..=1000).filter(|step| state.take("a", begun + Duration::from_millis(step * 10)).is_ok());
        assert_eq!(admitted.count(), 100, "ten seconds at ten a second");
        state.take("b", begun).unwrap();
    }

    #[test]
    fn a_namespace_of_its_own_and_one_without_limit() {
        let mut state = state("namespaces:\n  a: {rate: 0.5}\n");
        let now = Instant::now();
        state.take("a", now).unwrap();
        assert_eq!(state.take("a", now).unwrap_err().1, Duration::from_secs(2));
        for _ in 0..100 {
            state.take("b", now).unwrap();
        }
        assert_eq!(state.buckets.len(), 1, "who has no limit needs no bucket");
    }

    #[test]
    fn a_changed_limit_holds_at_once() {
        let mut state = state("{default: {rate: 1, burst: 100}}");
        let now = Instant::now();
        state.take("a", now).unwrap();
        state.limits = Limits::read(b"{default: {rate: 1, burst: 2}}").unwrap();
        assert!(state.take("a", now).is_ok() && state.take("a", now).is_ok());
        assert!(state.take("a", now).is_err());
    }

    #[test]
    fn namespaces_without_end_take_no_memory_without_end() {
        let mut state = state("{default: {rate: 1, burst: 2}}");
        let now = Instant::now();
        for index in 0..3 * MOST {
            state.take(&format!("n{index}"), now).unwrap();
        }
        assert!(state.buckets.len() <= MOST);
    }

    #[test]
    fn a_file_that_cannot_be_meant_is_refused() {
        for (text, word) in [
            ("[]", "not quotas"),
            ("{default: {rate: 0}}", "default"),
            ("{namespaces: {a: {rate: -1}}}", "of a "),
            ("{namespaces: {a: {rate: .inf}}}", "of a "),
            ("{default: {rate: 1, burst: 0}}", "above 0"),
            ("{default: {rate: 1, bursts: 2}}", "bursts"),
        ] {
            let sentence = Limits::read(text.as_bytes()).unwrap_err();
            assert!(sentence.contains(word), "{text}: {sentence}");
        }
    }
}
