//! Every answer that the router gives by itself instead of a place: one sentence, one HTTP status, one gRPC status.

mod cause;
mod sentences;

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, StatusCode};

pub use cause::Cause;

/// Status codes of gRPC that the router itself uses or looks for.
pub mod grpc_code {
    /// The call succeeded.
    pub const OK: u32 = 0;
    /// The caller left.
    pub const CANCELLED: u32 = 1;
    /// No reason was given.
    pub const UNKNOWN: u32 = 2;
    /// The caller's own fault.
    pub const INVALID_ARGUMENT: u32 = 3;
    /// Not within the deadline.
    pub const DEADLINE_EXCEEDED: u32 = 4;
    /// No such model.
    pub const NOT_FOUND: u32 = 5;
    /// Not this caller.
    pub const PERMISSION_DENIED: u32 = 7;
    /// Too large, or too many.
    pub const RESOURCE_EXHAUSTED: u32 = 8;
    /// No such method.
    pub const UNIMPLEMENTED: u32 = 12;
    /// The server broke.
    pub const INTERNAL: u32 = 13;
    /// Try again later.
    pub const UNAVAILABLE: u32 = 14;
    /// What cannot be got back is lost.
    pub const DATA_LOSS: u32 = 15;
    /// Nobody knows the caller.
    pub const UNAUTHENTICATED: u32 = 16;
}

/// Kinds of refusals that a caller's router treats each in its own way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// No place answered in time.
    Late,
    /// The request must not be sent twice, and perhaps it was served.
    PerhapsDone,
    /// Another router keeps the queue.
    Moved,
    /// Any other.
    Other,
}

impl Kind {
    /// All kinds, in the order of their declaration.
    pub const ALL: [Self; 4] = [Self::Late, Self::PerhapsDone, Self::Moved, Self::Other];

    /// The word between routers.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Late => "late",
            Self::PerhapsDone => "perhaps_done",
            Self::Moved => "moved",
            Self::Other => "other",
        }
    }
}

/// A refusal of the router that keeps the workload's queue, as it said it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relayed {
    /// Status of HTTP.
    pub status: StatusCode,
    /// Status of gRPC.
    pub grpc: u32,
    /// Seconds after which another try makes sense.
    pub retry_after: Option<u32>,
    /// What kind of refusal it is.
    pub kind: Kind,
    /// Why.
    pub sentence: String,
}

/// A request that no place answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Refusal {
    /// No workload has this model name. The sentence is Triton's own.
    UnknownModel(String),
    /// The path or method is not one of KServe v2 that the router offers.
    UnknownPath(String),
    /// The gRPC method is not one that the router offers.
    UnknownMethod(String),
    /// The method is not the path's.
    WrongMethod,
    /// The workload is suspended by its owner.
    Suspended(String),
    /// No place had a credit or answered before the deadline.
    NoPlace {
        /// Namespace and name of the workload.
        workload: String,
        /// Attempts that were made.
        attempts: u32,
        /// How long the request was held.
        waited: Duration,
        /// Why the last attempt missed.
        last: Option<Cause>,
    },
    /// As many requests wait as the queue holds.
    QueueFull {
        /// Namespace and name of the workload.
        workload: String,
        /// The expected wait, if it is known.
        wait: Option<Duration>,
    },
    /// The replicas are so busy that the deadline cannot be met.
    Shed {
        /// Namespace and name of the workload.
        workload: String,
        /// The expected wait, if it is known.
        wait: Option<Duration>,
    },
    /// An attempt missed, and the caller wants no second one.
    PerhapsDone {
        /// Namespace and name of the workload.
        workload: String,
        /// Why it missed.
        cause: Cause,
    },
    /// A header with which callers set the terms of a request cannot be read: its name, and what it wants.
    BadTerm(&'static str, &'static str),
    /// A model version was named, and only Triton knows versions.
    VersionWithoutTriton(String),
    /// The method needs a Triton server, and the workload has none.
    NeedsTriton(String),
    /// The body is larger than the limit in bytes.
    TooLarge(usize),
    /// The body did not come in time.
    TooSlow(Duration),
    /// The body broke off or is not framed as the protocol wants.
    BrokenBody(&'static str),
    /// gRPC messages compressed by the caller cannot be routed.
    Compressed,
    /// The caller did not prove who it is.
    Unauthenticated {
        /// What is wrong with its token.
        why: &'static str,
        /// The audience that its token must name.
        audience: Arc<str>,
    },
    /// Who proves callers' tokens cannot be reached.
    NoProof,
    /// The caller is known, and may not call this workload.
    Forbidden {
        /// The workload.
        workload: String,
        /// The namespace that the caller speaks for, if any.
        namespace: Option<String>,
    },
    /// The namespace sends more than its quota.
    OverQuota {
        /// The namespace.
        namespace: String,
        /// Requests per second that it may send.
        rate: f64,
        /// When the next one is allowed.
        wait: Duration,
    },
    /// Another router keeps the queue of this workload. Callers never see it: their router asks that one.
    Moved(String),
    /// The router that keeps the queue refused.
    Relayed(Relayed),
}

