//! What every request needs, and the record of each.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value, json};

use crate::access::{AccessLog, Line};
use crate::admission::Gate;
use crate::ask::{Answer, Ask};
use crate::body::{Chunks, Intake};
use crate::directory::Directory;
use crate::dispatch::{Progress, Served};
use crate::errors::{Outcome, Refusal, grpc_code};
use crate::forward;
use crate::metrics::Metrics;
use crate::queue::{Tier, Want};
use crate::settings::CAR_BODY_LIMIT;
use crate::spans::{Spans, Trace};
use crate::terms::{Terms, USUAL_PRIORITY};
use crate::triton::Tritons;
use crate::waiting::Standing;
use crate::workload::{Replica, Workload};

/// The tier that answered.
pub const TIER: HeaderName = HeaderName::from_static("parkade-tier");
/// The place that answered.
pub const PLACE: HeaderName = HeaderName::from_static("parkade-place");
/// Time for questions that are not inference.
const QUESTION: Duration = Duration::from_secs(2);
/// Status in the access log of an HTTP request whose caller hung up; nginx made it common.
const CLIENT_CLOSED: u32 = 499;
/// The longest deadline that a caller may name.
const LONGEST: Duration = Duration::from_secs(600);

/// Which router this is.
#[derive(Debug)]
pub struct Here {
    /// Its id.
    pub router: String,
    /// The Region where it is, if it was told.
    pub region: Option<String>,
    /// When it started: its counts begin there.
    pub since: Instant,
}

/// Built once at the start and shared by all connections.
#[derive(Debug)]
pub struct World {
    /// All workloads.
    pub directory: Arc<Directory>,
    /// Clients of Triton servers.
    pub tritons: Tritons,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Which router this is.
    pub place: Here,
    /// Where requests are logged.
    pub access: AccessLog,
    /// How bodies are read.
    pub intake: Intake,
    /// Who is let in.
    pub gate: Gate,
    /// What makes spans of requests; `None`: off.
    pub spans: Option<Spans>,
    /// Whether callers over HTTP/1.1 are told to connect elsewhere, because this router is about to end.
    pub closing: AtomicBool,
}

/// When and how a request came.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// When its head was read.
    pub begun: Instant,
    /// The caller's own time limit.
    pub limit: Option<Duration>,
    /// `http` or `grpc`.
    pub protocol: &'static str,
    /// Its span, if it is sampled.
    pub trace: Option<Trace>,
}

impl World {
    /// The workload of a model name, if it may be asked.
    pub fn serving(&self, model: &str) -> Result<Arc<Workload>, Refusal> {
        let Some(workload) = self.directory.model(model) else {
            self.metrics.unknown_model();
            return Err(Refusal::UnknownModel(model.to_owned()));
        };
        if workload.rules().suspended {
            return Err(Refusal::Suspended(workload.key.to_string()));
        }
        Ok(workload)
    }

    /// Serves one inference request and records it, also when its caller leaves first.
    pub async fn infer(&self, workload: &Arc<Workload>, mut ask: Ask, arrival: Arrival) -> Result<Answer, Refusal> {
        workload.observed.arrived(&ask.form);
        ask.trace.clone_from(&arrival.trace);
        let (begun, limit) = (arrival.begun, arrival.limit);
        let mut record = Record::new(self, workload, arrival, ask.body.len());
        restrict(workload, &mut ask).inspect_err(|refusal| record.refused(refusal))?;
        // A caller's own limit counts from the head; the workload's, from the moment its body is here.
        let deadline =
            limit.map_or_else(|| Instant::now() + workload.rules().timeout, |limit| begun + limit.min(LONGEST));
        let terms = Terms::read(ask.headers(), deadline).inspect_err(|refusal| record.refused(refusal))?;
        let served = forward::find(&self.tritons, workload, &mut ask, terms, &mut record.progress).await;
        let served = served.inspect_err(|refusal| record.refused(refusal))?;
        record.answered(&served);
        let Served { mut answer, place: (tier, place), .. } = served;
        answer.headers.insert(TIER, HeaderValue::from_static(tier.label()));
        if let Ok(place) = HeaderValue::from_str(&place) {
            answer.headers.insert(PLACE, place);
        }
        Ok(answer)
    }

    /// What was observed of every workload, as the operator reads it.
    pub fn report(&self) -> Value {
        let region = self.place.region.as_deref();
        let workloads = self.directory.all();
        let rows = workloads.iter().map(|workload| (workload.key.to_string(), workload.report(region)));
        json!({
            "version": 1,
            "router": self.place.router,
            "seconds": self.place.since.elapsed().as_secs_f64(),
            "workloads": rows.collect::<Map<_, _>>(),
        })
    }

    /// Whether a replica of this model is known, here or by the router that keeps its queue.
    pub async fn is_ready(&self, model: &str) -> bool {
        let Some(workload) = self.directory.model(model) else { return false };
        workload.replicas(None) > 0 || forward::is_ready(&workload, QUESTION).await
    }

