//! What callers saw: latencies, failures by kind, and the processor time that it took on both sides.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde_json::{Value, json};

/// Of Linux on every architecture Rust runs on: /proc counts processor time in hundredths of a second.
const TICKS_PER_SECOND: f64 = 100.0;
/// Latencies are kept from a microsecond to ten minutes within 0.1 %.
const LONGEST_MICROS: u64 = 600_000_000;
const DIGITS: u8 = 3;

/// Counts of one run.
#[derive(Debug)]
pub struct Tally {
    latencies: Histogram<u64>,
    failures: BTreeMap<String, u64>,
    /// What ends before this does not count.
    pub counts_from: Instant,
    last: Instant,
}

impl Tally {
    /// Counts what ends at `counts_from` or later.
    pub fn new(counts_from: Instant) -> Result<Self, String> {
        let latencies = Histogram::new_with_bounds(1, LONGEST_MICROS, DIGITS).map_err(|error| error.to_string())?;
        Ok(Self { latencies, failures: BTreeMap::new(), counts_from, last: counts_from })
    }

    /// An answer came.
    pub fn answered(&mut self, due: Instant, now: Instant) {
        if now >= self.counts_from {
            self.latencies.saturating_record(micros(now - due));
            self.last = self.last.max(now);
        }
    }

    /// None came, or a refusal; failures count from the start.
    pub fn failed(&mut self, kind: String) {
        *self.failures.entry(kind).or_default() += 1;
    }

    /// Answers and failures so far.
    #[cfg(test)]
    pub fn count(&self) -> (u64, u64) {
        (self.latencies.len(), self.failures.values().sum())
    }

    /// The figures: rates a second, latencies in microseconds.
    pub fn report(&self) -> Value {
        let seconds = (self.last - self.counts_from).as_secs_f64();
        let at = |quantile| self.latencies.value_at_quantile(quantile);
        json!({
            "requests": self.latencies.len(),
            "seconds": seconds,
            "perSecond": if seconds > 0.0 { rate(self.latencies.len(), seconds) } else { 0.0 },
            "meanMicros": self.latencies.mean(),
            "p50Micros": at(0.5),
            "p90Micros": at(0.9),
            "p99Micros": at(0.99),
            "p999Micros": at(0.999),
            "maxMicros": self.latencies.max(),
            "failures": self.failures.values().sum::<u64>(),
            "failuresByKind": self.failures,
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "a run has far fewer than 2^52 requests")]
fn rate(count: u64, seconds: f64) -> f64 {
    count as f64 / seconds
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Processor seconds, user and system, that a process used so far; none where there is no /proc or no such process.
pub fn processor_seconds(process: &str) -> Option<f64> {
    let line = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The program's name, in brackets, may hold blanks.
    let mut fields = line.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let (user, system): (f64, f64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((user + system) / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Tally, processor_seconds};

    #[test]
    fn only_what_ends_after_the_warm_up_counts() {
        let begun = Instant::now();
        let mut tally = Tally::new(begun + Duration::from_secs(1)).unwrap();
        tally.answered(begun, begun + Duration::from_millis(900));
        tally.answered(begun, begun + Duration::from_secs(3));
        tally.failed("status 503".to_owned());
        assert_eq!(tally.count(), (1, 1));
        let report = tally.report();
        assert_eq!(report["seconds"], 2.0);
        assert!((2_997_000..=3_003_000).contains(&report["p99Micros"].as_u64().unwrap()), "{report}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_used_time() {
        assert!(processor_seconds("self").is_some());
        assert!(processor_seconds("0").is_none());
    }
}