impl Refusal {
    /// The HTTP status; for an unknown model the one that Triton gives.
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::VersionWithoutTriton(_) | Self::BrokenBody(_) | Self::Compressed | Self::BadTerm(..) => {
                StatusCode::BAD_REQUEST
            }
            Self::UnknownModel(_) | Self::UnknownPath(_) | Self::UnknownMethod(_) => StatusCode::NOT_FOUND,
            Self::WrongMethod => StatusCode::METHOD_NOT_ALLOWED,
            Self::Suspended(_)
            | Self::NoPlace { .. }
            | Self::QueueFull { .. }
            | Self::Shed { .. }
            | Self::PerhapsDone { .. }
            | Self::NeedsTriton(_)
            | Self::NoProof => StatusCode::SERVICE_UNAVAILABLE,
            Self::Unauthenticated { .. } => StatusCode::UNAUTHORIZED,
            Self::Forbidden { .. } => StatusCode::FORBIDDEN,
            Self::OverQuota { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow(_) => StatusCode::REQUEST_TIMEOUT,
            Self::Moved(_) => StatusCode::MISDIRECTED_REQUEST,
            Self::Relayed(relayed) => relayed.status,
        }
    }

    /// The gRPC status code.
    pub const fn grpc(&self) -> u32 {
        match self {
            Self::UnknownModel(_) => grpc_code::NOT_FOUND,
            Self::VersionWithoutTriton(_) | Self::BadTerm(..) => grpc_code::INVALID_ARGUMENT,
            Self::UnknownPath(_) | Self::UnknownMethod(_) | Self::WrongMethod | Self::Compressed => {
                grpc_code::UNIMPLEMENTED
            }
            Self::Suspended(_)
            | Self::NoPlace { .. }
            | Self::PerhapsDone { .. }
            | Self::NeedsTriton(_)
            | Self::NoProof
            | Self::Moved(_) => grpc_code::UNAVAILABLE,
            Self::QueueFull { .. } | Self::Shed { .. } | Self::TooLarge(_) | Self::OverQuota { .. } => {
                grpc_code::RESOURCE_EXHAUSTED
            }
            Self::Unauthenticated { .. } => grpc_code::UNAUTHENTICATED,
            Self::Forbidden { .. } => grpc_code::PERMISSION_DENIED,
            Self::TooSlow(_) => grpc_code::DEADLINE_EXCEEDED,
            Self::BrokenBody(_) => grpc_code::INTERNAL,
            Self::Relayed(relayed) => relayed.grpc,
        }
    }

    /// Seconds after which another try makes sense.
    pub fn retry_after(&self) -> Option<u32> {
        match self {
            Self::NoPlace { .. } | Self::NeedsTriton(_) | Self::NoProof => Some(1),
            Self::QueueFull { wait, .. } | Self::Shed { wait, .. } => Some(wait.map_or(1, whole_seconds)),
            Self::Suspended(_) => Some(30),
            Self::OverQuota { wait, .. } => Some(whole_seconds(*wait)),
            Self::Relayed(relayed) => relayed.retry_after,
            _ => None,
        }
    }

    /// What `WWW-Authenticate` asks of the caller, in the words of RFC 6750.
    pub const fn challenge(&self) -> Option<HeaderValue> {
        match self {
            Self::Unauthenticated { .. } => Some(HeaderValue::from_static("Bearer realm=\"parkade\"")),
            _ => None,
        }
    }

    /// Milliseconds after which a gRPC client with a retry policy may try again; negative: never.
    pub fn pushback(&self) -> Option<i64> {
        match self {
            Self::PerhapsDone { .. } | Self::Relayed(Relayed { kind: Kind::PerhapsDone, .. }) => Some(-1),
            _ => self.retry_after().map(|seconds| i64::from(seconds) * 1000),
        }
    }

    /// What kind of refusal it is, as one router tells another.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::NoPlace { .. } => Kind::Late,
            Self::PerhapsDone { .. } => Kind::PerhapsDone,
            Self::Moved(_) => Kind::Moved,
            Self::Relayed(relayed) => relayed.kind,
            _ => Kind::Other,
        }
    }

    /// The label `outcome` in metrics.
    pub const fn outcome(&self) -> Outcome {
        match (self, self.status().as_u16()) {
            (Self::QueueFull { .. } | Self::Shed { .. }, _) => Outcome::Shed,
            (_, 400..=499) => Outcome::Rejected,
            _ => Outcome::Unplaced,
        }
    }

    /// The body `{"error": "..."}` that KServe v2 wants.
    pub fn json(&self) -> String {
        error_json(&self.to_string())
    }
}

