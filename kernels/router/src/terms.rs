//! What a caller may ask for the fate of one request, in headers or in gRPC metadata.

use std::time::Instant;

use http::{HeaderMap, HeaderName};

use crate::errors::Refusal;
use crate::waiting::Standing;

/// An integer from 0 to 255: which of a workload's requests are served first and kept longer.
const PRIORITY: HeaderName = HeaderName::from_static("parkade-priority");
/// The priority of a request that names none. The workload's own `spec.priority` compares workloads, and all requests in
/// one queue share it.
pub const USUAL_PRIORITY: u8 = 100;

/// The terms of one request.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Priority and deadline.
    pub standing: Standing,
}

impl Terms {
    /// Reads them. An unreadable value is refused: a caller who asks for something must not get something else in silence.
    pub fn read(headers: &HeaderMap, deadline: Instant) -> Result<Self, Refusal> {
        let priority = match headers.get(PRIORITY) {
            None => USUAL_PRIORITY,
            Some(value) => value
                .to_str()
                .ok()
                .and_then(|text| text.trim().parse().ok())
                .ok_or(Refusal::BadTerm("Parkade-Priority", "an integer from 0 to 255"))?,
        };
        Ok(Self { standing: Standing { priority, deadline } })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use http::{HeaderMap, HeaderValue};

    use super::{Terms, USUAL_PRIORITY};

    fn priority(text: &'static str) -> Result<u8, String> {
        let mut headers = HeaderMap::new();
        headers.insert("parkade-priority", HeaderValue::from_static(text));
        let terms = Terms::read(&headers, Instant::now()).map_err(|refusal| refusal.to_string());
        terms.map(|terms| terms.standing.priority)
    }

    #[test]
    fn a_priority_is_one_byte() {
        assert_eq!(Terms::read(&HeaderMap::new(), Instant::now()).unwrap().standing.priority, USUAL_PRIORITY);
        assert_eq!((priority("0"), priority("255")), (Ok(0), Ok(255)));
        for bad in ["", "256", "-1", "high", "1.5"] {
            let sentence = priority(bad).unwrap_err();
            assert!(sentence.contains("Parkade-Priority") && sentence.contains("0 to 255"), "{sentence}");
        }
    }
}
