//! Triton servers: requests over HTTP and gRPC, what the answers mean, and probes of those that failed.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, EXPECT, TE};
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use hyper::body::Incoming;
use tracing::info;

use crate::ask::{Answer, Ask, Attempt, Form, GRPC, GRPC_MESSAGE, GRPC_STATUS, strip_hop_by_hop};
use crate::body::{Broken, Chunks, collect};
use crate::connections::Connections;
use crate::definition::Endpoint;
use crate::errors::{Cause, grpc_code};
use crate::hop::Hop;
use crate::workload::Workload;

/// First pause before a failed server is probed; doubles up to `PROBE_LONGEST`.
const PROBE_FIRST: Duration = Duration::from_millis(50);
/// Longest pause between probes: a server that is back is used within a second.
const PROBE_LONGEST: Duration = Duration::from_secs(1);
/// Time for one probe.
const PROBE_TIME: Duration = Duration::from_secs(1);
/// How much of an error is looked at for Triton's words.
const ERROR_HEAD: usize = 512;

/// The path of inference over gRPC.
pub const INFER: &str = "/inference.GRPCInferenceService/ModelInfer";
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// Clients for all Triton servers.
#[derive(Clone, Debug)]
pub struct Tritons {
    connections: Connections,
    answer_limit: usize,
}

impl Tritons {
    /// Clients that read answers of at most `answer_limit` bytes.
    pub fn new(answer_limit: usize) -> Self {
        Self { connections: Connections::default(), answer_limit }
    }

    /// Sends one request and reads the whole answer. The caller bounds the time, of which `limit` tells the server.
    pub async fn attempt(&self, server: &Endpoint, ask: &Ask, limit: Duration, hop: Option<&Hop>) -> Attempt {
        let headers = ask.headers_for(hop);
        match &ask.form {
            Form::Http { path, .. } => {
                match self.over_http(server, Method::POST, path, headers, ask.body.clone()).await {
                    Ok(answer) => judge_http(answer, ask.versioned),
                    Err(cause) => Attempt::Missed(cause),
                }
            }
            Form::Grpc { .. } => {
                let path = PathAndQuery::from_static(INFER);
                match self.over_grpc(server, path, headers, ask.body.clone(), limit).await {
                    Ok(answer) => judge_grpc(answer, ask.versioned),
                    Err(cause) => Attempt::Missed(cause),
                }
            }
        }
    }

    /// Asks one server a question other than inference.
    pub async fn ask(
        &self,
        server: &Endpoint,
        method: Method,
        path: &PathAndQuery,
        headers: &HeaderMap,
    ) -> Result<Answer, Cause> {
        self.over_http(server, method, path, headers.clone(), Chunks::default()).await
    }

    /// Calls any unary method of one server; `body` is one frame.
    pub async fn call(
        &self,
        server: &Endpoint,
        path: PathAndQuery,
        metadata: &HeaderMap,
        body: Chunks,
        limit: Duration,
    ) -> Result<Answer, Cause> {
        self.over_grpc(server, path, metadata.clone(), body, limit).await
    }

    async fn over_http(
        &self,
        server: &Endpoint,
        method: Method,
        path: &PathAndQuery,
        headers: HeaderMap,
        body: Chunks,
    ) -> Result<Answer, Cause> {
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = path.clone().into();
        *request.headers_mut() = headers;
        for name in [CONTENT_LENGTH, EXPECT] {
            request.headers_mut().remove(name);
        }
        let (response, connection) = self.connections.send(&server.http, request).await?;
        let (status, mut headers, body) = self.read(response).await?;
        connection.keep();
        strip_hop_by_hop(&mut headers);
        headers.remove(CONTENT_LENGTH);
        Ok(Answer { status, headers, body, grpc: grpc_code::OK })
    }

    async fn over_grpc(
        &self,
        server: &Endpoint,
        path: PathAndQuery,
        metadata: HeaderMap,
        body: Chunks,
        limit: Duration,
    ) -> Result<Answer, Cause> {
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.version_mut() = Version::HTTP_2;
        *request.uri_mut() = uri(&server.grpc, path);
        *request.headers_mut() = metadata;
        request.headers_mut().insert(CONTENT_TYPE, GRPC);
        request.headers_mut().insert(TE, HeaderValue::from_static("trailers"));
        if let Ok(timeout) = HeaderValue::from_str(&format!("{}m", limit.as_millis().clamp(1, 99_999_999))) {
            request.headers_mut().insert(GRPC_TIMEOUT, timeout);
        }
        let response = self.connections.call(&server.grpc, request).await?;
        let (status, headers, mut body) = self.read(response).await?;
        if status != StatusCode::OK {
            return Err(if status.is_server_error() { Cause::Failed } else { Cause::Malformed });
        }
        let trailers = body.take_trailers();
        let code = trailers.as_ref().and_then(code_of).or_else(|| code_of(&headers)).ok_or(Cause::Malformed)?;
        let body = match trailers {
            Some(trailers) => body.with_trailers(trailers),
            None => body,
        };
        Ok(Answer { status, headers, body, grpc: code })
    }

    async fn read(&self, response: Response<Incoming>) -> Result<(StatusCode, HeaderMap, Chunks), Cause> {
        let (head, body) = response.into_parts();
        match collect(body, self.answer_limit).await {
            Ok(body) => Ok((head.status, head.headers, body)),
            Err(Broken::Off) => Err(Cause::Broken),
            Err(Broken::TooLarge) => Err(Cause::Malformed),
        }
    }