/// At least one, at most ten minutes, which is the longest deadline.
fn whole_seconds(wait: Duration) -> u32 {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    u32::try_from(seconds.clamp(1, 600)).unwrap_or(600)
}

/// The body of an error in KServe v2.
pub fn error_json(sentence: &str) -> String {
    serde_json::json!({ "error": sentence }).to_string()
}

/// How a request ended, as counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A place answered.
    Answered,
    /// The request itself was at fault.
    Rejected,
    /// A place answered that it failed, after retries.
    Failed,
    /// No place in time.
    Unplaced,
    /// Refused before its deadline, because the replicas were too busy to meet it.
    Shed,
    /// The caller left before the answer.
    Cancelled,
}

impl Outcome {
    /// All outcomes, in the order of their declaration.
    pub const ALL: [Self; 6] =
        [Self::Answered, Self::Rejected, Self::Failed, Self::Unplaced, Self::Shed, Self::Cancelled];

    /// The label in metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
            Self::Unplaced => "unplaced",
            Self::Shed => "shed",
            Self::Cancelled => "cancelled",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Cause, Refusal};

    #[test]
    fn an_unknown_model_reads_as_triton_writes_it() {
        let refusal = Refusal::UnknownModel("x".to_owned());
        assert_eq!(refusal.json(), r#"{"error":"Request for unknown model: 'x' is not found"}"#);
    }

    #[test]
    fn a_quoted_name_stays_json() {
        let refusal = Refusal::UnknownModel("a\"b".to_owned());
        let read: serde_json::Value = serde_json::from_str(&refusal.json()).unwrap();
        assert!(read["error"].as_str().unwrap().contains("a\"b"));
    }

    #[test]
    fn every_temporary_refusal_says_when_to_try_again() {
        let refusal = Refusal::NoPlace {
            workload: "a/b".into(),
            attempts: 2,
            waited: Duration::from_millis(7),
            last: Some(Cause::Timeout),
        };
        assert_eq!(refusal.status().as_u16(), 503);
        assert!(refusal.retry_after().is_some());
        assert!(refusal.to_string().contains("did not answer in time"));
        let shed = |wait| Refusal::Shed { workload: "a/b".into(), wait };
        for (wait, seconds) in [(None, 1), (Some(7), 1), (Some(2_001), 3), (Some(9_999_999), 600)] {
            let refusal = shed(wait.map(Duration::from_millis));
            assert_eq!((refusal.status().as_u16(), refusal.retry_after()), (503, Some(seconds)));
        }
    }
}
