//! What is asked of a place and what comes back, in either protocol.

use std::fmt::Write;
use std::sync::Arc;

use http::header::{CONTENT_TYPE, HeaderName};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::body::Chunks;
use crate::errors::{Cause, grpc_code};
use crate::hop::Hop;
use crate::message;
use crate::queue::Tier;
use crate::spans::Trace;

/// Status of a gRPC call, in trailers or in the head of an answer without a message.
pub const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
/// Its sentence, percent-encoded.
pub const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
/// Content type of gRPC.
pub const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");

/// How the caller asked.
#[derive(Debug)]
pub enum Form {
    /// KServe v2 over HTTP.
    Http {
        /// The caller's path and query.
        path: PathAndQuery,
        /// The caller's headers, hop-by-hop ones taken out.
        headers: HeaderMap,
    },
    /// KServe v2 over gRPC.
    Grpc {
        /// The caller's metadata, transport headers taken out.
        metadata: HeaderMap,
    },
}

/// One inference request, which can be sent any number of times.
#[derive(Debug)]
pub struct Ask {
    /// The model's name.
    pub model: Arc<str>,
    /// How the caller asked.
    pub form: Form,
    /// The body; over gRPC one frame.
    pub body: Chunks,
    /// Only this tier will do.
    pub only: Option<Tier>,
    /// Whether a model version was named, which only Triton knows.
    pub versioned: bool,
    /// Whether it may wait here though another router keeps the workload's queue.
    pub guest: bool,
    /// Its span, if it is sampled.
    pub trace: Option<Trace>,
}

impl Ask {
    /// The caller's headers, or metadata.
    pub const fn headers(&self) -> &HeaderMap {
        match &self.form {
            Form::Http { headers, .. } => headers,
            Form::Grpc { metadata } => metadata,
        }
    }

    /// Those to send, with the trace context of this hop if there is one.
    pub fn headers_for(&self, hop: Option<&Hop>) -> HeaderMap {
        let mut headers = self.headers().clone();
        if let Some(hop) = hop {
            hop.carry(&mut headers);
        }
        headers
    }

    /// The bare message of a gRPC call.
    pub fn message(&self) -> Chunks {
        let mut message = self.body.clone();
        message.split_to(5);
        message
    }
}

#[cfg(test)]
impl Ask {
    /// A request over HTTP.
    pub fn http(model: &str, path: &'static str, headers: HeaderMap, body: Chunks) -> Self {
        let form = Form::Http { path: PathAndQuery::from_static(path), headers };
        Self { model: model.into(), form, body, only: None, versioned: false, guest: false, trace: None }
    }

    /// A request over gRPC.
    pub fn grpc(model: &str, metadata: HeaderMap, body: Chunks) -> Self {
        let form = Form::Grpc { metadata };
        Self { model: model.into(), form, body, only: None, versioned: false, guest: false, trace: None }
    }
}

/// An answer for the caller. Over gRPC, body and trailers (or the head alone) are as HTTP/2 wants them.
#[derive(Debug)]
pub struct Answer {
    /// Status of HTTP; 200 for every gRPC answer.
    pub status: StatusCode,
    /// Headers for the caller.
    pub headers: HeaderMap,
    /// The body.
    pub body: Chunks,
    /// Status of gRPC.
    pub grpc: u32,
}

impl Answer {
    /// Whether it is what the caller asked for, not a refusal.
    pub fn is_good(&self) -> bool {
        self.status.is_success() && self.grpc == grpc_code::OK
    }

    /// An answer over gRPC with one message.
    pub fn grpc_message(message: Chunks) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, GRPC);
        let mut trailers = HeaderMap::new();
        trailers.insert(GRPC_STATUS, HeaderValue::from(grpc_code::OK));
        let body = message::frame(message).with_trailers(trailers);
        Self { status: StatusCode::OK, headers, body, grpc: grpc_code::OK }
    }

    /// An answer over gRPC without a message.
    pub fn grpc_error(code: u32, sentence: &str) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, GRPC);
        headers.insert(GRPC_STATUS, HeaderValue::from(code));
        if let Ok(value) = HeaderValue::from_str(&percent_encoded(sentence)) {
            headers.insert(GRPC_MESSAGE, value);
        }
        Self { status: StatusCode::OK, headers, body: Chunks::default(), grpc: code }
    }
}

/// What an attempt at one place came to.
#[derive(Debug)]
pub enum Attempt {
    /// An answer for the caller, be it a refusal that is the caller's own fault.
    Answered(Answer),
    /// Triton failed on this request: worth another place, else the caller sees Triton's own words.
    Verdict(Answer),
    /// A car does not do what this request asks, and says so: nothing is wrong with it, and another place may.
    Elsewhere(Answer),
    /// No answer.
    Missed(Cause),
}

impl Attempt {
    /// Whether the caller gets what it asked for.
    pub fn is_good(&self) -> bool {
        matches!(self, Self::Answered(answer) if answer.is_good())
    }
}

/// `grpc-message` as gRPC over HTTP/2 wants it: printable ASCII without `%`, all else percent-encoded.
fn percent_encoded(sentence: &str) -> String {
    let mut encoded = String::with_capacity(sentence.len());
    for byte in sentence.bytes() {
        if (b' '..=b'~').contains(&byte) && byte != b'%' {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// Takes out what is between two neighbours only, in the words of RFC 9110 section 7.6.1.
pub fn strip_hop_by_hop(headers: &mut HeaderMap) {
    const NAMES: [&str; 9] = [
        "connection",
        "keep-alive",
        "proxy-connection",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    if let Some(named) = headers.get("connection").and_then(|value| value.to_str().ok()).map(str::to_owned) {
        for name in named.split(',') {
            if let Ok(name) = HeaderName::from_bytes(name.trim().as_bytes()) {
                headers.remove(name);
            }
        }
    }
    for name in NAMES {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::{Answer, GRPC_MESSAGE, strip_hop_by_hop};

    #[test]
    fn sentences_are_percent_encoded() {
        let answer = Answer::grpc_error(3, "50% is not ½");
        assert_eq!(answer.headers[GRPC_MESSAGE], "50%25 is not %C2%BD");
    }

    #[test]
    fn what_connection_names_goes_too() {
        let mut headers = HeaderMap::new();
        headers.insert("connection", HeaderValue::from_static("close, X-Private"));
        headers.insert("x-private", HeaderValue::from_static("1"));
        headers.insert("te", HeaderValue::from_static("trailers"));
        headers.insert("accept", HeaderValue::from_static("*/*"));
        strip_hop_by_hop(&mut headers);
        assert_eq!(headers.keys().map(http::HeaderName::as_str).collect::<Vec<_>>(), ["accept"]);
    }
}
