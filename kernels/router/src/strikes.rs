//! Cars whose answers could not be used several times in a row: for a while their offers are refused. Pure: no clock.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Answers in a row that could not be used, after which a car's offers are refused.
pub const MOST: u32 = 3;
/// Cars remembered at a time, in one workload; a car that is good is not remembered.
const REMEMBERED: usize = 4096;

#[derive(Clone, Copy, Debug)]
struct Strike {
    count: u32,
    until: Option<Instant>,
    fault: Fault,
}

/// Why a car is kept away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Several of its answers in a row could not be used.
    Unusable,
    /// One of its answers was not what Triton says, twice.
    Wrong,
}

/// What one workload remembers of bad cars.
#[derive(Debug)]
pub struct Strikes {
    cars: HashMap<Arc<str>, Strike>,
    rest: Duration,
}

impl Strikes {
    /// Nothing is known; a car's offers will be refused for `rest`.
    pub fn new(rest: Duration) -> Self {
        Self { cars: HashMap::new(), rest }
    }

    /// For how long a car's offers are refused.
    pub const fn rest(&self) -> Duration {
        self.rest
    }

    /// An answer of the car could not be used; true if from now on its offers are refused.
    pub fn against(&mut self, vehicle: &Arc<str>, now: Instant) -> bool {
        if !self.has_room(vehicle, now) {
            return false;
        }
        let until = Some(now + self.rest);
        let strike = self.entry(vehicle);
        strike.count += 1;
        if strike.count < MOST || strike.until.is_some() {
            return false;
        }
        *strike = Strike { until, fault: Fault::Unusable, ..*strike };
        true
    }

    /// An answer of the car was wrong; true if its offers were not refused before.
    pub fn condemn(&mut self, vehicle: &Arc<str>, now: Instant) -> bool {
        if !self.has_room(vehicle, now) {
            return false;
        }
        let until = Some(now + self.rest);
        let strike = self.entry(vehicle);
        let news = strike.until.is_none();
        *strike = Strike { count: MOST, until, fault: Fault::Wrong };
        news
    }

    fn entry(&mut self, vehicle: &Arc<str>) -> &mut Strike {
        self.cars.entry(vehicle.clone()).or_insert(Strike { count: 0, until: None, fault: Fault::Unusable })
    }

    fn has_room(&mut self, vehicle: &str, now: Instant) -> bool {
        if self.cars.len() >= REMEMBERED {
            self.cars.retain(|_, strike| strike.until.is_some_and(|until| until > now));
        }
        self.cars.len() < REMEMBERED || self.cars.contains_key(vehicle)
    }

    /// The car answered well. False if its offers are refused all the same: what was under way changes nothing.
    pub fn forgive(&mut self, vehicle: &str) -> bool {
        if self.cars.is_empty() {
            return true;
        }
        let refused = self.cars.get(vehicle).is_some_and(|strike| strike.until.is_some());
        if !refused {
            self.cars.remove(vehicle);
        }
        !refused
    }

    /// How long the car's offers are still refused, and why. Afterwards it may try again, and one more bad answer is enough.
    pub fn refuses(&mut self, vehicle: &str, now: Instant) -> Option<(Duration, Fault)> {
        let strike = self.cars.get_mut(vehicle)?;
        let left = strike.until?.checked_duration_since(now).filter(|left| !left.is_zero());
        if left.is_none() {
            *strike = Strike { count: MOST - 1, until: None, ..*strike };
        }
        left.map(|left| (left, strike.fault))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use super::{Fault, REMEMBERED, Strikes};

    const REST: Duration = Duration::from_secs(300);

    #[test]
    fn three_in_a_row_are_too_many_and_one_more_after_the_rest() {
        let (mut strikes, now, car) = (Strikes::new(REST), Instant::now(), Arc::from("f/v"));
        assert!(!strikes.against(&car, now) && !strikes.against(&car, now));
        assert_eq!(strikes.refuses(&car, now), None);
        assert!(strikes.against(&car, now), "the third");
        assert!(!strikes.against(&car, now), "what was under way is no news");
        assert_eq!(strikes.refuses(&car, now), Some((REST, Fault::Unusable)));
        assert_eq!(strikes.refuses("f/other", now), None);
        let later = now + REST;
        assert_eq!(strikes.refuses(&car, later), None, "it may try again");
        assert!(strikes.against(&car, later), "and has one try");
        assert_eq!(strikes.refuses(&car, later), Some((REST, Fault::Unusable)));
    }

    #[test]
    fn a_good_answer_in_between_forgives() {
        let (mut strikes, now, car) = (Strikes::new(REST), Instant::now(), Arc::from("f/v"));
        for _ in 0..5 {
            assert!(!strikes.against(&car, now) && !strikes.against(&car, now));
            strikes.forgive(&car);
        }
        assert_eq!(strikes.refuses(&car, now), None);
    }

    #[test]
    fn one_wrong_answer_is_too_many_and_good_looks_do_not_help() {
        let (mut strikes, now, car) = (Strikes::new(REST), Instant::now(), Arc::from("f/v"));
        assert!(strikes.condemn(&car, now));
        assert!(!strikes.condemn(&car, now), "what was under way is no news");
        assert!(!strikes.forgive(&car), "it is refused all the same");
        assert_eq!(strikes.refuses(&car, now), Some((REST, Fault::Wrong)));
        let later = now + REST;
        assert_eq!(strikes.refuses(&car, later), None, "it may try again");
        assert!(strikes.condemn(&car, later));
        assert_eq!(strikes.refuses(&car, later + REST), None);
        assert!(strikes.forgive(&car));
    }

    #[test]
    fn a_flood_of_bad_cars_does_not_fill_the_memory() {
        let (mut strikes, now) = (Strikes::new(REST), Instant::now());
        let bad: Arc<str> = Arc::from("f/bad");
        assert!((0..3).map(|_| strikes.against(&bad, now)).last() == Some(true));
        for number in 0..3 * REMEMBERED {
            strikes.against(&Arc::from(format!("f/{number}")), now);
        }
        assert!(strikes.cars.len() <= REMEMBERED);
        assert!(strikes.refuses(&bad, now).is_some(), "who is refused is not forgotten for others");
    }
}
