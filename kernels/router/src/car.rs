//! One connection that a car dialled: what is sent over it, and what of an answer is believed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use serde::Deserialize;
use serde::de::IgnoredAny;
use tokio::task::AbortHandle;

use crate::ask::{Answer, Ask, Attempt, Form};
use crate::body::{Chunks, collect};
use crate::errors::{Cause, grpc_code};
use crate::message;
use crate::observed::Times;
use crate::settings::CAR_BODY_LIMIT;

/// Size of the JSON part of an answer in KServe's binary extension.
pub const JSON_LENGTH: HeaderName = HeaderName::from_static("inference-header-content-length");
/// The time left, told to the car.
pub const TIMEOUT_MS: HeaderName = HeaderName::from_static("parkade-timeout-ms");
/// The bare protobuf message of a gRPC call.
const GRPC_PROTO: HeaderValue = HeaderValue::from_static("application/grpc+proto");
/// JSON up to this size is parsed in full before an answer is believed; of longer JSON only both ends are looked at.
const PARSED_JSON: usize = 16 << 10;
/// Errors that a car may send are sentences.
const ERROR_LIMIT: usize = 4096;

/// W3C trace context: random numbers. `tracestate` and `baggage` may say who the caller is, and no car gets them.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// All of a caller's headers that a car gets to see: it belongs to somebody else.
const SHOWN_TO_CARS: [HeaderName; 6] = [
    CONTENT_TYPE,
    CONTENT_ENCODING,
    ACCEPT,
    ACCEPT_ENCODING,
    HeaderName::from_static("inference-header-content-length"),
    TRACEPARENT,
];
/// All of a car's headers that a caller gets to see.
const SHOWN_TO_CALLERS: [HeaderName; 3] =
    [CONTENT_TYPE, CONTENT_ENCODING, HeaderName::from_static("inference-header-content-length")];

/// Answers remembered for a connection's p99; of so few the p99 is the largest.
const REMEMBERED: usize = 16;
/// Answers after which a connection's own times bound its attempts.
const ENOUGH: usize = 8;

/// One idle or busy connection.
#[derive(Debug)]
pub struct Car {
    /// Unique among all connections of this process.
    pub id: u64,
    /// `fleet/vehicle` of its certificate. It stays in this process: no log, no metric, no header.
    pub vehicle: Arc<str>,
    sender: SendRequest<Chunks>,
    driver: AbortHandle,
    recent: Recent,
    /// Of all cars with this hardware.
    times: Option<Arc<Times>>,
}

impl Car {
    /// A connection on which HTTP/1.1 is ready.
    pub const fn new(
        id: u64,
        vehicle: Arc<str>,
        sender: SendRequest<Chunks>,
        driver: AbortHandle,
        times: Option<Arc<Times>>,
    ) -> Self {
        Self { id, vehicle, sender, driver, recent: Recent { micros: [0; REMEMBERED], count: 0 }, times }
    }

    /// Whether the next request can be sent now.
    pub fn is_ready(&self) -> bool {
        self.sender.is_ready()
    }

    /// Waits until the next request can be sent; false if the connection is over.
    pub async fn ready(&mut self) -> bool {
        self.sender.ready().await.is_ok()
    }

    /// The largest of its recent answer times, once there are enough of them.
    pub fn recent_p99(&self) -> Option<Duration> {
        self.recent.p99()
    }

    /// Asks for the model's metadata in JSON. The caller bounds the time.
    pub async fn metadata(&mut self, model: &str) -> Result<Chunks, Cause> {
        let mut request = Request::new(Chunks::default());
        *request.uri_mut() = format!("/v2/models/{model}").parse().unwrap_or_default();
        request.headers_mut().insert(HOST, HeaderValue::from_static("car"));
        let response = self.sender.send_request(request).await.map_err(|_| Cause::Broken)?;
        let (status, _, body) = read(response).await?;
        let object = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&body.head(body.len()));
        match (status, object) {
            (StatusCode::OK, Ok(object)) if object.contains_key("name") => Ok(body),
            (StatusCode::OK, _) => Err(Cause::Malformed),
            _ => Err(Cause::NotReady),
        }
    }

    /// Sends one request and reads the whole answer. The caller bounds the time, of which `limit` tells the car.
    pub async fn attempt(&mut self, ask: &Ask, limit: Duration) -> Attempt {
        let begun = Instant::now();
        let response = match self.sender.send_request(request(ask, limit)).await {
            Ok(response) => response,
            Err(error) if error.is_canceled() => return Attempt::Missed(Cause::Closed),
            Err(error) if error.is_parse() => return Attempt::Missed(Cause::Malformed),
            Err(_) => return Attempt::Missed(Cause::Broken),
        };
        let attempt = match read(response).await {
            Ok((status, headers, body)) => judge(ask, status, &headers, body),
            Err(cause) => Attempt::Missed(cause),
        };
        if let Attempt::Answered(answer) = &attempt {
            let taken = begun.elapsed();
            self.recent.add(taken);
            if let (Some(times), true) = (&self.times, answer.is_good()) {
                times.add(taken);
            }
        }
        attempt
    }
}

