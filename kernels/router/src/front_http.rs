//! KServe v2 over HTTP/1.1, as callers see it. Bodies and headers pass untouched; the path alone says which model is meant.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use http::header::{CONNECTION, CONTENT_TYPE, EXPECT, HOST, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use serde_json::json;

use crate::ask::{Answer, Ask, Form, strip_hop_by_hop};
use crate::body::{Chunks, Reply};
use crate::car::TIMEOUT_MS;
use crate::errors::{Refusal, error_json};
use crate::spans::Trace;
use crate::world::{Arrival, World};

/// Extensions of KServe v2 that pass through this router.
pub const EXTENSIONS: [&str; 5] =
    ["classification", "model_configuration", "binary_tensor_data", "parameters", "statistics"];

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// What is asked of one model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Question {
    Infer,
    Ready,
    Metadata,
    /// Configuration and statistics, which only Triton has.
    Triton,
}

/// A path of KServe v2.
#[derive(Debug, PartialEq, Eq)]
enum Route<'a> {
    Server,
    Live,
    Ready,
    Model { name: &'a str, versioned: bool, question: Question },
    Unknown,
}

/// Answers one request.
pub async fn answer(world: Arc<World>, request: Request<Incoming>) -> Result<Response<Reply>, Infallible> {
    let begun = Instant::now();
    let path = request.uri().path().to_owned();
    let answered = match route(&path) {
        Route::Model { name, versioned, question: Question::Infer } => {
            let trace = world.spans.as_ref().and_then(|spans| spans.over_http(request.headers(), &path, versioned));
            let answered = infer(&world, (name, versioned), request, begun, trace.clone()).await;
            trace.inspect(|trace| trace.end(answered.as_ref()));
            answered
        }
        Route::Unknown => Err(Refusal::UnknownPath(path.clone())),
        _ if request.method() != Method::GET => Err(Refusal::WrongMethod),
        Route::Live => Ok(plain(StatusCode::OK, r#"{"live":true}"#)),
        Route::Ready if world.directory.is_known() => Ok(plain(StatusCode::OK, r#"{"ready":true}"#)),
        Route::Ready => {
            Ok(plain(StatusCode::BAD_REQUEST, &error_json("no placements are known yet; try again in a second")))
        }
        Route::Server => Ok(plain(StatusCode::OK, &server_metadata())),
        Route::Model { name, versioned, question: Question::Ready } => {
            Ok(readiness(&world, name, versioned, request).await)
        }
        Route::Model { name, question, .. } => ask(&world, name, question, request).await,
    };
    let mut response = answered.map_or_else(|refusal| refused(&refusal), respond);
    if world.closing.load(Ordering::Relaxed) {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

fn route(path: &str) -> Route<'_> {
    let mut parts = path.trim_matches('/').split('/');
    if parts.next() != Some("v2") {
        return Route::Unknown;
    }
    let rest: Vec<&str> = parts.collect();
    match rest[..] {
        [] => Route::Server,
        ["health", "live"] => Route::Live,
        ["health", "ready"] => Route::Ready,
        ["models", name, "versions", _, ref tail @ ..] => model(name, true, tail),
        ["models", name, ref tail @ ..] => model(name, false, tail),
        _ => Route::Unknown,
    }
}

fn model<'a>(name: &'a str, versioned: bool, tail: &[&str]) -> Route<'a> {
    let question = match tail {
        [] => Question::Metadata,
        ["infer"] => Question::Infer,
        ["ready"] => Question::Ready,
        ["config" | "stats"] => Question::Triton,
        _ => return Route::Unknown,
    };
    Route::Model { name, versioned, question }
}

async fn infer(
    world: &World,
    (name, versioned): (&str, bool),
    request: Request<Incoming>,
    begun: Instant,
    trace: Option<Trace>,
) -> Result<Answer, Refusal> {
    if request.method() != Method::POST {
        return Err(Refusal::WrongMethod);
    }
    let (mut head, body) = request.into_parts();
    let caller = world.caller(&world.gate.pass(&mut head.headers)).await?;
    let workload = world.admitted(name, &caller)?;
    let limit = head.headers.get(TIMEOUT_MS).and_then(|value| value.to_str().ok()?.parse().ok());
    let arrival = Arrival { begun, limit: limit.map(Duration::from_millis), protocol: "http", trace };
    let gathered = world.intake.gather(body).await?;
    let path = head.uri.path_and_query().cloned().unwrap_or_else(|| http::uri::PathAndQuery::from_static("/"));
    let form = Form::Http { path, headers: passed_on(head.headers) };
    let (model, body) = (workload.model.clone(), gathered.chunks.clone());
    let ask = Ask { model, form, body, only: None, versioned, guest: false, trace: None };
    world.infer(&workload, ask, arrival).await
}

/// Whether a replica is connected; a version is Triton's to know.
async fn readiness(world: &World, name: &str, versioned: bool, request: Request<Incoming>) -> Answer {
    if versioned {
        let (mut head, _) = request.into_parts();
        drop(world.gate.pass(&mut head.headers));
        if let (Some(workload), Some(path)) = (world.directory.model(name), head.uri.path_and_query())
            && let Some(answer) = world.ask_triton(&workload, path, &passed_on(head.headers)).await
        {
            return answer;
        }
    } else if world.is_ready(name).await {
        return plain(StatusCode::OK, "");
    }
    plain(StatusCode::BAD_REQUEST, &error_json("Model version not ready"))
}

async fn ask(world: &World, name: &str, question: Question, request: Request<Incoming>) -> Result<Answer, Refusal> {
    let (mut head, _) = request.into_parts();
    let caller = world.caller(&world.gate.pass(&mut head.headers)).await?;
    let workload = world.admitted(name, &caller)?;
    if let Some(path) = head.uri.path_and_query()
        && let Some(answer) = world.ask_triton(&workload, path, &passed_on(head.headers)).await
    {
        return Ok(answer);
    }
    match question {
        Question::Metadata => {
            let mut answer = plain(StatusCode::OK, "");
            answer.body = world.car_metadata(&workload).await?;
            Ok(answer)
        }
        _ => Err(Refusal::NeedsTriton(workload.key.to_string())),
    }
}

/// The caller's headers as they go on to Triton.
fn passed_on(mut headers: HeaderMap) -> HeaderMap {
    strip_hop_by_hop(&mut headers);
    for name in [HOST, EXPECT] {
        headers.remove(name);
    }
    headers
}

fn server_metadata() -> String {
    json!({"name": "parkade-router", "version": env!("CARGO_PKG_VERSION"), "extensions": EXTENSIONS}).to_string()
}

fn plain(status: StatusCode, body: &str) -> Answer {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, JSON);
    Answer { status, headers, body: Chunks::from(body.to_owned()), grpc: 0 }
}

fn respond(answer: Answer) -> Response<Reply> {
    let mut response = Response::new(Reply::Whole(answer.body));
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    response
}

fn refused(refusal: &Refusal) -> Response<Reply> {
    let mut response = respond(plain(refusal.status(), &refusal.json()));
    if let Some(seconds) = refusal.retry_after() {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if let Some(challenge) = refusal.challenge() {
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::{Question, Route, route};

    #[test]
    fn paths_of_kserve() {
        let model = |versioned, question| Route::Model { name: "m", versioned, question };
        for (path, expected) in [
            ("/v2", Route::Server),
            ("/v2/", Route::Server),
            ("/v2/health/live", Route::Live),
            ("/v2/health/ready", Route::Ready),
            ("/v2/models/m", model(false, Question::Metadata)),
            ("/v2/models/m/infer", model(false, Question::Infer)),
            ("/v2/models/m/versions/3/infer", model(true, Question::Infer)),
            ("/v2/models/m/versions/3", model(true, Question::Metadata)),
            ("/v2/models/m/ready", model(false, Question::Ready)),
            ("/v2/models/m/stats", model(false, Question::Triton)),
            ("/v2/models/m/generate", Route::Unknown),
            ("/v2/repository/index", Route::Unknown),
            ("/v1/models/m", Route::Unknown),
            ("/", Route::Unknown),
        ] {
            assert_eq!(route(path), expected, "{path}");
        }
    }
}
