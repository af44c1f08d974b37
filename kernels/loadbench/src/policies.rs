//! Which replica gets the next request: policies over equal servers, played through in simulated time from a seed.
//!
//! Poisson arrivals, deterministic service. A policy that picks a server at once is first come, first served there. What the
//! router does is a central queue of credits that return a little after the answer; split credits are what it would be
//! without an owner for each workload.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use clap::Args;
use serde_json::json;

use crate::arrivals::gap;
use crate::say;

/// Flags.
#[derive(Clone, Debug, Args)]
pub struct Settings {
    /// Equal servers, one request at a time each.
    #[arg(long, default_value_t = 64)]
    servers: usize,
    /// Utilisation, from 0 to 1.
    #[arg(long, default_value_t = 0.7)]
    load: f64,
    /// Microseconds of service.
    #[arg(long, default_value_t = 20_000)]
    service_micros: u64,
    /// Microseconds from an answer until the router knows that its replica is free, and from the router to the replica.
    #[arg(long, default_value_t = 200)]
    turnaround_micros: u64,
    /// Requests.
    #[arg(long, default_value_t = 1_000_000)]
    requests: usize,
    /// Seed of arrivals and choices.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Simulated nanoseconds.
type Time = u64;

/// Latencies of requests that arrive at given times.
trait Policy {
    fn serve(&mut self, arrival: Time, random: &mut fastrand::Rng) -> Time;
}

/// Whoever is free first takes the next request: also with credits that come back late.
struct Central {
    free: BinaryHeap<Reverse<Time>>,
    service: Time,
    /// On the way to the replica, and until its credit is back.
    turnaround: Time,
}

impl Central {
    fn new(servers: usize, service: Time, turnaround: Time) -> Self {
        Self { free: (0..servers).map(|_| Reverse(0)).collect(), service, turnaround }
    }
}

impl Policy for Central {
    fn serve(&mut self, arrival: Time, _: &mut fastrand::Rng) -> Time {
        let Reverse(free) = self.free.pop().unwrap_or(Reverse(0));
        let end = arrival.max(free) + self.turnaround + self.service;
        self.free.push(Reverse(end));
        end - arrival
    }
}

/// Several routers, each with its part of the servers, and callers who know no better than chance.
struct Split(Vec<Central>);

impl Policy for Split {
    fn serve(&mut self, arrival: Time, random: &mut fastrand::Rng) -> Time {
        let router = random.usize(..self.0.len());
        self.0[router].serve(arrival, random)
    }
}

/// What `Sampled` compares.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    /// Work left, which only a server itself knows.
    Work,
    /// Requests under way, which a proxy can count.
    Requests,
}

/// The best of some servers drawn by chance.
struct Sampled {
    servers: Vec<VecDeque<Time>>,
    draws: usize,
    by: By,
    service: Time,
}

impl Sampled {
    fn new(servers: usize, draws: usize, by: By, service: Time) -> Self {
        Self { servers: vec![VecDeque::new(); servers], draws, by, service }
    }

    fn burden(&mut self, server: usize, now: Time) -> Time {
        let ends = &mut self.servers[server];
        while ends.front().is_some_and(|end| *end <= now) {
            ends.pop_front();
        }
        match self.by {
            By::Work => ends.back().map_or(0, |end| end - now),
            By::Requests => ends.len() as Time,
        }
    }
}

impl Policy for Sampled {
    fn serve(&mut self, arrival: Time, random: &mut fastrand::Rng) -> Time {
        let mut best = random.usize(..self.servers.len());
        let mut least = self.burden(best, arrival);
        for _ in 1..self.draws {
            let other = random.usize(..self.servers.len());
            let burden = self.burden(other, arrival);
            if burden < least {
                (best, least) = (other, burden);
            }
        }
        let start = self.servers[best].back().copied().unwrap_or(0).max(arrival);
        self.servers[best].push_back(start + self.service);
        start + self.service - arrival
    }
}