impl Drop for Car {
    /// Dropping the sender ends an idle connection politely; a request under way is cancelled by closing at once.
    fn drop(&mut self) {
        if !self.sender.is_ready() {
            self.driver.abort();
        }
    }
}

#[derive(Debug)]
struct Recent {
    micros: [u32; REMEMBERED],
    count: usize,
}

impl Recent {
    fn add(&mut self, time: Duration) {
        self.micros[self.count % REMEMBERED] = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
        self.count += 1;
    }

    fn p99(&self) -> Option<Duration> {
        let largest = self.micros.iter().copied().max().unwrap_or_default();
        (self.count >= ENOUGH).then(|| Duration::from_micros(u64::from(largest)))
    }
}

/// The caller's request as the car gets it.
fn request(ask: &Ask, limit: Duration) -> Request<Chunks> {
    let (path, body) = match &ask.form {
        Form::Http { .. } => (format!("/v2/models/{}/infer", ask.model), ask.body.clone()),
        Form::Grpc { .. } => ("/inference.GRPCInferenceService/ModelInfer".to_owned(), ask.message()),
    };
    let mut request = Request::new(body);
    *request.method_mut() = Method::POST;
    // A model's name was matched against a workload's, whose schema allows no character that a path may not have.
    *request.uri_mut() = path.parse().unwrap_or_default();
    let headers = request.headers_mut();
    headers.insert(HOST, HeaderValue::from_static("car"));
    headers.insert(TIMEOUT_MS, HeaderValue::from(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX)));
    match &ask.form {
        Form::Http { headers: shown, .. } => copy(shown, headers, &SHOWN_TO_CARS),
        Form::Grpc { metadata } => {
            headers.insert(CONTENT_TYPE, GRPC_PROTO);
            copy(metadata, headers, &[TRACEPARENT]);
        }
    }
    request
}

fn copy(from: &HeaderMap, to: &mut HeaderMap, names: &[HeaderName]) {
    for name in names {
        if let Some(value) = from.get(name) {
            to.insert(name.clone(), value.clone());
        }
    }
}

async fn read(response: Response<Incoming>) -> Result<(StatusCode, HeaderMap, Chunks), Cause> {
    let (head, body) = response.into_parts();
    // Without a length or chunks the end of an answer cannot be told from a broken link.
    let delimited = head.headers.contains_key(CONTENT_LENGTH) || head.headers.contains_key(header::TRANSFER_ENCODING);
    if !delimited {
        return Err(Cause::Malformed);
    }
    match collect(body, CAR_BODY_LIMIT).await {
        Ok(body) => Ok((head.status, head.headers, body)),
        Err(crate::body::Broken::TooLarge) => Err(Cause::Malformed),
        Err(crate::body::Broken::Off) => Err(Cause::Broken),
    }
}

/// What an answer of a car means. Cars belong to others: an answer that is not KServe v2 never reaches a caller.
fn judge(ask: &Ask, status: StatusCode, headers: &HeaderMap, body: Chunks) -> Attempt {
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
    let blank = |byte: &u8| byte.is_ascii_whitespace();
    let last = (0..length).rev().filter_map(|index| body.byte(index)).find(|byte| !blank(byte));
    body.first() == Some(b'{') && last == Some(b'}')
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
    use std::time::Duration;

    use bytes::Bytes;
    use http::header::{AUTHORIZATION, CONTENT_TYPE, SET_COOKIE};
    use http::{HeaderMap, HeaderValue, StatusCode};

    use super::{JSON_LENGTH, Recent, TIMEOUT_MS, judge, request};
    use crate::ask::{Ask, Attempt};
    use crate::body::Chunks;
    use crate::errors::Cause;
    use crate::message::{Writer, frame};

    const GOOD: &[u8] = br#"{"model_name":"m","outputs":[{"name":"y","shape":[1],"datatype":"INT8","data":[1]}]}"#;

    fn http_ask() -> Ask {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer secret"));
        Ask::http("m", "/v2/models/m/infer", headers, Bytes::from_static(b"{}").into())
    }

    fn grpc_ask() -> Ask {
        Ask::grpc("m", HeaderMap::new(), frame(Writer::default().bytes(1, b"m").done().into()))
    }

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
    fn a_car_sees_no_secret_of_the_caller() {
        let sent = request(&http_ask(), Duration::from_millis(250));
        assert_eq!(sent.uri().path(), "/v2/models/m/infer");
        assert_eq!(sent.headers()[TIMEOUT_MS], "250");
        assert_eq!(sent.headers()[CONTENT_TYPE], "application/json");
        assert!(!sent.headers().contains_key(AUTHORIZATION));
    }

    #[test]
    fn a_grpc_message_goes_bare() {
        let sent = request(&grpc_ask(), Duration::from_millis(250));
        assert_eq!(sent.headers()[CONTENT_TYPE], "application/grpc+proto");
        assert_eq!(sent.body().len(), 3);
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

    #[test]
    fn a_few_answers_are_no_p99() {
        let mut recent = Recent { micros: [0; super::REMEMBERED], count: 0 };
        for millis in 1..=7 {
            recent.add(Duration::from_millis(millis));
            assert_eq!(recent.p99(), None);
        }
        recent.add(Duration::from_millis(3));
        assert_eq!(recent.p99(), Some(Duration::from_millis(7)));
    }
}
