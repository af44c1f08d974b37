//! What of a car's answer is believed. Cars belong to others: an answer that is not KServe v2 never reaches a caller.

use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, StatusCode};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{JSON_LENGTH, copy};
use crate::ask::{Answer, Ask, Attempt, Form};
use crate::body::Chunks;
use crate::errors::{Cause, grpc_code};
use crate::message;

/// JSON up to this size is parsed in full before an answer is believed; of longer JSON only both ends are looked at.
const PARSED_JSON: usize = 16 << 10;
/// Errors that a car may send are sentences.
const ERROR_LIMIT: usize = 4096;

/// All of a car's headers that a caller gets to see.
const SHOWN_TO_CALLERS: [HeaderName; 3] = [CONTENT_TYPE, CONTENT_ENCODING, JSON_LENGTH];

/// What an answer of a car means.
pub fn judge(ask: &Ask, status: StatusCode, headers: &HeaderMap, body: Chunks) -> Attempt {
    match status.as_u16() {
        200 if is_answer(ask, headers, &body) => {}
        // The caller's own fault, told in a sentence.
        400 | 413 | 415 | 422 => match error_sentence(ask, &body) {
            Some(sentence) => {
                let code = grpc_code::INVALID_ARGUMENT;
                return Attempt::Answered(refused(ask, (status, code), headers, body, &sentence));
            }
            None => return Attempt::Missed(Cause::Malformed),
        },
        501 => match error_sentence(ask, &body) {
            Some(sentence) => {
                let code = grpc_code::UNIMPLEMENTED;
                return Attempt::Elsewhere(refused(ask, (status, code), headers, body, &sentence));
            }
            None => return Attempt::Missed(Cause::Malformed),
        },
        404 | 503 => return Attempt::Missed(Cause::NotReady),
        500..=599 => return Attempt::Missed(Cause::Failed),
        _ => return Attempt::Missed(Cause::Malformed),
    }
    match &ask.form {
        Form::Http { .. } => {
            let mut shown = HeaderMap::new();
            copy(headers, &mut shown, &SHOWN_TO_CALLERS);
            Attempt::Answered(Answer { status, headers: shown, body, grpc: grpc_code::OK })
        }
        Form::Grpc { .. } => Attempt::Answered(Answer::grpc_message(body)),
    }
}

/// A refusal in the caller's own protocol; `statuses` are those of HTTP and gRPC.
fn refused(ask: &Ask, statuses: (StatusCode, u32), headers: &HeaderMap, body: Chunks, sentence: &str) -> Answer {
    let (status, grpc) = statuses;
    match &ask.form {
        Form::Http { .. } => {
            let mut shown = HeaderMap::new();
            copy(headers, &mut shown, &SHOWN_TO_CALLERS);
            Answer { status, headers: shown, body, grpc }
        }
        Form::Grpc { .. } => Answer::grpc_error(grpc, sentence),
    }
}

fn is_answer(ask: &Ask, headers: &HeaderMap, body: &Chunks) -> bool {
    match &ask.form {
        Form::Grpc { .. } => message::is_infer_response(body),
        Form::Http { .. } if headers.contains_key(CONTENT_ENCODING) => body.len() > 0,
        Form::Http { .. } => {
            let json_length = match headers.get(JSON_LENGTH) {
                None => body.len(),
                Some(value) => match value.to_str().ok().and_then(|text| text.parse().ok()) {
                    Some(length) if length <= body.len() => length,
                    _ => return false,
                },
            };
            is_json_answer(body, json_length)
        }
    }
}

#[derive(Deserialize)]
#[serde(expecting = "an object with outputs")]
struct Outputs {
    #[serde(rename = "outputs")]
    _outputs: Vec<IgnoredAny>,
}

/// Whether the first `length` bytes are an inference answer in JSON.
fn is_json_answer(body: &Chunks, length: usize) -> bool {
    if length == 0 {
        return false;
    }
    if length <= PARSED_JSON {
        return serde_json::from_slice::<Outputs>(&body.head(length)).is_ok();
    }
    body.first() == Some(b'{') && body.last_visible(length) == Some(b'}')
}