/// Prints the quantiles of each policy's latency, in service times.
pub fn run(settings: &Settings) -> Result<(), String> {
    let (servers, service) = (settings.servers, settings.service_micros * 1_000);
    let turnaround = settings.turnaround_micros * 1_000;
    let split =
        |routers: usize| Split((0..routers).map(|_| Central::new(servers / routers, service, turnaround)).collect());
    let policies: Vec<(&str, Box<dyn Policy>)> = vec![
        ("central queue", Box::new(Central::new(servers, service, 0))),
        ("router", Box::new(Central::new(servers, service, turnaround))),
        ("router, credits split over 2", Box::new(split(2))),
        ("router, credits split over 4", Box::new(split(4))),
        ("least work of 4", Box::new(Sampled::new(servers, 4, By::Work, service))),
        ("least requests of 4", Box::new(Sampled::new(servers, 4, By::Requests, service))),
        ("least work of 2", Box::new(Sampled::new(servers, 2, By::Work, service))),
        ("power of two (least requests of 2)", Box::new(Sampled::new(servers, 2, By::Requests, service))),
        ("random", Box::new(Sampled::new(servers, 1, By::Requests, service))),
    ];
    for (name, mut policy) in policies {
        let [p50, p99, p999] = quantiles(&mut *policy, settings);
        say(&json!({"policy": name, "p50": p50, "p99": p99, "p999": p999}))?;
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "ratios of times within a run")]
fn quantiles(policy: &mut dyn Policy, settings: &Settings) -> [f64; 3] {
    let service = Duration::from_micros(settings.service_micros);
    let rate = settings.load * settings.servers as f64 / service.as_secs_f64();
    // Arrivals are the same for every policy; choices are drawn apart.
    let mut arrivals = fastrand::Rng::with_seed(settings.seed);
    let mut choices = fastrand::Rng::with_seed(settings.seed ^ 0x5bd1_e995);
    let (mut now, mut latencies) = (0.0, Vec::with_capacity(settings.requests));
    for _ in 0..settings.requests {
        now += gap(rate, arrivals.f64()).as_secs_f64();
        let arrival = Duration::from_secs_f64(now).as_nanos();
        latencies.push(policy.serve(Time::try_from(arrival).unwrap_or(Time::MAX), &mut choices));
    }
    latencies.sort_unstable();
    [50, 99, 999].map(|part| {
        let whole = if part == 999 { 1000 } else { 100 };
        let index = (latencies.len() * part / whole).min(latencies.len().saturating_sub(1));
        latencies[index] as f64 / service.as_nanos() as f64
    })
}

#[cfg(test)]
mod tests {
    use super::{By, Central, Policy, Sampled, Settings, Split, quantiles};

    const SERVICE: u64 = 20_000_000;

    fn p99(mut policy: impl Policy) -> f64 {
        let settings = Settings {
            servers: 64,
            load: 0.7,
            service_micros: SERVICE / 1_000,
            turnaround_micros: 0,
            requests: 200_000,
            seed: 5,
        };
        quantiles(&mut policy, &settings)[1]
    }

    #[test]
    fn one_queue_hardly_waits_and_chance_waits_long() {
        let central = p99(Central::new(64, SERVICE, 0));
        let four = p99(Sampled::new(64, 4, By::Work, SERVICE));
        let two = p99(Sampled::new(64, 2, By::Work, SERVICE));
        let random = p99(Sampled::new(64, 1, By::Requests, SERVICE));
        assert!((1.0..1.05).contains(&central), "{central}");
        assert!(central < four && four < two && two < random, "{central} {four} {two} {random}");
        // M/D/1 at 70 %.
        assert!((5.0..9.0).contains(&random), "{random}");
    }

    #[test]
    fn splitting_credits_costs() {
        let parts = (0..4).map(|_| Central::new(16, SERVICE, 0)).collect();
        assert!(p99(Split(parts)) > 1.2 * p99(Central::new(64, SERVICE, 0)));
    }
}