    /// Keeps requests off a failing server and probes it until it holds the model again or leaves the plan.
    pub fn rest(&self, workload: &Arc<Workload>, place: &Arc<str>, server: &Arc<Endpoint>) {
        if !workload.close_server(place, server) {
            return;
        }
        info!(workload = &*workload.key, place = &**place, "a Triton server rests until it is ready again");
        let (tritons, workload, place, server) = (self.clone(), workload.clone(), place.clone(), server.clone());
        tokio::spawn(async move {
            let mut pause = PROBE_FIRST;
            while workload.has_server(&place, &server) {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PROBE_LONGEST);
                if tritons.is_ready(&server, &workload.model).await {
                    info!(workload = &*workload.key, place = &*place, "a Triton server is ready again");
                    workload.open_server(&place, &server);
                    return;
                }
            }
        });
    }

    async fn is_ready(&self, server: &Endpoint, model: &str) -> bool {
        let Ok(path) = PathAndQuery::try_from(format!("/v2/models/{model}/ready")) else { return false };
        let headers = HeaderMap::new();
        let asked = self.ask(server, Method::GET, &path, &headers);
        matches!(tokio::time::timeout(PROBE_TIME, asked).await, Ok(Ok(answer)) if answer.status == StatusCode::OK)
    }
}

fn uri(authority: &str, path: PathAndQuery) -> Uri {
    // An authority that is no authority gives an address that cannot be connected to, which is a miss like any other.
    Uri::builder().scheme(Scheme::HTTP).authority(authority).path_and_query(path).build().unwrap_or_default()
}

fn code_of(headers: &HeaderMap) -> Option<u32> {
    headers.get(GRPC_STATUS)?.to_str().ok()?.parse().ok()
}

/// What Triton says, also with 404, of shared memory that the caller did not register.
const SHARED_MEMORY: &str = "shared memory";

/// What an answer of Triton means. 404 without a version named means that the model is not there (now).
fn judge_http(answer: Answer, versioned: bool) -> Attempt {
    match answer.status.as_u16() {
        404 if !versioned && !says(&answer.body, SHARED_MEMORY) => Attempt::Missed(Cause::NotReady),
        400 if says(&answer.body, "is not ready") => Attempt::Missed(Cause::NotReady),
        503 => Attempt::Missed(Cause::NotReady),
        500..=599 => Attempt::Verdict(answer),
        _ => Attempt::Answered(answer),
    }
}

fn judge_grpc(answer: Answer, versioned: bool) -> Attempt {
    match answer.grpc {
        grpc_code::NOT_FOUND if !versioned && !sentence(&answer).contains(SHARED_MEMORY) => {
            Attempt::Missed(Cause::NotReady)
        }
        grpc_code::UNAVAILABLE => Attempt::Missed(Cause::NotReady),
        grpc_code::DEADLINE_EXCEEDED => Attempt::Missed(Cause::Timeout),
        grpc_code::INTERNAL => Attempt::Verdict(answer),
        _ => Attempt::Answered(answer),
    }
}

fn sentence(answer: &Answer) -> &str {
    let trailers = answer.body.trailers();
    let said = answer.headers.get(GRPC_MESSAGE).or_else(|| trailers?.get(GRPC_MESSAGE));
    said.and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn says(body: &Chunks, words: &str) -> bool {
    let head: Bytes = body.head(ERROR_HEAD);
    head.windows(words.len()).any(|window| window == words.as_bytes())
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, StatusCode};

    use super::{judge_grpc, judge_http};
    use crate::ask::{Answer, Attempt};
    use crate::errors::Cause;

    fn http(status: u16, body: &str, versioned: bool) -> String {
        let status = StatusCode::from_u16(status).unwrap();
        let answer = Answer { status, headers: HeaderMap::new(), body: body.to_owned().into(), grpc: 0 };
        name(&judge_http(answer, versioned))
    }

    fn name(attempt: &Attempt) -> String {
        match attempt {
            Attempt::Answered(_) => "answered".to_owned(),
            Attempt::Verdict(_) | Attempt::Elsewhere(_) => "verdict".to_owned(),
            Attempt::Missed(cause) => cause.label().to_owned(),
        }
    }

    #[test]
    fn a_model_that_is_not_there_is_a_miss_and_a_bad_shape_is_not() {
        let gone = r#"{"error":"Request for unknown model: 'm' has no available versions"}"#;
        assert_eq!(http(404, gone, false), "not_ready");
        assert_eq!(http(404, gone, true), "answered");
        let memory = r#"{"error":"Unable to find shared memory region: 'r'"}"#;
        assert_eq!(http(404, memory, false), "answered");
        assert_eq!(http(400, r#"{"error":"unexpected shape for input 'x'"}"#, false), "answered");
        assert_eq!(http(400, r#"{"error":"model 'm' is not ready"}"#, false), "not_ready");
        assert_eq!(http(503, "", false), "not_ready");
        assert_eq!(http(500, r#"{"error":"boom"}"#, false), "verdict");
        assert_eq!(http(200, "{}", false), "answered");
    }

    #[test]
    fn grpc_statuses_mean_the_same() {
        let judged = |code| name(&judge_grpc(Answer::grpc_error(code, "x"), false));
        assert_eq!(judged(5), Cause::NotReady.label());
        let memory = Answer::grpc_error(5, "Unable to find shared memory region: 'r'");
        assert_eq!(name(&judge_grpc(memory, false)), "answered");
        assert_eq!(judged(14), Cause::NotReady.label());
        assert_eq!(judged(4), Cause::Timeout.label());
        assert_eq!(judged(13), "verdict");
        assert_eq!(judged(3), "answered");
    }
}