/// The sentence of `{"error": "..."}`; over gRPC the bare sentence will do.
fn error_sentence(ask: &Ask, body: &Chunks) -> Option<String> {
    #[derive(Deserialize)]
    struct Error {
        error: String,
    }
    if body.len() > ERROR_LIMIT {
        return None;
    }
    let text = body.head(body.len());
    match (serde_json::from_slice::<Error>(&text), &ask.form) {
        (Ok(error), _) => Some(error.error),
        (Err(_), Form::Grpc { .. }) => String::from_utf8(text.to_vec()).ok().filter(|text| !text.is_empty()),
        (Err(_), Form::Http { .. }) => None,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::header::SET_COOKIE;
    use http::{HeaderMap, HeaderValue, StatusCode};

    use super::judge;
    use crate::ask::{Ask, Attempt};
    use crate::body::Chunks;
    use crate::car::JSON_LENGTH;
    use crate::car::tests::{grpc_ask, http_ask};
    use crate::errors::Cause;
    use crate::message::Writer;

    const GOOD: &[u8] = br#"{"model_name":"m","outputs":[{"name":"y","shape":[1],"datatype":"INT8","data":[1]}]}"#;

    fn verdict(ask: &Ask, status: u16, headers: &HeaderMap, body: &[u8]) -> Result<u16, Cause> {
        let body = Chunks::from(Bytes::copy_from_slice(body));
        match judge(ask, StatusCode::from_u16(status).unwrap(), headers, body) {
            Attempt::Answered(answer) => Ok(answer.status.as_u16()),
            Attempt::Missed(cause) => Err(cause),
            Attempt::Elsewhere(_) => Err(Cause::Unsupported),
            Attempt::Verdict(..) => panic!("a car's failure is a miss"),
        }
    }

    #[test]
    fn only_answers_are_believed() {
        let (ask, none) = (http_ask(), HeaderMap::new());
        assert_eq!(verdict(&ask, 200, &none, GOOD), Ok(200));
        for garbage in [&b""[..], b"garbage", b"{}", b"[1]", br#"{"outputs":1}"#, &GOOD[..GOOD.len() - 1]] {
            assert_eq!(verdict(&ask, 200, &none, garbage), Err(Cause::Malformed), "{garbage:?}");
        }
        assert_eq!(verdict(&ask, 302, &none, GOOD), Err(Cause::Malformed));
    }

    #[test]
    fn the_length_of_the_json_part_must_fit() {
        let ask = http_ask();
        let mut body = GOOD.to_vec();
        body.extend_from_slice(&[0; 64]);
        for (length, expected) in
            [(GOOD.len(), Ok(200)), (GOOD.len() - 1, Err(Cause::Malformed)), (body.len() + 1, Err(Cause::Malformed))]
        {
            let mut headers = HeaderMap::new();
            headers.insert(JSON_LENGTH, HeaderValue::from(length));
            assert_eq!(verdict(&ask, 200, &headers, &body), expected, "{length}");
        }
    }

    #[test]
    fn long_json_is_looked_at_from_both_ends() {
        let ask = http_ask();
        let long = format!(r#"{{"outputs":[{}1]}} "#, "1,".repeat(20_000));
        assert_eq!(verdict(&ask, 200, &HeaderMap::new(), long.as_bytes()), Ok(200));
        assert_eq!(verdict(&ask, 200, &HeaderMap::new(), &long.as_bytes()[..30_000]), Err(Cause::Malformed));
    }

    #[test]
    fn the_callers_own_fault_passes_and_a_cars_fault_does_not() {
        let (ask, none) = (http_ask(), HeaderMap::new());
        assert_eq!(verdict(&ask, 400, &none, br#"{"error":"shape [2] is not [1]"}"#), Ok(400));
        assert_eq!(verdict(&ask, 400, &none, b"<html>"), Err(Cause::Malformed));
        assert_eq!(verdict(&ask, 404, &none, br#"{"error":"not here"}"#), Err(Cause::NotReady));
        assert_eq!(verdict(&ask, 500, &none, br#"{"error":"broken"}"#), Err(Cause::Failed));
        assert_eq!(verdict(&ask, 501, &none, br#"{"error":"no BF16"}"#), Err(Cause::Unsupported));
        assert_eq!(verdict(&grpc_ask(), 501, &none, br#"{"error":"no BF16"}"#), Err(Cause::Unsupported));
        assert_eq!(verdict(&ask, 501, &none, b"<html>"), Err(Cause::Malformed));
        assert_eq!(verdict(&ask, 401, &none, br#"{"error":"who"}"#), Err(Cause::Malformed));
    }

    #[test]
    fn a_grpc_answer_must_be_a_message_and_a_refusal_becomes_a_status() {
        let (ask, none) = (grpc_ask(), HeaderMap::new());
        let good = Writer::default().bytes(1, b"m").done();
        assert_eq!(verdict(&ask, 200, &none, &good), Ok(200));
        assert_eq!(verdict(&ask, 200, &none, b"<html>"), Err(Cause::Malformed));
        let refused = judge(&ask, StatusCode::BAD_REQUEST, &none, Bytes::from_static(br#"{"error":"bad"}"#).into());
        let Attempt::Answered(answer) = refused else { panic!("{refused:?}") };
        assert_eq!(answer.grpc, 3);
    }

    #[test]
    fn a_caller_sees_no_header_that_a_car_made_up() {
        let mut headers = HeaderMap::new();
        headers.insert(SET_COOKIE, HeaderValue::from_static("a=b"));
        let body = Bytes::from_static(GOOD).into();
        let Attempt::Answered(answer) = judge(&http_ask(), StatusCode::OK, &headers, body) else { panic!() };
        assert!(answer.headers.is_empty());
    }
}
