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
        if self.cars.len() >= REMEMBERED {
            self.cars.retain(|_, strike| strike.until.is_some_and(|until| until > now));
        }
        if self.cars.len() >= REMEMBERED && !self.cars.contains_key(vehicle) {
            return false;
        }
        let strike = self.cars.entry(vehicle.clone()).or_insert(Strike { count: 0, until: None });
        strike.count += 1;
        if strike.count < MOST || strike.until.is_some() {
            return false;
        }
        strike.until = Some(now + self.rest);
        true
    }

    /// The car answered well.
    pub fn forgive(&mut self, vehicle: &str) {
        if !self.cars.is_empty() {
            self.cars.remove(vehicle);
        }
    }

    /// How long the car's offers are still refused. Afterwards it may try again, and one more bad answer is enough.
    pub fn refuses(&mut self, vehicle: &str, now: Instant) -> Option<Duration> {
        let strike = self.cars.get_mut(vehicle)?;
        let left = strike.until?.checked_duration_since(now).filter(|left| !left.is_zero());
        if left.is_none() {
            *strike = Strike { count: MOST - 1, until: None };
        }
        left
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use super::{REMEMBERED, Strikes};

    const REST: Duration = Duration::from_secs(300);

    #[test]
    fn three_in_a_row_are_too_many_and_one_more_after_the_rest() {
        let (mut strikes, now, car) = (Strikes::new(REST), Instant::now(), Arc::from("f/v"));
        assert!(!strikes.against(&car, now) && !strikes.against(&car, now));
        assert_eq!(strikes.refuses(&car, now), None);
        assert!(strikes.against(&car, now), "the third");
        assert!(!strikes.against(&car, now), "what was under way is no news");
        assert_eq!(strikes.refuses(&car, now), Some(REST));
        assert_eq!(strikes.refuses("f/other", now), None);
        let later = now + REST;
        assert_eq!(strikes.refuses(&car, later), None, "it may try again");
        assert!(strikes.against(&car, later), "and has one try");
        assert_eq!(strikes.refuses(&car, later), Some(REST));
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
