//! The sentence of each refusal: what is wrong, where, and how to mend it.

use std::fmt;

use super::Refusal;

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownModel(model) => write!(out, "Request for unknown model: '{model}' is not found"),
            Self::UnknownPath(path) => {
                write!(out, "{path} is not a KServe v2 inference path; use /v2/models/NAME/infer")
            }
            Self::UnknownMethod(path) => {
                write!(out, "{path} is not offered here; model control is the operator's, statistics are Triton's")
            }
            Self::WrongMethod => write!(out, "this path wants another method: POST to infer, GET for all else"),
            Self::Suspended(workload) => {
                write!(out, "workload {workload} is suspended; set spec.suspend to false to serve it")
            }
            Self::NoPlace { workload, attempts, waited, last } => {
                let milliseconds = waited.as_millis();
                match last {
                    Some(cause) => write!(
                        out,
                        "no place answered for workload {workload} within {milliseconds} ms: {attempts} attempts, \
                         the last place {}; try again",
                        cause.phrase()
                    ),
                    None => write!(
                        out,
                        "no place was free for workload {workload} within {milliseconds} ms; \
                         try again, or see its condition Ready"
                    ),
                }
            }
            Self::QueueFull { workload, .. } => {
                write!(out, "too many requests wait for workload {workload}; try again later")
            }
            Self::Shed { workload, wait } => {
                write!(out, "workload {workload} is overloaded and this request would not be answered in time")?;
                if let Some(wait) = wait {
                    write!(out, ": it would wait for about {} ms", wait.as_millis())?;
                }
                write!(out, "; try again later, give it more time, or raise the workload's demand or limits")
            }
            Self::PerhapsDone { workload, cause } => write!(
                out,
                "the request to workload {workload} may or may not have been carried out: the place that got it {}, and \
                 Parkade-At-Most-Once forbids to ask another",
                cause.phrase()
            ),
            Self::BadTerm(header, wanted) => write!(out, "the header {header} wants {wanted}; mend it or leave it out"),
            Self::VersionWithoutTriton(workload) => write!(
                out,
                "workload {workload} has no Triton server, which alone knows model versions; ask without a version"
            ),
            Self::NeedsTriton(workload) => {
                write!(out, "workload {workload} has no Triton server now, and only Triton answers this")
            }
            Self::TooLarge(limit) => write!(out, "the request's body is over {limit} bytes; send less at a time"),
            Self::TooSlow(time) => {
                write!(out, "the request's body was not complete after {} s; send it faster", time.as_secs())
            }
            Self::BrokenBody(what) => write!(out, "the request cannot be read: {what}"),
            Self::Compressed => write!(out, "compressed gRPC messages are not supported; send them with identity"),
            Self::Unauthenticated { why, audience } => {
                write!(out, "{why}; send \"Authorization: Bearer TOKEN\" with a token for audience {audience}")
            }
            Self::NoProof => {
                write!(out, "callers' tokens cannot be checked now, because who vouches for them is away; try again")
            }
            Self::Forbidden { workload, namespace: Some(namespace) } => write!(
                out,
                "callers of namespace {namespace} may not call workload {workload}; \
                 add {namespace} to its annotation parkade.dev/callers"
            ),
            Self::Forbidden { workload, namespace: None } => write!(
                out,
                "a caller without a namespace may not call workload {workload}; \
                 call as a service account, or set its annotation parkade.dev/callers to *"
            ),
            Self::OverQuota { namespace, rate, .. } => write!(
                out,
                "namespace {namespace} sends more than its {rate} requests a second; \
                 send them slower, or have its rate raised in the router's quota file"
            ),
            Self::Moved(workload) => write!(out, "another router keeps the queue of workload {workload}; ask that one"),
            Self::Relayed(relayed) => out.write_str(&relayed.sentence),
        }
    }
}
