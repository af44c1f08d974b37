//! The router's start: from its flags to listeners, and what it follows. Its end is `ending`.

use std::convert::Infallible;
use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use clap::Parser;
use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use rustls::ClientConfig;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tracing::info;
use tracing_subscriber::EnvFilter;

use crate::access::AccessLog;
use crate::admission::{Gate, Mode};
use crate::body::Intake;
use crate::directory::Directory;
use crate::forward::Reach;
use crate::lease::Face;
use crate::listen::Phase;
use crate::metrics::Metrics;
use crate::settings::Settings;
use crate::spans::Spans;
use crate::tls::Files;
use crate::triton::Tritons;
use crate::world::{Here, World};
use crate::{cars, descriptors, ending, forward, lease, listen, peers, placements, routers};

/// Tasks that are left after draining are given this long to be dropped.
const TASKS_END: Duration = Duration::from_secs(2);

/// The whole process: flags and environment, log, serving until the signal. What stops it is one sentence on standard error.
#[must_use]
pub fn main() -> ExitCode {
    let settings = Settings::parse();
    let filter = EnvFilter::try_from_env("PARKADE_ROUTER_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false).init();
    descriptors::raise(&settings);
    match serve(settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("parkade-router: {sentence}");
            ExitCode::FAILURE
        }
    }
}

fn serve(settings: Settings) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(usize::from(settings.threads))
        .enable_all()
        .build()
        .map_err(|error| format!("threads cannot be started: {error}"))?;
    let writer = runtime.block_on(run(settings))?;
    // Every other end of the access log is in a task; when they are gone, its thread writes the rest and ends.
    runtime.shutdown_timeout(TASKS_END);
    writer.map_or(Ok(()), |writer| writer.join().map_err(|_| "the access log's thread broke".to_owned()))
}

struct Listeners {
    http: TcpListener,
    grpc: TcpListener,
    metrics: TcpListener,
    cars: Option<TcpListener>,
    peers: Option<TcpListener>,
}

async fn run(settings: Settings) -> Result<Option<JoinHandle<()>>, String> {
    let metrics = Arc::new(Metrics::new().map_err(|error| error.to_string())?);
    let (access, writer) = AccessLog::open(&settings.access_log)
        .map_err(|error| format!("--access-log {}: {error}; give a file that can be written", settings.access_log))?;
    let (spans, exporting) = settings.tracing.open(&settings.id, metrics.clone())?.unzip();
    let client = cluster(&settings).await?;
    let world = Arc::new(world(&settings, client.clone(), metrics, access, spans)?);
    let for_cars = settings.certificates().map(Files::for_cars).transpose()?;
    let for_routers =
        settings.peers_listen.and_then(|_| settings.certificates()).map(Files::for_routers).transpose()?;
    let listeners = bind(&settings).await?;
    let face = announce(&settings, &listeners)?;
    let (stopper, stop) = watch::channel(Phase::Serving);
    let (alive, finished) = mpsc::channel::<Infallible>(1);

    let connector = for_routers.as_ref().map(|(_, connector)| connector.clone());
    follow(&settings, client, &world.directory, face, connector, (&stop, &alive));
    let mut accepting = JoinSet::new();
    if let (Some(listener), Some(acceptor)) = (listeners.cars, for_cars) {
        accepting.spawn(cars::listen(listener, settings.car_connections, acceptor, world.clone(), stop.clone()));
    }
    if let (Some(listener), Some((acceptor, _))) = (listeners.peers, for_routers) {
        accepting.spawn(peers::listen(listener, acceptor, world.clone(), stop.clone(), alive.clone()));
    }
    let (limit, idle) = (settings.connections, settings.idle());
    accepting.spawn(listen::http(listeners.http, limit, idle, world.clone(), stop.clone(), alive.clone()));
    accepting.spawn(listen::grpc(listeners.grpc, limit, idle, world.clone(), stop.clone(), alive));
    tokio::spawn(listen::metrics(listeners.metrics, world.clone(), stop));

    ending::end(&settings, &world, &stopper, accepting, finished).await?;
    if let Some(exporting) = exporting {
        exporting.finish().await;
    }
    Ok(writer)
}

/// What every request needs, as the flags say.
///
/// # Errors
/// A sentence that names the flag and what is wrong with it.
pub fn world(
    settings: &Settings,
    client: Option<Client>,
    metrics: Arc<Metrics>,
    access: AccessLog,
    spans: Option<Spans>,
) -> Result<World, String> {
    Ok(World {
        directory: Arc::new(Directory::new(metrics.clone(), settings.rejection(), settings.hedge_percent)),
        tritons: Tritons::new(settings.max_body),
        metrics,
        place: Here { router: settings.id.clone(), region: settings.region.clone(), since: Instant::now() },
        access,
        intake: Intake::new(settings.max_body, settings.body_time(), settings.body_memory),
        gate: Gate::open(&settings.admission, client)?,
        spans,
        closing: AtomicBool::new(false),
    })
}

