//! Spans of requests, by OpenTelemetry's semantic conventions: one of every sampled request, those of its attempts (`hop`)
//! and of its waiting below it. A span names workload, tier and place, as the access log does; never payload, vehicle or caller.
//!
//! A request is sampled as its `traceparent` says, else by chance; of any other nothing is made, and no header of it changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use http::header::HeaderName;
use http::{HeaderMap, StatusCode};
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{SpanKind, Status, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::HeaderExtractor;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracer;
use opentelemetry_semantic_conventions::attribute as named;

use crate::ask::{Answer, Form};
use crate::chance::Chance;
use crate::errors::{Outcome, Refusal, grpc_code};
use crate::queue::Tier;

/// W3C trace context: random numbers.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// `namespace/name` of the workload.
const WORKLOAD: &str = "parkade.workload";
/// The tier that answered, or was asked.
pub const TIER: &str = "parkade.tier";
/// The cell or pool that answered, or was asked.
pub const PLACE: &str = "parkade.place";
/// Attempts made.
const ATTEMPTS: &str = "parkade.attempts";
/// How it ended, in the words of the metrics.
pub const OUTCOME: &str = "parkade.outcome";

/// The method of inference over gRPC, as spans name it.
pub const INFER: &str = "inference.GRPCInferenceService/ModelInfer";
/// The same for one message of a stream.
pub const STREAM_INFER: &str = "inference.GRPCInferenceService/ModelStreamInfer";
/// The name of a span of inference over HTTP; the route is what follows the method.
const POST_INFER: &str = "POST /v2/models/{name}/infer";
/// The same with a version.
const POST_VERSION: &str = "POST /v2/models/{name}/versions/{version}/infer";
/// The time that is no wait.
const AT_ONCE: Duration = Duration::from_millis(1);

/// Makes the spans of requests.
#[derive(Debug)]
pub struct Spans {
    tracer: SdkTracer,
    propagator: TraceContextPropagator,
    /// Which requests begin a trace: cheaper than the identifiers that a sampler of the library would draw for a request of
    /// which nothing is made.
    chance: Chance,
}

impl Spans {
    /// Spans of this tracer, which samples all that it is asked for; this percentage of new traces is.
    pub fn new(tracer: SdkTracer, percent: f64) -> Self {
        Self { tracer, propagator: TraceContextPropagator::new(), chance: Chance::of(percent) }
    }

    /// A caller's request over HTTP; `None` if it is not sampled.
    pub fn over_http(&self, headers: &HeaderMap, path: &str, versioned: bool) -> Option<Trace> {
        let trace = self.begin(headers, http_name(versioned), true)?;
        trace.tell_http(path, "http", "1.1", versioned);
        Some(trace)
    }

    /// A caller's request over gRPC; `None` if it is not sampled.
    pub fn over_grpc(&self, metadata: &HeaderMap, method: &'static str) -> Option<Trace> {
        let trace = self.begin(metadata, method, true)?;
        trace.tell_grpc(method);
        Some(trace)
    }

    /// A request that another router passes on; that router decided whether it is sampled.
    pub fn passed_on(&self, form: &Form, versioned: bool) -> Option<Trace> {
        match form {
            Form::Http { path, headers } => {
                let trace = self.begin(headers, http_name(versioned), false)?;
                trace.tell_http(path.path(), "https", "2", versioned);
                Some(trace)
            }
            Form::Grpc { metadata } => {
                let trace = self.begin(metadata, INFER, false)?;
                trace.tell_grpc(INFER);
                Some(trace)
            }
        }
    }

    fn begin(&self, headers: &HeaderMap, name: &'static str, may_be_first: bool) -> Option<Trace> {
        let mut parent = Context::new();
        if headers.contains_key(TRACEPARENT) {
            parent = self.propagator.extract_with_context(&parent, &HeaderExtractor(headers));
        }
        let first = !parent.span().span_context().is_valid();
        let sampled =
            if first { may_be_first && self.chance.has_come() } else { parent.span().span_context().is_sampled() };
        if !sampled {
            return None;
        }
        let builder = self.tracer.span_builder(name).with_kind(SpanKind::Server);
        let context = Context::new().with_span(builder.start_with_context(&self.tracer, &parent));
        let grpc = matches!(name, INFER | STREAM_INFER);
        let (attempts, recorded) = (AtomicU32::new(0), AtomicBool::new(false));
        Some(Trace(Arc::new(Request { tracer: self.tracer.clone(), context, first, grpc, attempts, recorded })))
    }
}

/// The name of a span of inference over HTTP.
pub const fn http_name(versioned: bool) -> &'static str {
    if versioned { POST_VERSION } else { POST_INFER }
}

/// A sampled request. Its span ends when it is answered, else with the last of its clones.
#[derive(Clone, Debug)]
pub struct Trace(Arc<Request>);

#[derive(Debug)]
struct Request {
    tracer: SdkTracer,
    /// Holds the span.
    context: Context,
    /// Whether the trace begins here.
    first: bool,
    /// Whether it came over gRPC.
    grpc: bool,
    attempts: AtomicU32,
    /// Whether it was recorded as a workload's request.
    recorded: AtomicBool,
}

