//! KServe v2 over gRPC, as callers see it. Only the model's name is read out of a message; the message itself stays opaque.

use std::borrow::Cow;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, USER_AGENT};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use http_body::Frame;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use percent_encoding::percent_decode;
use serde::Deserialize;
use tokio::sync::mpsc;

use crate::admission::Caller;
use crate::ask::{Answer, Ask, Form, GRPC, GRPC_MESSAGE, GRPC_STATUS, strip_hop_by_hop};
use crate::body::{Chunks, Reply};
use crate::errors::{Kind, Refusal, grpc_code};
use crate::front_http::EXTENSIONS;
use crate::message::{self, BadFrame, Writer};
use crate::spans::{INFER, STREAM_INFER, Trace};
use crate::workload::Workload;
use crate::world::{Arrival, World};

const SERVICE: &str = "/inference.GRPCInferenceService/";
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
/// Milliseconds after which clients with a retry policy try again; negative: never (gRFC A6).
const PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");
const GRPC_ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
/// Answers of a stream that may wait for a slow caller.
const STREAM_BACKLOG: usize = 4;
/// The parameter (field 4) by which Triton marks the last answer to a request on a stream; there is one to each here.
const FINAL_RESPONSE: &[u8] = b"\x22\x1b\x0a\x15triton_final_response\x12\x02\x08\x01";

/// Answers one call.
pub async fn answer(world: Arc<World>, request: Request<Incoming>) -> Result<Response<Reply>, Infallible> {
    let begun = Instant::now();
    let path = request.uri().path().to_owned();
    let method = path.strip_prefix(SERVICE).unwrap_or_default();
    if request.method() == Method::POST && method == "ModelStreamInfer" {
        return Ok(stream(world, request));
    }
    let answered = if request.method() == Method::POST {
        let traced = world.spans.as_ref().filter(|_| method == "ModelInfer");
        let trace = traced.and_then(|spans| spans.over_grpc(request.headers(), INFER));
        let answered = unary(&world, method, request, begun, trace.clone()).await;
        trace.inspect(|trace| trace.end(answered.as_ref()));
        answered
    } else {
        Err(Refusal::WrongMethod)
    };
    Ok(respond(answered.unwrap_or_else(|refusal| refused(&refusal))))
}

async fn unary(
    world: &World,
    method: &str,
    request: Request<Incoming>,
    begun: Instant,
    trace: Option<Trace>,
) -> Result<Answer, Refusal> {
    let (mut head, body) = request.into_parts();
    let pass = world.gate.pass(&mut head.headers);
    let caller = if is_open(method) { Caller::default() } else { world.caller(&pass).await? };
    let gathered = world.intake.gather(body).await?;
    let message = message::unframe(gathered.chunks.clone()).map_err(bad_frame)?;
    match method {
        "ServerLive" => Ok(said(Writer::default().truth(1, true))),
        "ServerReady" => Ok(said(Writer::default().truth(1, world.directory.is_known()))),
        "ServerMetadata" => {
            let named = Writer::default().bytes(1, b"parkade-router").bytes(2, env!("CARGO_PKG_VERSION").as_bytes());
            Ok(said(EXTENSIONS.iter().fold(named, |message, extension| message.bytes(3, extension.as_bytes()))))
        }
        "ModelReady" => {
            let path = head.uri.path_and_query().cloned();
            readiness(world, path, &passed_on(head.headers), gathered.chunks.clone(), &message).await
        }
        "ModelInfer" => {
            let limit = head.headers.get(GRPC_TIMEOUT).and_then(|value| timeout(value.to_str().ok()?));
            let arrival = Arrival { begun, limit, protocol: "grpc", trace };
            infer(world, &caller, &passed_on(head.headers), &message, arrival).await
        }
        "ModelMetadata" | "ModelConfig" | "ModelStatistics" => {
            let path = head.uri.path_and_query().cloned();
            let [name, _] = names(&message)?;
            let workload = world.admitted(&name, &caller)?;
            ask(world, &workload, path, &passed_on(head.headers), gathered.chunks.clone()).await
        }
        _ => Err(Refusal::UnknownMethod(head.uri.path().to_owned())),
    }
}

/// Methods that probes and balancers call, who have no token.
fn is_open(method: &str) -> bool {
    matches!(method, "ServerLive" | "ServerReady" | "ServerMetadata" | "ModelReady")
}

async fn infer(
    world: &World,
    caller: &Caller,
    metadata: &HeaderMap,
    message: &Chunks,
    arrival: Arrival,
) -> Result<Answer, Refusal> {
    let [name, version] = names(message)?;
    let workload = world.admitted(&name, caller)?;
    let ask = Ask {
        model: workload.model.clone(),
        form: Form::Grpc { metadata: metadata.clone() },
        body: message::frame(message.clone()),
        only: None,
        versioned: !version.is_empty(),
        guest: false,
        trace: None,
    };
    let limited = arrival.limit.is_some();
    let answered = world.infer(&workload, ask, arrival).await;
    match answered {
        Err(refusal) if refusal.kind() == Kind::Late && limited => {
            Ok(Answer::grpc_error(grpc_code::DEADLINE_EXCEEDED, &refusal.to_string()))
        }
        answered => answered,
    }
}