async fn bind(settings: &Settings) -> Result<Listeners, String> {
    let bound = |flag: &'static str, address: SocketAddr| async move {
        TcpListener::bind(address).await.map_err(|error| format!("{flag} {address}: {error}; choose another address"))
    };
    Ok(Listeners {
        http: bound("--http", settings.http).await?,
        grpc: bound("--grpc", settings.grpc).await?,
        metrics: bound("--metrics", settings.metrics).await?,
        cars: match settings.cars {
            Some(address) => Some(bound("--cars", address).await?),
            None => None,
        },
        peers: match settings.peers_listen {
            Some(address) => Some(bound("--peers-listen", address).await?),
            None => None,
        },
    })
}

/// Prints where the router listens as one JSON line on standard output, for whoever started it with port 0.
fn announce(settings: &Settings, listeners: &Listeners) -> Result<Face, String> {
    let address = |listener: &TcpListener| {
        listener.local_addr().map(|address| address.to_string()).map_err(|error| error.to_string())
    };
    let (http, grpc, metrics) = (address(&listeners.http)?, address(&listeners.grpc)?, address(&listeners.metrics)?);
    let cars = listeners.cars.as_ref().map(address).transpose()?;
    let peers = listeners.peers.as_ref().map(address).transpose()?;
    let line = json!({"http": http, "grpc": grpc, "cars": cars, "peers": peers, "metrics": metrics});
    let mut out = std::io::stdout();
    // Nobody may be reading; serving does not depend on it.
    drop(writeln!(out, "{line}").and_then(|()| out.flush()));
    info!(http, grpc, cars, peers, "listening");
    Ok(Face {
        namespace: settings.namespace.clone(),
        id: settings.id.clone(),
        http: settings.advertise_http.clone().unwrap_or(http),
        grpc: settings.advertise_grpc.clone().unwrap_or(grpc),
        cars: settings.advertise_cars.clone().or(cars),
        zone: Some(settings.zone.clone()).filter(|zone| !zone.is_empty()),
        metrics: settings.advertise_metrics.clone().unwrap_or(metrics),
        peers: settings.advertise_peers.clone().or(peers),
    })
}

/// A client of the API server, if anything here needs one.
async fn cluster(settings: &Settings) -> Result<Option<Client>, String> {
    if settings.placements.is_some() && settings.admission.auth != Mode::TokenReview {
        return Ok(None);
    }
    let config = match &settings.kubeconfig {
        Some(path) => {
            let file =
                Kubeconfig::read_from(path).map_err(|error| format!("--kubeconfig {}: {error}", path.display()))?;
            kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
                .await
                .map_err(|error| format!("--kubeconfig {}: {error}", path.display()))?
        }
        None => kube::Config::infer().await.map_err(|error| {
            format!("no cluster: {error}; give --kubeconfig, set KUBECONFIG, or give --placements instead")
        })?,
    };
    Client::try_from(config).map(Some).map_err(|error| format!("the cluster's configuration: {error}"))
}

/// Starts following placements and other routers, and the Lease where there is a cluster.
fn follow(
    settings: &Settings,
    client: Option<Client>,
    directory: &Arc<Directory>,
    face: Face,
    connector: Option<Arc<ClientConfig>>,
    (stop, alive): (&listen::Stop, &listen::Alive),
) {
    let (routers, known) = watch::channel(Vec::new());
    let reaches = connector.is_some();
    if let Some(connector) = connector {
        let reach = Reach { id: face.id.as_str().into(), connector, answer_limit: settings.max_body };
        tokio::spawn(forward::assign(reach, directory.clone(), known, stop.clone()));
    }
    if let Some(path) = settings.placements.clone() {
        tokio::spawn(placements::follow_file(path, directory.clone()));
        if let Some(path) = settings.peers.clone() {
            tokio::spawn(routers::follow_file(path, routers));
        }
        return;
    }
    let Some(client) = client else { return };
    tokio::spawn(placements::follow_cluster(client.clone(), directory.clone()));
    if reaches {
        tokio::spawn(routers::follow_leases(client.clone(), face.namespace.clone(), routers));
    }
    let (stop, alive, directory) = (stop.clone(), alive.clone(), directory.clone());
    tokio::spawn(async move {
        // Until the Lease is deleted, the process stays.
        let _held = alive;
        lease::keep(client, face, &directory, stop).await;
    });
}
