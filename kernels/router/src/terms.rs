//! What a caller may ask for the fate of one request, in headers or in gRPC metadata.

use std::time::Instant;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::errors::Refusal;
use crate::waiting::Standing;

/// An integer from 0 to 255: which of a workload's requests are served first and kept longer.
const PRIORITY: HeaderName = HeaderName::from_static("parkade-priority");
/// `true`: once a place may have got the request, no other gets it.
const AT_MOST_ONCE: HeaderName = HeaderName::from_static("parkade-at-most-once");
/// The priority of a request that names none. The workload's own `spec.priority` compares workloads, and all requests in
/// one queue share it.
pub const USUAL_PRIORITY: u8 = 100;

/// The terms of one request.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Priority and deadline.
    pub standing: Standing,
    /// No second attempt once a first byte may have reached a place.
    pub at_most_once: bool,
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
        let at_most_once = match headers.get(AT_MOST_ONCE).map(HeaderValue::as_bytes) {
            None | Some(b"false") => false,
            Some(b"true") => true,
            Some(_) => return Err(Refusal::BadTerm("Parkade-At-Most-Once", "true or false")),
        };
        Ok(Self { standing: Standing { priority, deadline }, at_most_once })
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

    #[test]
    fn at_most_once_is_true_or_false() {
        for (text, expected) in [("true", Ok(true)), ("false", Ok(false)), ("yes", Err(())), ("", Err(()))] {
            let mut headers = HeaderMap::new();
            headers.insert("parkade-at-most-once", HeaderValue::from_static(text));
            let read = Terms::read(&headers, Instant::now()).map(|terms| terms.at_most_once).map_err(|_| ());
            assert_eq!(read, expected, "{text}");
        }
    }
}
