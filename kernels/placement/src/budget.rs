//! How much work a solve may do.

/// Counts work in arc evaluations, so that equal input stops at an equal place; the interrupt is a backstop.
pub struct Budget<'a> {
    left: u64,
    until_asked: u64,
    interrupt: &'a mut dyn FnMut() -> bool,
    interrupted: bool,
}

/// Work between two questions to the interrupt: about a millisecond.
const ASK_EVERY: u64 = 10_000;

impl<'a> Budget<'a> {
    /// Allow `work` arc evaluations; `interrupt` is asked now and then and stops the solve by answering true.
    pub fn new(work: u64, interrupt: &'a mut dyn FnMut() -> bool) -> Self {
        Self {
            left: work,
            until_asked: ASK_EVERY,
            interrupt,
            interrupted: false,
        }
    }

    /// Count work done; false when the solve has to stop.
    pub fn spend(&mut self, work: usize) -> bool {
        let work = work as u64;
        self.left = self.left.saturating_sub(work);
        self.until_asked = self.until_asked.saturating_sub(work);
        if self.until_asked == 0 {
            self.until_asked = ASK_EVERY;
            self.interrupted = self.interrupted || (self.interrupt)();
        }
        self.is_open()
    }

    /// Whether there is work left to do with.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.left > 0 && !self.interrupted
    }

    /// Whether the interrupt, not the work limit, stopped the solve.
    #[must_use]
    pub fn was_interrupted(&self) -> bool {
        self.interrupted
    }
}
