//! Spans of what a router asks of others for one request: an attempt at a place, or passing on to another router. What is
//! asked carries the hop's own `traceparent`. Of a car a hop tells its cell, and no address.

use std::sync::Arc;

use http::header::HeaderName;
use http::{HeaderMap, HeaderValue};
use opentelemetry::KeyValue;
use opentelemetry::trace::{Span as _, SpanKind, Status};
use opentelemetry_sdk::trace::Span;
use opentelemetry_semantic_conventions::attribute as named;

use crate::ask::{Answer, Ask, Attempt, Form};
use crate::definition::Endpoint;
use crate::errors::{Cause, Outcome};
use crate::peer::{Back, Passed, Peer};
use crate::queue::Tier;
use crate::spans::{INFER, OUTCOME, PLACE, TIER, TRACEPARENT, Trace, grpc_name, http_name};

const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// The router that a request is passed on to.
const ROUTER: &str = "parkade.router";
/// A gRPC message goes to a car in a request of HTTP/1.1, and to another router over HTTP/2.
const POST_GRPC: &str = "POST /inference.GRPCInferenceService/ModelInfer";

/// One request to one place, or to another router. Dropped before its end it was cancelled.
#[derive(Debug)]
pub struct Hop {
    span: Span,
    wire: Wire,
    /// Whether the trace begins at this router, so that no state of another trace may go along.
    first: bool,
    over: bool,
}

/// What a status is one of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wire {
    Http,
    Grpc,
    /// gRPC to a car: HTTP statuses that are translated where they come in.
    Translated,
}

impl Trace {
    /// An attempt at a place.
    pub fn attempt(&self, ask: &Ask, (tier, place): &(Tier, Arc<str>)) -> Hop {
        let (wire, name) = match (&ask.form, tier) {
            (Form::Http { .. }, _) => (Wire::Http, http_name(ask.versioned)),
            (Form::Grpc { .. }, Tier::Vehicle) => (Wire::Translated, POST_GRPC),
            (Form::Grpc { .. }, Tier::Datacenter) => (Wire::Grpc, INFER),
        };
        let mut hop = self.hop(name, wire);
        hop.span.set_attribute(KeyValue::new(TIER, tier.label()));
        hop.span.set_attribute(KeyValue::new(PLACE, place.clone()));
        if *tier == Tier::Vehicle {
            hop.span.set_attribute(KeyValue::new(named::SERVER_ADDRESS, place.clone()));
        }
        let before = self.one_more_attempt();
        if before > 0 && wire != Wire::Grpc {
            hop.span.set_attribute(KeyValue::new(named::HTTP_REQUEST_RESEND_COUNT, i64::from(before)));
        }
        hop
    }

    /// Passing the request on to the router that keeps the queue.
    pub fn pass_on(&self, ask: &Ask, router: &Peer) -> Hop {
        let (wire, name) = match &ask.form {
            Form::Http { .. } => (Wire::Http, http_name(ask.versioned)),
            Form::Grpc { .. } => (Wire::Translated, POST_GRPC),
        };
        let mut hop = self.hop(name, wire);
        hop.span.set_attribute(KeyValue::new(ROUTER, router.id.clone()));
        hop.at(&router.address);
        hop
    }

    fn hop(&self, name: &'static str, wire: Wire) -> Hop {
        let mut span = self.below(name, SpanKind::Client);
        if wire == Wire::Grpc {
            span.set_attribute(KeyValue::new(named::RPC_SYSTEM_NAME, "grpc"));
            span.set_attribute(KeyValue::new(named::RPC_METHOD, INFER));
        } else {
            span.set_attribute(KeyValue::new(named::HTTP_REQUEST_METHOD, "POST"));
        }
        Hop { span, wire, first: self.is_first(), over: false }
    }
}

impl Hop {
    /// Writes the trace context of what is asked over the caller's.
    pub fn carry(&self, headers: &mut HeaderMap) {
        let context = self.span.span_context();
        let text = format!("00-{}-{}-{:02x}", context.trace_id(), context.span_id(), context.trace_flags());
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.insert(TRACEPARENT, value);
        }
        if self.first {
            headers.remove(TRACESTATE);
        }
    }

    /// The Triton server that is asked.
    pub fn asks(&mut self, ask: &Ask, server: &Endpoint) {
        let Form::Http { path, .. } = &ask.form else { return self.at(&server.grpc) };
        self.at(&server.http);
        self.span.set_attribute(KeyValue::new(named::URL_FULL, format!("http://{}{}", server.http, path.path())));
    }

    fn at(&mut self, address: &str) {
        let (host, port) = address.rsplit_once(':').unwrap_or((address, ""));
        self.span.set_attribute(KeyValue::new(named::SERVER_ADDRESS, host.trim_matches(['[', ']']).to_owned()));
        if let Ok(port) = port.parse::<i64>() {
            self.span.set_attribute(KeyValue::new(named::SERVER_PORT, port));
        }
    }

    /// What the attempt came to.
    pub fn end(mut self, attempt: &Attempt) {
        match attempt {
            Attempt::Answered(answer) if answer.is_good() => self.answered(answer, Outcome::Answered.label()),
            Attempt::Answered(answer) => self.answered(answer, Outcome::Rejected.label()),
            Attempt::Verdict(answer) => self.answered(answer, Outcome::Failed.label()),
            Attempt::Elsewhere(answer) => self.answered(answer, Cause::Unsupported.label()),
            Attempt::Missed(cause) => self.missed(cause.label()),
        }
    }

    /// What passing the request on came to.
    pub fn passed(mut self, passed: &Passed) {
        match passed {
            Ok((served, _)) => self.answered(&served.answer, served.outcome().label()),
            Err(Back::Refused(refusal)) => {
                self.tell(refusal.outcome().label());
                self.fail(refusal.outcome().label().to_owned());
            }
            Err(Back::Moved) => self.missed("moved"),
            Err(Back::Unreachable { .. }) => self.missed("unreachable"),
        }
    }

    fn answered(&mut self, answer: &Answer, outcome: &'static str) {
        self.tell(outcome);
        let (status, grpc) = (answer.status, answer.grpc);
        let good = answer.is_good();
        match self.wire {
            Wire::Http => {
                let number = i64::from(status.as_u16());
                self.span.set_attribute(KeyValue::new(named::HTTP_RESPONSE_STATUS_CODE, number));
                if !good {
                    self.fail(status.as_str().to_owned());
                }
            }
            Wire::Grpc => {
                self.span.set_attribute(KeyValue::new(named::RPC_RESPONSE_STATUS_CODE, grpc_name(grpc)));
                if !good {
                    self.fail(grpc_name(grpc).to_owned());
                }
            }
            Wire::Translated if !good => self.fail(outcome.to_owned()),
            Wire::Translated => {}
        }
    }

    fn missed(&mut self, cause: &'static str) {
        self.tell("missed");
        self.fail(cause.to_owned());
    }

    fn tell(&mut self, outcome: &'static str) {
        self.over = true;
        self.span.set_attribute(KeyValue::new(OUTCOME, outcome));
    }

    fn fail(&mut self, kind: String) {
        self.span.set_attribute(KeyValue::new(named::ERROR_TYPE, kind));
        self.span.set_status(Status::error(""));
    }
}

impl Drop for Hop {
    fn drop(&mut self) {
        if !self.over {
            self.tell(Outcome::Cancelled.label());
        }
    }
}