/// Whether a replica is connected; a version is Triton's to know.
async fn readiness(
    world: &World,
    path: Option<PathAndQuery>,
    metadata: &HeaderMap,
    body: Chunks,
    message: &Chunks,
) -> Result<Answer, Refusal> {
    let [name, version] = names(message)?;
    if version.is_empty() {
        return Ok(said(Writer::default().truth(1, world.is_ready(&name).await)));
    }
    if let (Some(workload), Some(path)) = (world.directory.model(&name), path)
        && let Some(answer) = world.call_triton(&workload, path, metadata, body).await
    {
        return Ok(answer);
    }
    Ok(said(Writer::default().truth(1, false)))
}

async fn ask(
    world: &World,
    workload: &Arc<Workload>,
    path: Option<PathAndQuery>,
    metadata: &HeaderMap,
    body: Chunks,
) -> Result<Answer, Refusal> {
    let path = path.unwrap_or_else(|| PathAndQuery::from_static("/"));
    let is_metadata = path.path().ends_with("/ModelMetadata");
    if let Some(answer) = world.call_triton(workload, path, metadata, body).await {
        return Ok(answer);
    }
    if !is_metadata {
        return Err(Refusal::NeedsTriton(workload.key.to_string()));
    }
    let json = world.car_metadata(workload).await?;
    let metadata: ModelMetadata = serde_json::from_slice(&json.head(json.len()))
        .map_err(|_| Refusal::BrokenBody("a car's metadata are not KServe v2"))?;
    Ok(said(metadata.message()))
}

/// A model's metadata in the JSON of KServe v2.
#[derive(Deserialize)]
struct ModelMetadata {
    name: String,
    #[serde(default)]
    versions: Vec<String>,
    #[serde(default)]
    platform: String,
    #[serde(default)]
    inputs: Vec<TensorMetadata>,
    #[serde(default)]
    outputs: Vec<TensorMetadata>,
}

#[derive(Deserialize)]
struct TensorMetadata {
    name: String,
    datatype: String,
    #[serde(default)]
    shape: Vec<i64>,
}

impl ModelMetadata {
    fn message(&self) -> Writer {
        let mut message = Writer::default().bytes(1, self.name.as_bytes());
        for version in &self.versions {
            message = message.bytes(2, version.as_bytes());
        }
        message = message.bytes(3, self.platform.as_bytes());
        for (field, tensors) in [(4, &self.inputs), (5, &self.outputs)] {
            for tensor in tensors {
                message = message.bytes(field, &tensor.message().done());
            }
        }
        message
    }
}

impl TensorMetadata {
    fn message(&self) -> Writer {
        Writer::default().bytes(1, self.name.as_bytes()).bytes(2, self.datatype.as_bytes()).packed(3, &self.shape)
    }
}

/// A stream of requests, answered one after another in their order.
fn stream(world: Arc<World>, request: Request<Incoming>) -> Response<Reply> {
    let (answers, receiver) = mpsc::channel(STREAM_BACKLOG);
    tokio::spawn(async move {
        let gone = answers.clone();
        tokio::select! {
            () = gone.closed() => {}
            () = answer_stream(&world, request, &answers) => {}
        }
    });
    let mut response = Response::new(Reply::Stream(receiver));
    response.headers_mut().insert(CONTENT_TYPE, GRPC);
    response
}

async fn answer_stream(world: &World, request: Request<Incoming>, answers: &mpsc::Sender<Frame<Bytes>>) {
    let (code, sentence) = match answer_messages(world, request, answers).await {
        Ok(true) => (grpc_code::OK, String::new()),
        Ok(false) => return,
        Err(refusal) => (refusal.grpc(), refusal.to_string()),
    };
    let mut trailers = Answer::grpc_error(code, &sentence).headers;
    trailers.remove(CONTENT_TYPE);
    drop(answers.send(Frame::trailers(trailers)).await);
}

/// False if the caller left before its last answer.
async fn answer_messages(
    world: &World,
    request: Request<Incoming>,
    answers: &mpsc::Sender<Frame<Bytes>>,
) -> Result<bool, Refusal> {
    let (mut head, mut body) = request.into_parts();
    let pass = world.gate.pass(&mut head.headers);
    let metadata = passed_on(head.headers);
    world.caller(&pass).await?;
    let mut waiting = Chunks::default();
    loop {
        if let Some(message) = message::next_frame(&mut waiting).map_err(bad_frame)? {
            // Again for each message: a stream may outlive its caller's token.
            let caller = world.caller(&pass).await?;
            let trace = world.spans.as_ref().and_then(|spans| spans.over_grpc(&metadata, STREAM_INFER));
            let arrival = Arrival { begun: Instant::now(), limit: None, protocol: "grpc", trace: trace.clone() };
            let answered = infer(world, &caller, &metadata, &message, arrival).await;
            trace.inspect(|trace| trace.end(answered.as_ref()));
            for piece in message::frame(stream_answer(answered)).pieces() {
                if answers.send(Frame::data(piece.clone())).await.is_err() {
                    return Ok(false);
                }
            }
            continue;
        }
        if message::announced(&waiting) > world.intake.limit() {
            return Err(Refusal::TooLarge(world.intake.limit()));
        }
        match body.frame().await {
            Some(Ok(frame)) => frame.into_data().map_or((), |data| waiting.receive(data)),
            Some(Err(_)) => return Ok(false),
            None => return Ok(true),
        }
    }
}

