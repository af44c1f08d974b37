//! When a second attempt may start beside a slow one: a patience that follows recent answer times, and a budget. Pure: no clock.

use std::time::Duration;

/// Answer times remembered for the patience.
const REMEMBERED: usize = 64;
/// Answer times before which nothing is slow.
const ENOUGH: usize = 16;
/// The patience is looked up anew after so many answers.
const REFRESH: usize = 16;
/// Share of answer times that are within the patience: percent.
const WITHIN: usize = 95;
/// One request earns `percent`, one hedge costs this.
const COST: u32 = 100;
/// Hedges that may be saved up.
const BURST: u32 = 10;

/// How a hedge ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hedged {
    /// The second attempt answered first.
    Won,
    /// The first attempt answered first.
    Lost,
    /// Neither answered.
    Failed,
    /// None was made: no other replica was free, or the budget was spent.
    Skipped,
}

impl Hedged {
    /// All, in the order of their declaration.
    pub const ALL: [Self; 4] = [Self::Won, Self::Lost, Self::Failed, Self::Skipped];

    /// The label in metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Won => "won",
            Self::Lost => "lost",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

/// Patience and budget of one workload.
#[derive(Debug)]
pub struct Hedges {
    /// Microseconds.
    recent: [u32; REMEMBERED],
    count: usize,
    patience: Duration,
    percent: u32,
    saved: u32,
}

impl Hedges {
    /// At most `percent` of requests are hedged.
    pub const fn new(percent: u8) -> Self {
        Self { recent: [0; REMEMBERED], count: 0, patience: Duration::ZERO, percent: percent as u32, saved: 0 }
    }

    /// A request is at a car: after this time it is slow, if enough is known.
    pub fn patience(&mut self) -> Option<Duration> {
        self.saved = (self.saved + self.percent).min(BURST * COST);
        (self.count >= ENOUGH).then_some(self.patience)
    }

    /// Whether a hedge can be afforded; it is paid for at once.
    pub fn spend(&mut self) -> bool {
        let rest = self.saved.checked_sub(COST);
        self.saved = rest.unwrap_or(self.saved);
        rest.is_some()
    }

    /// A car answered after this time, or was slower than that.
    pub fn answered(&mut self, took: Duration) {
        self.recent[self.count % REMEMBERED] = u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
        self.count += 1;
        if self.count.is_multiple_of(REFRESH) {
            let mut times = self.recent;
            let known = &mut times[..self.count.min(REMEMBERED)];
            let rank = known.len() * WITHIN / 100;
            let (_, patience, _) = known.select_nth_unstable(rank);
            self.patience = Duration::from_micros((*patience).into());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{BURST, ENOUGH, Hedges};

    fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn the_patience_is_the_95th_percentile_once_enough_is_known() {
        let mut hedges = Hedges::new(100);
        for count in 0..ENOUGH {
            assert_eq!(hedges.patience(), None);
            hedges.answered(ms(count as u64 + 1));
        }
        assert_eq!(hedges.patience(), Some(ms(16)), "the largest of 16");
        (0..64).for_each(|count| hedges.answered(ms(100 + count)));
        assert_eq!(hedges.patience(), Some(ms(160)), "rank 60 of 64");
    }

    #[test]
    fn never_more_than_the_percentage_is_hedged() {
        let mut hedges = Hedges::new(5);
        let mut spent = 0;
        for requests in 1..=1000 {
            hedges.patience();
            spent += u32::from(hedges.spend());
            assert!(spent * 100 <= 5 * requests, "{spent} of {requests}");
        }
        assert_eq!(spent, 50);
        for _ in 0..10_000 {
            hedges.patience();
        }
        assert_eq!((0..100).filter(|_| hedges.spend()).count(), BURST as usize, "little is saved up");
    }

    #[test]
    fn without_a_budget_nothing_is_hedged() {
        let mut hedges = Hedges::new(0);
        hedges.patience();
        assert!(!hedges.spend());
    }
}
