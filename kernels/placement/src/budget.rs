//! How much work a solve may do.

use std::sync::atomic::{AtomicBool, Ordering};

/// Counts work in arc evaluations, so that equal input stops at an equal place; the interrupt is a backstop.
pub struct Budget<'a> {
    left: u64,
    until_asked: u64,
    interrupt: &'a (dyn Fn() -> bool + Sync),
    interrupted: AtomicBool,
    hurry: &'a (dyn Fn() -> bool + Sync),
}

/// Work between two questions to the interrupt: about a millisecond.
const ASK_EVERY: u64 = 10_000;

impl<'a> Budget<'a> {
    /// Allow `work` arc evaluations; `interrupt` is asked now and then and stops the solve by answering true.
    pub fn new(work: u64, interrupt: &'a (dyn Fn() -> bool + Sync)) -> Self {
        Self {
            left: work,
            until_asked: ASK_EVERY,
            interrupt,
            interrupted: AtomicBool::new(false),
            hurry: &|| false,
        }
    }

    /// Let `hurry` say when prices have had their share of the time: what follows needs the rest.
    #[must_use]
    pub fn hurried_by(self, hurry: &'a (dyn Fn() -> bool + Sync)) -> Self {
        Self { hurry, ..self }
    }

    /// Whether the search for prices has to end.
    #[must_use]
    pub fn is_in_hurry(&self) -> bool {
        (self.hurry)() || self.is_interrupted()
    }

    /// The same budget for work beside: the interrupt stops both.
    #[must_use]
    pub fn beside(&self) -> Budget<'a> {
        Budget::new(self.left, self.interrupt)
    }

    /// Count work done; false when the solve has to stop.
    pub fn spend(&mut self, work: usize) -> bool {
        let work = work as u64;
        self.left = self.left.saturating_sub(work);
        self.until_asked = self.until_asked.saturating_sub(work);
        if self.until_asked == 0 {
            self.until_asked = ASK_EVERY;
            self.is_interrupted();
        }
        self.is_open()
    }

    /// Whether there is work left to do with.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.left > 0 && !self.was_interrupted()
    }

    /// Ask the interrupt now; every thread may.
    pub fn is_interrupted(&self) -> bool {
        if !self.was_interrupted() && (self.interrupt)() {
            self.interrupted.store(true, Ordering::Relaxed);
        }
        self.was_interrupted()
    }

    /// Whether the interrupt, not the work limit, stopped the solve.
    #[must_use]
    pub fn was_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }
}
