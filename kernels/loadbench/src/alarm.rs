//! Waking at an instant to some tens of microseconds: the event loop's own timers wake at whole milliseconds.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::oneshot;

/// One thread that sleeps until the next instant somebody waits for.
#[derive(Clone, Debug)]
pub struct Alarm {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<BinaryHeap<Reverse<Waiter>>>,
    earlier: Condvar,
}

#[derive(Debug)]
struct Waiter {
    due: Instant,
    wake: oneshot::Sender<()>,
}

impl PartialEq for Waiter {
    fn eq(&self, other: &Self) -> bool {
        self.due == other.due
    }
}

impl Eq for Waiter {}

impl PartialOrd for Waiter {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiter {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.due.cmp(&other.due)
    }
}

impl Alarm {
    /// Starts the thread, which lives as long as the process.
    pub fn start() -> Self {
        let shared = Arc::new(Shared::default());
        let ringing = shared.clone();
        std::thread::spawn(move || ringing.ring());
        Self { shared }
    }

    /// Waits until `due`.
    pub async fn at(&self, due: Instant) {
        // The thread never ends, so that its end of the channel is always used.
        drop(self.set(due).await);
    }

    fn set(&self, due: Instant) -> oneshot::Receiver<()> {
        let (wake, woken) = oneshot::channel();
        let mut waiting = self.shared.lock();
        let first = waiting.peek().is_none_or(|Reverse(next)| due < next.due);
        waiting.push(Reverse(Waiter { due, wake }));
        drop(waiting);
        if first {
            self.shared.earlier.notify_one();
        }
        woken
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, BinaryHeap<Reverse<Waiter>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ring(&self) {
        let mut waiting = self.lock();
        loop {
            let now = Instant::now();
            while waiting.peek().is_some_and(|Reverse(next)| next.due <= now) {
                if let Some(Reverse(waiter)) = waiting.pop() {
                    // Nobody waits any more where the car was killed meanwhile.
                    let _ = waiter.wake.send(());
                }
            }
            waiting = match waiting.peek().map(|Reverse(next)| next.due) {
                None => self.earlier.wait(waiting).unwrap_or_else(PoisonError::into_inner),
                Some(due) => {
                    let pause = due.saturating_duration_since(now);
                    self.earlier.wait_timeout(waiting, pause).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::Alarm;

    #[tokio::test]
    async fn the_earlier_wakes_first_and_never_too_early() {
        let (alarm, begun) = (Alarm::start(), Instant::now());
        let late = begun + Duration::from_millis(30);
        let early = begun + Duration::from_millis(10);
        let second = tokio::spawn({
            let alarm = alarm.clone();
            async move { alarm.at(late).await }
        });
        tokio::task::yield_now().await;
        alarm.at(early).await;
        assert!(Instant::now() >= early && !second.is_finished());
        second.await.unwrap();
        assert!(Instant::now() >= late);
    }
}
