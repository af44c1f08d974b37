//! Which of many events are taken: a share of them, by a fixed sequence that draws no random number.

use std::sync::atomic::{AtomicU64, Ordering};

/// 2^64 over the golden ratio: multiples of it, modulo 2^64, spread evenly, also every n-th of them. Cars answer in turns,
/// and each of them is to be taken as often as the others.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Takes a share of events.
#[derive(Debug, Default)]
pub struct Chance {
    asked: AtomicU64,
    /// In 2^64ths.
    share: AtomicU64,
}

impl Chance {
    /// This percentage of events is taken.
    pub fn of(percent: f64) -> Self {
        let chance = Self::default();
        chance.follow(percent);
        chance
    }

    /// From now on this percentage is.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 2^64, which saturates")]
    pub fn follow(&self, percent: f64) {
        self.share.store((percent / 100.0 * 2f64.powi(64)) as u64, Ordering::Relaxed);
    }

    /// Whether the event that just came is taken.
    pub fn has_come(&self) -> bool {
        let share = self.share.load(Ordering::Relaxed);
        share > 0 && self.asked.fetch_add(1, Ordering::Relaxed).wrapping_mul(GOLDEN) < share
    }
}

#[cfg(test)]
mod tests {
    use super::Chance;

    fn taken(percent: f64, of: usize) -> usize {
        let chance = Chance::of(percent);
        (0..of).filter(|_| chance.has_come()).count()
    }

    #[test]
    fn the_share_is_kept_in_any_hundred() {
        assert_eq!((taken(0.0, 10_000), taken(100.0, 10_000)), (0, 10_000));
        for percent in [1_u8, 2, 10, 50, 99] {
            assert!(taken(f64::from(percent), 10_000).abs_diff(usize::from(percent) * 100) <= 3, "{percent}");
        }
        assert!(taken(0.05, 100_000).abs_diff(50) <= 2);
    }

    #[test]
    fn no_car_of_a_round_is_left_out() {
        for cars in [2, 7, 10, 50, 100] {
            let chance = Chance::of(10.0);
            let mut of_car = vec![0_usize; cars];
            for _ in 0..10_000 {
                for taken in &mut of_car {
                    *taken += usize::from(chance.has_come());
                }
            }
            assert!(of_car.iter().all(|taken| taken.abs_diff(1000) <= 20), "{cars} cars: {of_car:?}");
        }
    }
}
