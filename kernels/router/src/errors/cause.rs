//! Why attempts miss.

/// Why an attempt at one place gave no answer for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The connection was already closing; nothing was sent.
    Closed,
    /// The connection could not be made; nothing was sent.
    Connect,
    /// The connection broke.
    Broken,
    /// No complete answer in the attempt's time.
    Timeout,
    /// The place does not hold the model now.
    NotReady,
    /// The place answered with an error of its own.
    Failed,
    /// The answer is not one that KServe v2 allows.
    Malformed,
    /// The place answers well, and does not do what this request asks.
    Unsupported,
}

impl Cause {
    /// All causes, in the order of their declaration.
    pub const ALL: [Self; 8] = [
        Self::Closed,
        Self::Connect,
        Self::Broken,
        Self::Timeout,
        Self::NotReady,
        Self::Failed,
        Self::Malformed,
        Self::Unsupported,
    ];

    /// Whether not one byte of the request can have reached the place.
    pub const fn is_unsent(self) -> bool {
        matches!(self, Self::Closed | Self::Connect)
    }

    /// The label in metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Connect => "connect",
            Self::Broken => "broken",
            Self::Timeout => "timeout",
            Self::NotReady => "not_ready",
            Self::Failed => "failed",
            Self::Malformed => "malformed",
            Self::Unsupported => "unsupported",
        }
    }

    /// What the place did, after its name in a sentence.
    pub const fn phrase(self) -> &'static str {
        match self {
            Self::Closed => "had closed its connection",
            Self::Connect => "could not be reached",
            Self::Broken => "broke the connection",
            Self::Timeout => "did not answer in time",
            Self::NotReady => "does not hold the model now",
            Self::Failed => "failed on the request",
            Self::Malformed => "sent an answer that is not KServe v2",
            Self::Unsupported => "does not do what the request asks",
        }
    }
}
