//! Here or there: a request is served by the router that keeps its workload's queue, and if none such can be reached, here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use tokio::sync::watch;
use tracing::info;

use crate::ask::Ask;
use crate::body::Chunks;
use crate::directory::Directory;
use crate::dispatch::{Progress, Served, dispatch};
use crate::errors::{Cause, Refusal};
use crate::listen::{Phase, Stop};
use crate::owner::{Router, ranking};
use crate::peer::{Back, Peer};
use crate::terms::Terms;
use crate::triton::Tritons;
use crate::workload::Workload;

/// How passing a request on ended, as counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forwarded {
    /// A place answered.
    Answered,
    /// The other router refused.
    Refused,
    /// The other router no longer keeps the queue.
    Moved,
    /// The other router did not answer.
    Unreachable,
}

impl Forwarded {
    /// All, in the order of their declaration.
    pub const ALL: [Self; 4] = [Self::Answered, Self::Refused, Self::Moved, Self::Unreachable];

    /// The label in metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Refused => "refused",
            Self::Moved => "moved",
            Self::Unreachable => "unreachable",
        }
    }
}

/// Finds a place that answers before the deadline of these terms, here or at the router that keeps the queue.
pub async fn find(
    tritons: &Tritons,
    workload: &Arc<Workload>,
    ask: &mut Ask,
    terms: Terms,
    progress: &mut Progress,
) -> Result<Served, Refusal> {
    loop {
        match dispatch(tritons, workload, ask, terms, progress).await {
            Err(Refusal::Moved(_)) => {}
            found => return found,
        }
        // On the heap, because most requests never come this far.
        if let Some(found) = Box::pin(pass_on(workload, ask, terms, progress)).await {
            return found;
        }
        // Nobody who should have it answers: what is known here must do, and from time to time the others are tried again.
        ask.guest = true;
    }
}

/// Passes a request on to the first router that answers among those that keep the queue before this one.
async fn pass_on(
    workload: &Arc<Workload>,
    ask: &Ask,
    terms: Terms,
    progress: &mut Progress,
) -> Option<Result<Served, Refusal>> {
    for peer in &*workload.before() {
        let left = terms.standing.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        let hop = ask.trace.as_ref().map(|trace| trace.pass_on(ask, peer));
        let passed = peer.pass(&workload.key, ask, left, hop.as_ref()).await;
        if let Some(hop) = hop {
            hop.passed(&passed);
        }
        workload.meters.forwarded(match passed {
            Ok(_) => Forwarded::Answered,
            Err(Back::Refused(_)) => Forwarded::Refused,
            Err(Back::Moved) => Forwarded::Moved,
            Err(Back::Unreachable { .. }) => Forwarded::Unreachable,
        });
        match passed {
            Ok((served, attempts)) => {
                progress.attempts += attempts;
                progress.place = Some(served.place.clone());
                return Some(Ok(served));
            }
            Err(Back::Refused(refusal)) => return Some(Err(refusal)),
            Err(Back::Unreachable { sent: true }) if terms.at_most_once => {
                return Some(Err(Refusal::PerhapsDone { workload: workload.key.to_string(), cause: Cause::Connect }));
            }
            Err(Back::Moved | Back::Unreachable { .. }) => {}
        }
    }
    None
}

/// Whether the router that keeps the queue has a replica.
pub async fn is_ready(workload: &Workload, time: Duration) -> bool {
    question(workload, "/ready", time).await.is_some()
}

/// The model's metadata in JSON from a car of the router that keeps the queue.
pub async fn metadata(workload: &Workload, time: Duration) -> Option<Chunks> {
    question(workload, "", time).await
}

async fn question(workload: &Workload, what: &str, time: Duration) -> Option<Chunks> {
    let path = format!("/v2/models/{}{what}", workload.model);
    for peer in &*workload.before() {
        if let Ok(Some(said)) = tokio::time::timeout(time, peer.question(&workload.key, &path)).await {
            return Some(said);
        }
    }
    None
}

/// What is needed to reach other routers.
#[derive(Clone)]
pub struct Reach {
    /// This router's own id.
    pub id: Arc<str>,
    /// Mutual TLS with this router's certificate.
    pub connector: Arc<ClientConfig>,
    /// Largest answer in bytes.
    pub answer_limit: usize,
}

/// Tells every workload which routers keep its queue before this one, whenever routers or workloads change.
pub async fn assign(
    reach: Reach,
    directory: Arc<Directory>,
    mut routers: watch::Receiver<Vec<Router>>,
    mut stop: Stop,
) {
    let mut peers = BTreeMap::new();
    loop {
        let leaving = *stop.borrow() >= Phase::Leaving;
        let mut known = routers.borrow_and_update().clone();
        if leaving {
            known.retain(|router| router.id != reach.id);
        }
        peers = reconcile(&reach, &known, &peers);
        for workload in directory.all() {
            let before: Arc<[_]> = ranking(&workload.key, &known)
                .into_iter()
                .take_while(|router| router.id != reach.id)
                .filter_map(|router| peers.get(&router.id).cloned())
                .collect();
            workload.comes_after(&before);
        }
        tokio::select! {
            () = directory.changed() => {}
            changed = routers.changed() => if changed.is_err() {
                return;
            },
            _ = stop.wait_for(|phase| *phase >= Phase::Leaving), if !leaving => {}
        }
    }
}

/// Keeps the connection of every router that is where it was.
fn reconcile(
    reach: &Reach,
    routers: &[Router],
    before: &BTreeMap<Arc<str>, Arc<Peer>>,
) -> BTreeMap<Arc<str>, Arc<Peer>> {
    let others = routers.iter().filter(|router| router.id != reach.id);
    let peers: BTreeMap<_, _> = others
        .filter_map(|router| {
            let address = router.peers.clone()?;
            let known = before.get(&router.id).filter(|peer| peer.address == address).cloned();
            let new = || Peer::new(router.id.clone(), address.clone(), reach.connector.clone(), reach.answer_limit);
            Some((router.id.clone(), known.or_else(new)?))
        })
        .collect();
    if peers.keys().ne(before.keys()) {
        info!("other routers: {}", peers.keys().map(|id| &**id).collect::<Vec<_>>().join(", "));
    }
    peers
}
