//! One connection that a car dialled: what is sent over it, and how an answer is read.

mod judging;

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use tokio::task::AbortHandle;

use self::judging::judge;
use crate::ask::{Ask, Attempt, Form};
use crate::body::{Chunks, collect};
use crate::errors::Cause;
use crate::hop::Hop;
use crate::observed::Times;
use crate::settings::CAR_BODY_LIMIT;
use crate::spans::TRACEPARENT;

/// Size of the JSON part of an answer in KServe's binary extension.
pub const JSON_LENGTH: HeaderName = HeaderName::from_static("inference-header-content-length");
/// The time left, told to the car.
pub const TIMEOUT_MS: HeaderName = HeaderName::from_static("parkade-timeout-ms");
/// The bare protobuf message of a gRPC call.
const GRPC_PROTO: HeaderValue = HeaderValue::from_static("application/grpc+proto");

/// All of a caller's headers that a car gets to see: it belongs to somebody else. `tracestate` and `baggage` may say who
/// the caller is.
const SHOWN_TO_CARS: [HeaderName; 6] =
    [CONTENT_TYPE, CONTENT_ENCODING, ACCEPT, ACCEPT_ENCODING, JSON_LENGTH, TRACEPARENT];

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
    pub async fn attempt(&mut self, ask: &Ask, limit: Duration, hop: Option<&Hop>) -> Attempt {
        let begun = Instant::now();
        let response = match self.sender.send_request(request(ask, limit, hop)).await {
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
fn request(ask: &Ask, limit: Duration, hop: Option<&Hop>) -> Request<Chunks> {
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
    if let Some(hop) = hop {
        hop.carry(headers);
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use http::header::{AUTHORIZATION, CONTENT_TYPE};
    use http::{HeaderMap, HeaderValue};

    use super::{Recent, TIMEOUT_MS, request};
    use crate::ask::Ask;
    use crate::message::{Writer, frame};

    pub fn http_ask() -> Ask {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer secret"));
        Ask::http("m", "/v2/models/m/infer", headers, Bytes::from_static(b"{}").into())
    }

    pub fn grpc_ask() -> Ask {
        Ask::grpc("m", HeaderMap::new(), frame(Writer::default().bytes(1, b"m").done().into()))
    }

    #[test]
    fn a_car_sees_no_secret_of_the_caller() {
        let sent = request(&http_ask(), Duration::from_millis(250), None);
        assert_eq!(sent.uri().path(), "/v2/models/m/infer");
        assert_eq!(sent.headers()[TIMEOUT_MS], "250");
        assert_eq!(sent.headers()[CONTENT_TYPE], "application/json");
        assert!(!sent.headers().contains_key(AUTHORIZATION));
    }

    #[test]
    fn a_grpc_message_goes_bare() {
        let sent = request(&grpc_ask(), Duration::from_millis(250), None);
        assert_eq!(sent.headers()[CONTENT_TYPE], "application/grpc+proto");
        assert_eq!(sent.body().len(), 3);
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
