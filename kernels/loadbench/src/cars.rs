//! Cars: each dials the router over mutual TLS, offers its slots, and answers on those connections after a fixed time.
//!
//! Commands on standard input, a line each: `kill PERCENT SECONDS` breaks the connections of that share of the cars, spread
//! over that time, and keeps them away; `revive` lets all come back; `count` prints what stands and what was answered. The
//! end of standard input ends the process.

use std::cell::Cell;
use std::io::BufRead;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use clap::Args;
use rustls::pki_types::ServerName;
use serde_json::json;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::spawn_local;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::alarm::Alarm;
use crate::payload::{Answers, http_answer, http_message_answer};
use crate::wire::Wire;
use crate::{identities, say};

/// Handshakes at a time.
const DIALS: usize = 64;
/// Pause before a connection that ended, or was refused, is dialled again.
const AGAIN: Duration = Duration::from_millis(200);
/// A dial, its handshake and the router's answer to the offer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Flags.
#[derive(Clone, Debug, Args)]
pub struct Settings {
    /// Where routers, or relays before them, listen for cars; slots are dealt out to them in turn.
    #[arg(long, required = true)]
    router: Vec<SocketAddr>,
    /// Folder with a certificate and key for each car; fewer than cars are used in turn.
    #[arg(long)]
    identities: PathBuf,
    /// PEM file of the authority that signed the router's certificate.
    #[arg(long)]
    ca: PathBuf,
    /// Cars.
    #[arg(long, default_value_t = 1)]
    cars: usize,
    /// Connections of each car.
    #[arg(long, default_value_t = 1)]
    slots: usize,
    /// The workload served, `<namespace>/<name>`.
    #[arg(long, default_value = "bench/bench")]
    workload: String,
    /// Its model.
    #[arg(long, default_value = "bench")]
    model: String,
    /// The cars' cell.
    #[arg(long, default_value = "cell-0")]
    cell: String,
    /// Bytes of every answer; default: as large as the request.
    #[arg(long)]
    answer_bytes: Option<usize>,
    /// Microseconds that every inference takes.
    #[arg(long, default_value_t = 0)]
    service_micros: u64,
}

/// What all connections share.
#[derive(Debug)]
struct Fleet {
    settings: Settings,
    alarm: Alarm,
    offer: String,
    dials: Semaphore,
    standing: Cell<usize>,
    answered: Cell<u64>,
}

/// Serves until standard input ends.
pub async fn run(settings: Settings) -> Result<(), String> {
    let connectors = identities::read(&settings.identities, &settings.ca)?;
    let (routers, cars, slots) = (settings.router.clone(), settings.cars, settings.slots);
    let fleet = Rc::new(Fleet {
        offer: offer(&settings),
        settings,
        alarm: Alarm::start(),
        dials: Semaphore::new(DIALS),
        standing: Cell::new(0),
        answered: Cell::new(0),
    });
    let mut here = Vec::with_capacity(cars);
    for car in 0..cars {
        let (tell, told) = watch::channel(true);
        for slot in 0..slots {
            let router = routers[(car * slots + slot) % routers.len()];
            let connector = connectors[car % connectors.len()].clone();
            spawn_local(keep(fleet.clone(), connector, router, told.clone()));
        }
        here.push(tell);
    }
    say(&json!({"cars": cars, "connections": cars * slots}))?;
    obey(&fleet, &here).await
}

fn offer(settings: &Settings) -> String {
    let Settings { workload, model, cell, .. } = settings;
    format!(
        "POST /v1/serve HTTP/1.1\r\nHost: router\r\nConnection: Upgrade\r\nUpgrade: parkade-serve/1\r\n\
         Parkade-Workload: {workload}\r\nParkade-Model: {model}\r\nParkade-Digest: {digest}\r\nParkade-Cell: {cell}\r\n\
         Parkade-Hardware: bench\r\nContent-Length: 0\r\n\r\n",
        digest = "0".repeat(64),
    )
}

async fn obey(fleet: &Fleet, here: &[watch::Sender<bool>]) -> Result<(), String> {
    let (sender, mut commands) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    while let Some(line) = commands.recv().await {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        match words[..] {
            ["kill", percent, seconds] => {
                let (Ok(percent), Ok(seconds)) = (percent.parse::<usize>(), seconds.parse::<f64>()) else {
                    return Err(format!("{line}: say kill PERCENT SECONDS, for example kill 30 10"));
                };
                let leaving = here.len() * percent.min(100) / 100;
                let pause = Duration::from_secs_f64(seconds)
                    .div_f64(f64::from(u32::try_from(leaving.max(1)).unwrap_or(u32::MAX)));
                for tell in &here[..leaving] {
                    tell.send_replace(false);
                    fleet.alarm.at(Instant::now() + pause).await;
                }
                say(&json!({"killed": leaving}))?;
            }
            ["revive"] => here.iter().for_each(|tell| {
                tell.send_replace(true);
            }),
            ["count"] => say(&json!({"standing": fleet.standing.get(), "answered": fleet.answered.get()}))?,
            _ => return Err(format!("{line}: commands are kill PERCENT SECONDS, revive and count")),
        }
    }
    Ok(())
}

/// Keeps one connection for as long as the car is here.
async fn keep(fleet: Rc<Fleet>, connector: TlsConnector, router: SocketAddr, mut here: watch::Receiver<bool>) {
    while here.wait_for(|here| *here).await.is_ok() {
        let dialling = tokio::time::timeout(PATIENCE, dial(&fleet, &connector, router));
        if let Ok(Ok(mut wire)) = dialling.await {
            fleet.standing.set(fleet.standing.get() + 1);
            tokio::select! {
                () = serve(&fleet, &mut wire) => {}
                _ = here.wait_for(|here| !*here) => {
                    // Zero seconds of lingering: the other end sees a reset, as from a car that lost its power.
                    drop(SockRef::from(wire.stream.get_ref().0).set_linger(Some(Duration::ZERO)));
                }
            }
            fleet.standing.set(fleet.standing.get() - 1);
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn dial(
    fleet: &Fleet,
    connector: &TlsConnector,
    router: SocketAddr,
) -> std::io::Result<Wire<TlsStream<TcpStream>>> {
    let _turn = fleet.dials.acquire().await;
    let stream = TcpStream::connect(router).await?;
    stream.set_nodelay(true)?;
    let stream = connector.connect(ServerName::from(std::net::IpAddr::from([127, 0, 0, 1])), stream).await?;
    let mut wire = Wire::new(stream);
    wire.send(fleet.offer.as_bytes()).await?;
    match wire.answer().await?.status {
        101 => Ok(wire),
        status => Err(std::io::Error::other(format!("the offer was answered by {status}"))),
    }
}

async fn serve(fleet: &Fleet, wire: &mut Wire<TlsStream<TcpStream>>) {
    let service = Duration::from_micros(fleet.settings.service_micros);
    let mut answers = Answers::new(fleet.settings.answer_bytes, http_answer);
    let mut messages = Answers::new(fleet.settings.answer_bytes, http_message_answer);
    while let Ok(Some(head)) = wire.request().await {
        if !service.is_zero() {
            fleet.alarm.at(Instant::now() + service).await;
        }
        let kind = if head.is_message { &mut messages } else { &mut answers };
        if wire.send(&kind.to(head.length)).await.is_err() {
            return;
        }
        fleet.answered.set(fleet.answered.get() + 1);
    }
}
