//! The router's end, in an order in which nobody loses a request: `docs/router.md`, *The end*.

use std::convert::Infallible;
use std::sync::atomic::Ordering;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tracing::{info, warn};

use crate::listen::Phase;
use crate::settings::Settings;
use crate::world::World;

/// Waits for the signal, then ends. `accepting` are the listeners; `finished` ends with the last connection of a caller.
///
/// # Errors
/// Signals cannot be caught.
pub async fn end(
    settings: &Settings,
    world: &World,
    stopper: &watch::Sender<Phase>,
    mut accepting: JoinSet<()>,
    mut finished: mpsc::Receiver<Infallible>,
) -> Result<(), String> {
    let mut signals = Signals::new()?;
    signals.next().await;
    info!("leaving: whoever comes is served for {} s more", settings.shutdown_delay_seconds);
    stopper.send_replace(Phase::Leaving);
    tokio::select! {
        () = tokio::time::sleep(settings.shutdown_delay()) => {}
        () = signals.next() => {}
    }
    info!("stopping: requests under way are finished, new ones are refused");
    stopper.send_replace(Phase::Refusing);
    while accepting.join_next().await.is_some() {}
    world.closing.store(true, Ordering::Relaxed);
    stopper.send_replace(Phase::Closing);
    // Cars whose workload has another owner have nothing to wait for here.
    world.directory.all().iter().filter(|workload| workload.is_elsewhere()).for_each(|workload| workload.close());
    if tokio::time::timeout(settings.drain(), finished.recv()).await.is_err() {
        warn!("requests were still under way after {} s", settings.drain_seconds);
    }
    world.directory.all().iter().for_each(|workload| workload.close());
    Ok(())
}

/// SIGTERM and SIGINT.
struct Signals(Signal, Signal);

impl Signals {
    fn new() -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("signals cannot be caught: {error}");
        let terminate = signal(SignalKind::terminate()).map_err(failed)?;
        Ok(Self(terminate, signal(SignalKind::interrupt()).map_err(failed)?))
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.0.recv() => {}
            _ = self.1.recv() => {}
        }
    }
}
