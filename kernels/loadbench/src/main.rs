//! `parkade-loadbench`: what `make bench-router` measures the request path with.
//!
//! Callers that count, an upstream and cars that compute nothing, a relay that is slow and loses segments, and queueing
//! policies played through. Each subcommand is one process on one thread, so that it can be given a core of its own; each
//! prints JSON lines on standard output. It measures; it judges nothing.

mod alarm;
mod arrivals;
mod cars;
mod identities;
mod load;
mod payload;
mod policies;
mod relay;
mod tally;
mod upstream;
mod wire;

use std::io::Write;
use std::process::ExitCode;
use std::sync::Once;

use clap::{Parser, Subcommand};
use tokio::task::LocalSet;

#[derive(Debug, Parser)]
#[command(name = "parkade-loadbench", version)]
struct Arguments {
    #[command(subcommand)]
    part: Part,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// A KServe v2 server that computes nothing, over HTTP/1.1 and gRPC.
    Upstream(upstream::Settings),
    /// Callers over HTTP/1.1 or gRPC; prints what they saw.
    Load(load::Settings),
    /// Cars that dial a router and answer on those connections; takes commands on standard input.
    Cars(cars::Settings),
    /// A TCP relay that is slow and loses segments.
    Relay(relay::Settings),
    /// Queueing policies over equal servers, played through in simulated time.
    Policies(policies::Settings),
}

fn main() -> ExitCode {
    match run(Arguments::parse().part) {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("parkade-loadbench: {sentence}");
            ExitCode::FAILURE
        }
    }
}

fn run(part: Part) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("no event loop: {error}"))?;
    let local = LocalSet::new();
    match part {
        Part::Upstream(settings) => local.block_on(&runtime, upstream::run(settings)),
        Part::Load(settings) => local.block_on(&runtime, load::run(settings)),
        Part::Cars(settings) => local.block_on(&runtime, cars::run(settings)),
        Part::Relay(settings) => local.block_on(&runtime, relay::run(settings)),
        Part::Policies(settings) => policies::run(&settings),
    }
}

/// Prints one JSON line at once, for whoever started this process.
fn say(line: &serde_json::Value) -> Result<(), String> {
    let mut out = std::io::stdout();
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(|error| format!("standard output: {error}"))
}

/// Writes the first trouble on the way to standard error: the next ones, many a second, are of the same kind.
fn complain(what: &str, error: &std::io::Error) {
    static FIRST: Once = Once::new();
    FIRST.call_once(|| eprintln!("parkade-loadbench: {what}: {error}"));
}