/// `ModelStreamInferResponse`: an error's sentence (field 1) or an answer (field 2).
fn stream_answer(answered: Result<Answer, Refusal>) -> Chunks {
    match answered {
        Ok(mut answer) if answer.grpc == grpc_code::OK => {
            answer.body.split_to(5);
            answer.body.take_trailers();
            answer.body.push(Bytes::from_static(FINAL_RESPONSE));
            let head = Writer::default().announce(2, answer.body.len()).done();
            answer.body.prepend(head);
            answer.body
        }
        Ok(answer) => {
            let trailers = answer.body.clone().take_trailers();
            let said = answer.headers.get(GRPC_MESSAGE).or_else(|| trailers.as_ref()?.get(GRPC_MESSAGE));
            let sentence = said.map_or(&b"the model failed"[..], HeaderValue::as_bytes);
            Writer::default().bytes(1, &Cow::from(percent_decode(sentence))).done().into()
        }
        Err(refusal) => Writer::default().bytes(1, refusal.to_string().as_bytes()).done().into(),
    }
}

fn names(message: &Chunks) -> Result<[String; 2], Refusal> {
    message::model_and_version(message).map_err(|_| Refusal::BrokenBody("its message is not protobuf"))
}

const fn bad_frame(broken: BadFrame) -> Refusal {
    match broken {
        BadFrame::Compressed => Refusal::Compressed,
        BadFrame::Length => Refusal::BrokenBody("its body is not one gRPC frame"),
    }
}

/// The caller's metadata as they go on to Triton.
fn passed_on(mut headers: HeaderMap) -> HeaderMap {
    strip_hop_by_hop(&mut headers);
    for name in [HOST, CONTENT_TYPE, CONTENT_LENGTH, USER_AGENT, GRPC_TIMEOUT] {
        headers.remove(name);
    }
    headers
}

/// `grpc-timeout`: at most eight digits and a unit.
fn timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let count: u64 = if digits.len() <= 8 { digits.parse().ok()? } else { return None };
    Some(match unit {
        "H" => Duration::from_secs(count * 3600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

fn said(message: Writer) -> Answer {
    Answer::grpc_message(message.done().into())
}

fn refused(refusal: &Refusal) -> Answer {
    let mut answer = Answer::grpc_error(refusal.grpc(), &refusal.to_string());
    if let Some(milliseconds) = refusal.pushback() {
        answer.headers.insert(PUSHBACK, HeaderValue::from(milliseconds));
    }
    if *refusal == Refusal::Compressed {
        answer.headers.insert(GRPC_ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    }
    answer
}

fn respond(answer: Answer) -> Response<Reply> {
    debug_assert!(answer.headers.contains_key(GRPC_STATUS) || answer.body.len() > 0);
    let mut response = Response::new(Reply::Whole(answer.body));
    *response.headers_mut() = answer.headers;
    response
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{FINAL_RESPONSE, ModelMetadata, stream_answer, timeout};
    use crate::ask::Answer;
    use crate::errors::Refusal;
    use crate::message::Writer;

    #[test]
    fn timeouts_of_grpc() {
        assert_eq!(timeout("250m"), Some(Duration::from_millis(250)));
        assert_eq!(timeout("2S"), Some(Duration::from_secs(2)));
        for bad in ["", "m", "5", "5x", "123456789m", "-1S"] {
            assert_eq!(timeout(bad), None, "{bad}");
        }
    }

    #[test]
    fn metadata_of_a_car_become_a_message() {
        let json = r#"{"name":"m","platform":"onnx","inputs":[{"name":"x","datatype":"FP32","shape":[-1,2]}]}"#;
        let metadata: ModelMetadata = serde_json::from_str(json).unwrap();
        let tensor = Writer::default().bytes(1, b"x").bytes(2, b"FP32").packed(3, &[-1, 2]).done();
        let expected = Writer::default().bytes(1, b"m").bytes(3, b"onnx").bytes(4, &tensor).done();
        assert_eq!(metadata.message().done(), expected);
    }

    #[test]
    fn a_stream_carries_answers_and_errors() {
        let answer = Answer::grpc_message(Writer::default().bytes(1, b"m").done().into());
        let carried = stream_answer(Ok(answer));
        let message = [b"\x12\x20\x0a\x01m", FINAL_RESPONSE].concat();
        assert_eq!(carried.head(99), message);
        let refused = stream_answer(Err(Refusal::UnknownModel("x".to_owned())));
        assert_eq!(refused.first(), Some(0x0a));
        let failed = stream_answer(Ok(Answer::grpc_error(3, "50% of ½")));
        assert_eq!(failed.head(99), "\n\u{9}50% of ½");
    }
}
