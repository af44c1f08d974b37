//! Cars that were here a moment ago: a link or a router that fails hangs up on many at once, and most dial again at once.
//! Pure: no clock.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Who has not come back by then is not expected any more. A car dials again within a second or two.
const EXPECTED: Duration = Duration::from_secs(5);

/// Connections that ended, and have not been followed by as many new ones.
#[derive(Debug, Default)]
pub struct Returning {
    /// Ended since the time was last told.
    lately: usize,
    /// The others: when the time was told first after their end, and how many.
    ended: VecDeque<(Instant, usize)>,
}

impl Returning {
    /// Connections ended.
    pub const fn end(&mut self, count: usize) {
        self.lately += count;
    }

    /// A car dialled.
    pub fn come(&mut self) {
        if let Some((_, count)) = self.ended.front_mut() {
            *count -= 1;
            if *count == 0 {
                self.ended.pop_front();
            }
        } else {
            self.lately = self.lately.saturating_sub(1);
        }
    }

    /// How many may be back in a moment.
    pub fn expected(&mut self, now: Instant) -> usize {
        if self.lately > 0 {
            self.ended.push_back((now, std::mem::take(&mut self.lately)));
        }
        while self.ended.front().is_some_and(|(ended, _)| now.saturating_duration_since(*ended) > EXPECTED) {
            self.ended.pop_front();
        }
        self.ended.iter().map(|(_, count)| count).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::{EXPECTED, Returning};

    #[test]
    fn who_left_is_expected_until_another_comes_or_time_is_over() {
        let (mut returning, now) = (Returning::default(), Instant::now());
        returning.come();
        returning.end(2);
        assert_eq!(returning.expected(now), 2);
        returning.end(1);
        assert_eq!(returning.expected(now + EXPECTED / 2), 3);
        returning.come();
        assert_eq!(returning.expected(now + EXPECTED), 2);
        assert_eq!(returning.expected(now + EXPECTED * 5 / 4), 1, "the first has been away for too long");
        returning.come();
        returning.come();
        assert_eq!(returning.expected(now + EXPECTED * 5 / 4), 0);
    }
}