    /// A question that a Triton server answers over HTTP.
    pub async fn ask_triton(
        &self,
        workload: &Arc<Workload>,
        path: &http::uri::PathAndQuery,
        headers: &HeaderMap,
    ) -> Option<Answer> {
        let (place, server) = workload.an_open_server()?;
        let asked = self.tritons.ask(&server, http::Method::GET, path, headers);
        if let Ok(Ok(answer)) = tokio::time::timeout(QUESTION, asked).await {
            return Some(answer);
        }
        self.tritons.rest(workload, &place, &server);
        None
    }

    /// A question that a Triton server answers over gRPC; `body` is one frame.
    pub async fn call_triton(
        &self,
        workload: &Arc<Workload>,
        path: http::uri::PathAndQuery,
        metadata: &HeaderMap,
        body: Chunks,
    ) -> Option<Answer> {
        let (place, server) = workload.an_open_server()?;
        let asked = self.tritons.call(&server, path, metadata, body, QUESTION);
        if let Ok(Ok(answer)) = tokio::time::timeout(QUESTION, asked).await {
            return Some(answer);
        }
        self.tritons.rest(workload, &place, &server);
        None
    }

    /// The model's metadata in JSON, from a car.
    pub async fn car_metadata(&self, workload: &Arc<Workload>) -> Result<Chunks, Refusal> {
        match forward::metadata(workload, QUESTION).await {
            Some(metadata) => Ok(metadata),
            None => self.car_metadata_here(workload).await,
        }
    }

    /// The same, from a car that dialled this router.
    pub async fn car_metadata_here(&self, workload: &Arc<Workload>) -> Result<Chunks, Refusal> {
        let begun = Instant::now();
        let want = Want { only: Some(Tier::Vehicle), ..Want::default() };
        let standing = Standing { priority: USUAL_PRIORITY, deadline: begun + QUESTION };
        let mut last = None;
        while let Ok(mut permit) = workload.acquire(want.clone(), standing, standing.deadline).await {
            let Replica::Car(car) = permit.begin() else { break };
            let left = QUESTION.saturating_sub(begun.elapsed());
            match tokio::time::timeout(left, car.metadata(&workload.model)).await {
                Ok(Ok(metadata)) => {
                    permit.finish(None);
                    return Ok(metadata);
                }
                Ok(Err(cause)) => last = Some(cause),
                Err(_) => {}
            }
            permit.discard();
        }
        let waited = begun.elapsed();
        Err(Refusal::NoPlace { workload: workload.key.to_string(), attempts: 1, waited, last })
    }
}

/// Counts and logs one request exactly once; dropped before its end, as one whose caller left.
struct Record<'a> {
    world: &'a World,
    workload: &'a Workload,
    arrival: Arrival,
    request_bytes: usize,
    progress: Progress,
    over: bool,
}

impl<'a> Record<'a> {
    fn new(world: &'a World, workload: &'a Workload, arrival: Arrival, request_bytes: usize) -> Self {
        Self { world, workload, arrival, request_bytes, progress: Progress::default(), over: false }
    }

    fn answered(&mut self, served: &Served) {
        let Served { answer, place, .. } = served;
        let status = if self.arrival.protocol == "grpc" { answer.grpc } else { answer.status.as_u16().into() };
        self.end(Some(place.clone()), served.outcome(), status, answer.body.len());
    }

    fn refused(&mut self, refusal: &Refusal) {
        let status = if self.arrival.protocol == "grpc" { refusal.grpc() } else { refusal.status().as_u16().into() };
        self.end(None, refusal.outcome(), status, 0);
    }

    fn end(&mut self, place: Option<(Tier, Arc<str>)>, outcome: Outcome, status: u32, response_bytes: usize) {
        self.over = true;
        let taken = self.arrival.begun.elapsed();
        if outcome == Outcome::Answered {
            self.workload.observed.answered(taken);
        }
        let taken = taken.as_secs_f64();
        if let Some(trace) = &self.arrival.trace {
            trace.record(&self.workload.key, place.as_ref(), self.progress.attempts, outcome);
        }
        self.workload.meters.ended(place.as_ref().map(|(tier, _)| *tier), outcome, taken);
        let line = Line {
            attempts: self.progress.attempts,
            status,
            milliseconds: (taken * 1e6).round() / 1e3,
            request_bytes: self.request_bytes,
            response_bytes,
            ..Line::now(self.arrival.protocol, self.workload.key.clone(), place)
        };
        self.world.access.write(line, &self.world.metrics);
    }
}

impl Drop for Record<'_> {
    fn drop(&mut self) {
        if !self.over {
            let status = if self.arrival.protocol == "grpc" { grpc_code::CANCELLED } else { CLIENT_CLOSED };
            let place = self.progress.place.take();
            self.end(place, Outcome::Cancelled, status, 0);
        }
    }
}

/// Bodies that cars do not get, and versions that only Triton knows, go to Triton.
pub fn restrict(workload: &Workload, ask: &mut Ask) -> Result<(), Refusal> {
    if ask.versioned && !workload.plans(Tier::Datacenter) {
        return Err(Refusal::VersionWithoutTriton(workload.key.to_string()));
    }
    if ask.body.len() > CAR_BODY_LIMIT && !workload.plans(Tier::Datacenter) {
        return Err(Refusal::TooLarge(CAR_BODY_LIMIT));
    }
    if ask.versioned || ask.body.len() > CAR_BODY_LIMIT {
        ask.only = Some(Tier::Datacenter);
    }
    Ok(())
}
