//! Callers: as many at a time as told, each with its next request at once (closed loop) or when one is due (open loop).

mod grpc;
mod http;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use serde_json::json;
use tokio::sync::{Mutex, mpsc::UnboundedReceiver};
use tokio::task::spawn_local;

use crate::tally::{Tally, processor_seconds};
use crate::{arrivals, say};

/// Pause of a caller after a failure that was not an answer.
const AFTER_FAILURE: Duration = Duration::from_millis(10);

/// How callers speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Protocol {
    /// HTTP/1.1, one request at a time a connection.
    Http,
    /// gRPC, several calls at a time a connection.
    Grpc,
}

/// Flags.
#[derive(Clone, Debug, Args)]
pub struct Settings {
    /// `host:port` of the router or server; callers are dealt out to several in turn.
    #[arg(long, required = true)]
    target: Vec<String>,
    /// How to speak.
    #[arg(long, value_enum, default_value_t = Protocol::Http)]
    protocol: Protocol,
    /// The model to ask for.
    #[arg(long, default_value = "bench")]
    model: String,
    /// Bytes of a request's body.
    #[arg(long, default_value_t = 16)]
    bytes: usize,
    /// Requests under way at a time, at most.
    #[arg(long, default_value_t = 1)]
    callers: usize,
    /// Calls at a time on one gRPC connection.
    #[arg(long, default_value_t = 16)]
    streams: usize,
    /// Requests a second that fall due as a Poisson process; without it each caller asks again at once.
    #[arg(long)]
    rate: Option<f64>,
    /// Seed of the Poisson process.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Seconds of asking.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Requests after which to stop earlier.
    #[arg(long, default_value_t = u64::MAX)]
    requests: u64,
    /// Seconds at the start whose answers do not count.
    #[arg(long, default_value_t = 0.2)]
    warmup: f64,
    /// Seconds after which a request has failed.
    #[arg(long, default_value_t = 30.0)]
    timeout: f64,
    /// Process whose processor time is reported too.
    #[arg(long)]
    watch: Option<u32>,
}

/// What all callers of a run share.
#[derive(Debug)]
pub struct Run {
    /// Flags.
    pub settings: Settings,
    tally: RefCell<Tally>,
    left: Cell<u64>,
    until: Instant,
    due: Option<Mutex<UnboundedReceiver<Instant>>>,
}

impl Run {
    /// When the next request of a caller was due; none when the run is over.
    pub async fn next(&self) -> Option<Instant> {
        if let Some(due) = &self.due {
            return due.lock().await.recv().await;
        }
        let now = Instant::now();
        let left = self.left.get();
        if left == 0 || now >= self.until {
            return None;
        }
        self.left.set(left - 1);
        Some(now)
    }

    /// Records how one request ended.
    pub fn ended(&self, due: Instant, outcome: Result<(), String>) {
        let mut tally = self.tally.borrow_mut();
        match outcome {
            Ok(()) => tally.answered(due, Instant::now()),
            Err(kind) => tally.failed(kind),
        }
    }

    /// The same for a request that got no answer, and a pause, so that a dead target is not dialled without end.
    pub async fn broke(&self, due: Instant, kind: String) {
        self.ended(due, Err(kind));
        tokio::time::sleep(AFTER_FAILURE).await;
    }

    /// Bounds one request; `Err` is its kind of failure.
    pub async fn bounded<T, E: std::fmt::Display>(
        &self,
        request: impl Future<Output = Result<T, E>>,
    ) -> Result<T, String> {
        let limit = Duration::from_secs_f64(self.settings.timeout);
        match tokio::time::timeout(limit, request).await {
            Ok(answer) => answer.map_err(|error| error.to_string()),
            Err(_) => Err("no answer in time".to_owned()),
        }
    }
}

/// Asks, then prints the figures.
pub async fn run(settings: Settings) -> Result<(), String> {
    let begun = Instant::now();
    let until = begun + Duration::from_secs_f64(settings.seconds);
    let counts_from = begun + Duration::from_secs_f64(settings.warmup);
    let due = settings.rate.map(|rate| Mutex::new(arrivals::poisson(rate, settings.seed, settings.requests, until)));
    let callers = settings.callers;
    let per_connection = if settings.protocol == Protocol::Grpc { settings.streams.max(1) } else { 1 };
    let watched = settings.watch.map(|process| process.to_string());
    let left = Cell::new(settings.requests);
    let run = Rc::new(Run { settings, tally: RefCell::new(Tally::new(counts_from)?), left, until, due });

    let tasks: Vec<_> = (0..callers.div_ceil(per_connection))
        .map(|index| {
            let (run, streams) = (run.clone(), per_connection.min(callers - index * per_connection));
            let target = run.settings.target[index % run.settings.target.len()].clone();
            spawn_local(async move {
                match run.settings.protocol {
                    Protocol::Http => http::ask(run, &target).await,
                    Protocol::Grpc => grpc::ask(run, &target, streams).await,
                }
            })
        })
        .collect();
    tokio::time::sleep_until(counts_from.into()).await;
    let used = || (processor_seconds("self"), watched.as_deref().and_then(processor_seconds));
    let (before, from) = (used(), Instant::now());
    // What is under way at the end still counts in the latencies, so that slow answers are not left out.
    for task in tasks {
        task.await.map_err(|error| error.to_string())?;
    }
    let (after, wall) = (used(), from.elapsed().as_secs_f64());
    let spent = |before: Option<f64>, after: Option<f64>| Some(after? - before?);
    let mut report = run.tally.borrow().report();
    report["processorSeconds"] = json!(spent(before.0, after.0));
    report["watchedProcessorSeconds"] = json!(spent(before.1, after.1));
    report["wallSeconds"] = json!(wall);
    say(&report)
}