impl Drop for Request {
    /// Who asked left before the answer, and before it was recorded.
    fn drop(&mut self) {
        if !self.recorded.load(Ordering::Relaxed) {
            self.context.span().set_attribute(KeyValue::new(OUTCOME, Outcome::Cancelled.label()));
        }
    }
}

impl Trace {
    /// A span below the request's.
    pub fn below(&self, name: &'static str, kind: SpanKind) -> opentelemetry_sdk::trace::Span {
        let builder = self.0.tracer.span_builder(name).with_kind(kind);
        builder.start_with_context(&self.0.tracer, &self.0.context)
    }

    /// Whether the trace begins here.
    pub fn is_first(&self) -> bool {
        self.0.first
    }

    /// Attempts made before this one.
    pub fn one_more_attempt(&self) -> u32 {
        self.0.attempts.fetch_add(1, Ordering::Relaxed)
    }

    /// From now on the request waits for a credit, until the guard is dropped.
    pub fn waits(&self) -> Wait {
        Wait { trace: self.clone(), since: SystemTime::now() }
    }

    /// How a workload's request ended.
    pub fn record(&self, workload: &Arc<str>, place: Option<&(Tier, Arc<str>)>, attempts: u32, outcome: Outcome) {
        self.0.recorded.store(true, Ordering::Relaxed);
        self.tell([
            KeyValue::new(WORKLOAD, workload.clone()),
            KeyValue::new(ATTEMPTS, i64::from(attempts)),
            KeyValue::new(OUTCOME, outcome.label()),
        ]);
        if let Some((tier, place)) = place {
            self.tell([KeyValue::new(TIER, tier.label()), KeyValue::new(PLACE, place.clone())]);
        }
    }

    /// The answer, with which the span ends.
    pub fn end(&self, answered: Result<&Answer, &Refusal>) {
        if let (Err(refusal), false) = (answered, self.0.recorded.swap(true, Ordering::Relaxed)) {
            self.tell([KeyValue::new(OUTCOME, refusal.outcome().label())]);
        }
        let error = if self.0.grpc {
            self.tell_grpc_status(answered.map_or_else(Refusal::grpc, |answer| answer.grpc))
        } else {
            self.tell_http_status(answered.map_or_else(Refusal::status, |answer| answer.status))
        };
        let span = self.0.context.span();
        if let Some(error) = error {
            span.set_attribute(KeyValue::new(named::ERROR_TYPE, error));
            span.set_status(Status::error(""));
        }
        span.end();
    }

    /// The status, and the error's type if it is the server's fault.
    fn tell_http_status(&self, status: StatusCode) -> Option<String> {
        self.tell([KeyValue::new(named::HTTP_RESPONSE_STATUS_CODE, i64::from(status.as_u16()))]);
        status.is_server_error().then(|| status.as_str().to_owned())
    }

    /// The same; which statuses are the server's fault is in the conventions.
    fn tell_grpc_status(&self, status: u32) -> Option<String> {
        let name = grpc_name(status);
        self.tell([KeyValue::new(named::RPC_RESPONSE_STATUS_CODE, name)]);
        let fault = matches!(
            status,
            grpc_code::UNKNOWN
                | grpc_code::DEADLINE_EXCEEDED
                | grpc_code::UNIMPLEMENTED
                | grpc_code::INTERNAL
                | grpc_code::UNAVAILABLE
                | grpc_code::DATA_LOSS
        );
        fault.then(|| name.to_owned())
    }

    fn tell_http(&self, path: &str, scheme: &'static str, version: &'static str, versioned: bool) {
        let route = http_name(versioned).trim_start_matches("POST ");
        self.tell([
            KeyValue::new(named::HTTP_REQUEST_METHOD, "POST"),
            KeyValue::new(named::URL_PATH, path.to_owned()),
            KeyValue::new(named::URL_SCHEME, scheme),
            KeyValue::new(named::HTTP_ROUTE, route),
            KeyValue::new(named::NETWORK_PROTOCOL_VERSION, version),
        ]);
    }

    fn tell_grpc(&self, method: &'static str) {
        self.tell([KeyValue::new(named::RPC_SYSTEM_NAME, "grpc"), KeyValue::new(named::RPC_METHOD, method)]);
    }

    fn tell<const N: usize>(&self, attributes: [KeyValue; N]) {
        self.0.context.span().set_attributes(attributes);
    }
}

/// A request that waits for a credit. Dropped, it becomes a span, unless the credit came at once.
#[derive(Debug)]
pub struct Wait {
    trace: Trace,
    since: SystemTime,
}

impl Drop for Wait {
    fn drop(&mut self) {
        if self.since.elapsed().is_ok_and(|waited| waited >= AT_ONCE) {
            let Request { tracer, context, .. } = &*self.trace.0;
            drop(tracer.span_builder("queue").with_start_time(self.since).start_with_context(tracer, context));
        }
    }
}

/// A status of gRPC by its name.
pub const fn grpc_name(code: u32) -> &'static str {
    const NAMES: [&str; 17] = [
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ];
    if (code as usize) < NAMES.len() { NAMES[code as usize] } else { "UNKNOWN" }
}
