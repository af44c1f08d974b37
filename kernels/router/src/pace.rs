//! How fast the replicas of one workload answer, and what follows for a request that has to wait. Pure: no clock.

use std::time::Duration;

use crate::queue::Tier;

/// Answers of a tier before which nothing is said about it.
const ENOUGH: u32 = 8;
/// The mean follows the last answers, about this many.
const REMEMBERED: u32 = 16;
/// A request is given up when its estimate is over this many times its time left. The estimate rests on the mean of 16
/// answer times, whose standard deviation is a quarter of it where answer times vary as much as in a Poisson process.
const CLEARLY: f64 = 1.25;

/// Answer times of one tier in seconds.
#[derive(Clone, Copy, Debug, Default)]
struct Times {
    mean: f64,
    count: u32,
    /// The shortest of the last whole window of `REMEMBERED` answers, and of the one that is being filled.
    shortest: [f64; 2],
}

impl Times {
    fn add(&mut self, seconds: f64) {
        let [last, filling] = self.shortest;
        self.shortest = match self.count {
            0 => [seconds, seconds],
            count if count % REMEMBERED == 0 => [filling, seconds],
            count if count < REMEMBERED => [last.min(seconds); 2],
            _ => [last, filling.min(seconds)],
        };
        self.count = self.count.saturating_add(1);
        self.mean += (seconds - self.mean) / f64::from(self.count.min(REMEMBERED));
    }
}

/// Recent answer times by tier.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    tiers: [Times; 2],
}

/// What is known about the answers to come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outlook {
    /// Answers per second when every replica is busy.
    rate: f64,
    /// The shortest recent answer time in seconds.
    shortest: f64,
}

impl Pace {
    /// A replica of this tier answered well.
    pub fn add(&mut self, tier: Tier, took: Duration) {
        self.tiers[tier as usize].add(took.as_secs_f64());
    }

    /// The outlook with so many requests at a time in each tier; `None` while there is no replica or too little is known.
    pub fn outlook(&self, at_a_time: [usize; 2]) -> Option<Outlook> {
        let mut outlook = Outlook { rate: 0.0, shortest: f64::INFINITY };
        for (times, count) in self.tiers.iter().zip(at_a_time) {
            if count == 0 {
                continue;
            }
            if times.count < ENOUGH {
                return None;
            }
            outlook.rate += f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / times.mean.max(1e-9);
            outlook.shortest = outlook.shortest.min(times.shortest[0]).min(times.shortest[1]);
        }
        (outlook.rate > 0.0).then_some(outlook)
    }
}

impl Outlook {
    /// Expected wait of a request with `ahead` others before it: when all replicas are busy at random moments of their
    /// work, the first is free after half of the time between two answers.
    pub fn wait(self, ahead: usize) -> Duration {
        let ahead = f64::from(u32::try_from(ahead).unwrap_or(u32::MAX));
        Duration::try_from_secs_f64((ahead + 0.5) / self.rate).unwrap_or(Duration::MAX)
    }

    /// The expected wait, if with it even a quick answer clearly comes after the time left.
    pub fn too_late(self, ahead: usize, left: Duration) -> Option<Duration> {
        let wait = self.wait(ahead);
        (wait.as_secs_f64() + self.shortest > CLEARLY * left.as_secs_f64()).then_some(wait)
    }

    /// Whether no recent answer was quick enough for the time left.
    pub fn is_hopeless(self, left: Duration) -> bool {
        left.as_secs_f64() < self.shortest
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{ENOUGH, Pace};
    use crate::queue::Tier;

    fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    fn pace(tier: Tier, took: Duration) -> Pace {
        let mut pace = Pace::default();
        (0..ENOUGH).for_each(|_| pace.add(tier, took));
        pace
    }

    #[test]
    fn nothing_is_said_before_enough_is_known() {
        let mut pace = Pace::default();
        for _ in 1..ENOUGH {
            pace.add(Tier::Vehicle, ms(10));
        }
        assert_eq!(pace.outlook([4, 0]), None);
        pace.add(Tier::Vehicle, ms(10));
        assert!(pace.outlook([4, 0]).is_some());
        assert_eq!(pace.outlook([4, 1]), None, "a server that has not answered yet may be quick");
        assert_eq!(pace.outlook([0, 0]), None, "no replica: none may come soon");
    }

    #[test]
    fn replicas_of_both_tiers_work_at_the_same_time() {
        let mut pace = pace(Tier::Vehicle, ms(20));
        (0..ENOUGH).for_each(|_| pace.add(Tier::Datacenter, ms(10)));
        // 2 / 20 ms + 1 / 10 ms = 200 answers a second.
        let outlook = pace.outlook([2, 1]).unwrap();
        let wait = outlook.wait(9).as_secs_f64();
        assert!((wait - 0.0475).abs() < 1e-6, "{wait}");
        // 47.5 ms of waiting and a quick answer of 10 ms are 1.25 times 46 ms.
        assert!(outlook.too_late(9, ms(47)).is_none());
        assert!(outlook.too_late(9, ms(45)).is_some());
        assert!(outlook.is_hopeless(ms(9)) && !outlook.is_hopeless(ms(11)));
    }

    #[test]
    fn the_last_answers_count() {
        let mut pace = pace(Tier::Vehicle, Duration::from_secs(2));
        (0..200).for_each(|_| pace.add(Tier::Vehicle, ms(10)));
        let outlook = pace.outlook([1, 0]).unwrap();
        assert!(outlook.wait(0) < ms(6));
        assert!(outlook.is_hopeless(ms(9)));
        (0..40).for_each(|_| pace.add(Tier::Vehicle, ms(100)));
        assert!(pace.outlook([1, 0]).unwrap().is_hopeless(ms(99)), "a quick answer long ago is no hope");
    }
}
