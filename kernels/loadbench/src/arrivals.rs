//! When open-loop callers ask: a Poisson process drawn from a seed, kept by a thread of its own.

use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// Instants at which a request is due, `rate` a second on average, from now until `count` or `until`.
pub fn poisson(rate: f64, seed: u64, count: u64, until: Instant) -> UnboundedReceiver<Instant> {
    let (sender, receiver) = unbounded_channel();
    std::thread::spawn(move || {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut due = Instant::now();
        for _ in 0..count {
            due += gap(rate, random.f64());
            if due >= until {
                return;
            }
            // Late ones are sent at once, with the instant at which they were due.
            let ahead = due.saturating_duration_since(Instant::now());
            if !ahead.is_zero() {
                std::thread::sleep(ahead);
            }
            if sender.send(due).is_err() {
                return;
            }
        }
    });
    receiver
}

/// The exponential gap at which a uniform draw from 0 to 1 stands.
pub fn gap(rate: f64, uniform: f64) -> Duration {
    Duration::from_secs_f64(-(1.0 - uniform).ln() / rate)
}

#[cfg(test)]
mod tests {
    use super::gap;

    #[test]
    fn gaps_have_the_mean_of_the_rate() {
        let mut random = fastrand::Rng::with_seed(7);
        let total: f64 = (0..100_000).map(|_| gap(200.0, random.f64()).as_secs_f64()).sum();
        assert!((total / 100_000.0 - 0.005).abs() < 0.0001, "{total}");
    }
}
