//! What fuzz targets reach (`kernels/fuzz`), and nobody else: the router's end of a connection, on memory instead of a socket,
//! and the reading of answers that are compared.

use std::future::pending;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, LazyLock};

use clap::Parser;
use serde_json::Value;
use tokio::sync::Semaphore;

pub use crate::answers::{Tensor, Unreadable, of_grpc, of_http};
pub use crate::compare::{Difference, compare};
pub use crate::listen::Io;

use crate::access::AccessLog;
use crate::cars::{hear, read_identity};
use crate::definition::Definition;
use crate::listen::{grpc_builder, grpc_caller, http_builder, http_caller, serve};
use crate::metrics::Metrics;
use crate::settings::Settings;
use crate::starting::world;
use crate::world::World;

static SETTINGS: LazyLock<Settings> = LazyLock::new(|| Settings::parse_from(["parkade-router"]));

/// A router as its flags' defaults make it, that knows one workload. It has no sockets, log or cluster.
#[derive(Debug)]
pub struct Router {
    world: Arc<World>,
    connections: AtomicU64,
}

impl Router {
    /// A router that knows one `InferenceWorkload`.
    ///
    /// # Panics
    /// The object is none.
    #[must_use]
    pub fn of(workload: Value) -> Self {
        let (access, _) = AccessLog::open("off").expect("no file is opened");
        let metrics = Arc::new(Metrics::new().expect("no name is taken"));
        let world = world(&SETTINGS, None, metrics, access, None).expect("the defaults are good");
        world.directory.follow(&[Definition::read(workload).expect("a workload")].into());
        Self { world: Arc::new(world), connections: AtomicU64::new(0) }
    }

    /// Serves one caller over HTTP/1.1 until its connection is over.
    pub async fn http(&self, io: impl Io) {
        serve(http_caller(&http_builder(SETTINGS.idle()), io, self.world.clone()), pending()).await;
    }

    /// Serves one caller over gRPC until its connection is over.
    pub async fn grpc(&self, io: impl Io) {
        serve(grpc_caller(&grpc_builder(SETTINGS.idle()), io, self.world.clone()), pending()).await;
    }

    /// Hears the offer of a car `f/v`; if it is taken, a task keeps the connection.
    ///
    /// # Panics
    /// Never.
    pub async fn car(&self, io: impl Io) {
        let identity = read_identity("parkade://vehicle/f/v").expect("it names a vehicle");
        let place = Arc::new(Semaphore::new(1)).try_acquire_owned().expect("nobody else has it");
        hear(io, identity, self.world.clone(), place, &self.connections).await;
    }
}
