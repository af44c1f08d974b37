//! What whoever starts the router may set: flags, each with an environment variable.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use crate::admission::Admission;
use crate::exporting::Tracing;
use crate::tls::Files;

/// Bodies up to this size may go to a car; larger ones go to Triton only (8 MiB, `docs/architecture.md`).
pub const CAR_BODY_LIMIT: usize = 8 << 20;

/// Requests of one workload that may wait for a credit; one more is refused at once.
pub const QUEUE_LIMIT: usize = 4096;

/// Size of a request's or an answer's head, over HTTP/1.1 and HTTP/2.
pub const HEAD_LIMIT: usize = 32 << 10;

/// The KServe v2 front door: HTTP and gRPC requests to idle car connections and free Triton slots.
#[derive(Debug, Parser)]
#[command(name = "parkade-router", version)]
pub struct Settings {
    /// Where callers speak KServe v2 over HTTP/1.1.
    #[arg(long, env = "PARKADE_ROUTER_HTTP", default_value = "127.0.0.1:8000")]
    pub http: SocketAddr,
    /// Where callers speak KServe v2 over gRPC (HTTP/2 without TLS).
    #[arg(long, env = "PARKADE_ROUTER_GRPC", default_value = "127.0.0.1:8001")]
    pub grpc: SocketAddr,
    /// Where cars dial in over mutual TLS; without it no car can serve.
    #[arg(long, env = "PARKADE_ROUTER_CARS", requires_all = ["ca", "cert", "key"])]
    pub cars: Option<SocketAddr>,
    /// Where other routers pass requests on over mutual TLS; without it every request is answered here.
    #[arg(long, env = "PARKADE_ROUTER_PEERS_LISTEN", requires_all = ["ca", "cert", "key"])]
    pub peers_listen: Option<SocketAddr>,
    /// Where `/metrics`, `/livez` and `/readyz` are served.
    #[arg(long, env = "PARKADE_ROUTER_METRICS", default_value = "127.0.0.1:8002")]
    pub metrics: SocketAddr,

    /// Kubeconfig file; default: `KUBECONFIG`, else the pod's service account.
    #[arg(long, conflicts_with = "placements")]
    pub kubeconfig: Option<PathBuf>,
    /// A JSON or YAML list of `InferenceWorkload` objects instead of Kubernetes; read again when it changes.
    #[arg(long, env = "PARKADE_ROUTER_PLACEMENTS")]
    pub placements: Option<PathBuf>,
    /// A JSON or YAML list of `{id, peers: host:port, cars: host:port}` of all routers, this one included, instead of their
    /// Leases; read again when it changes.
    #[arg(long, env = "PARKADE_ROUTER_PEERS", requires_all = ["placements", "peers_listen"])]
    pub peers: Option<PathBuf>,
    /// Namespace of the router's Lease.
    #[arg(long, env = "PARKADE_ROUTER_NAMESPACE", default_value = "parkade-system")]
    pub namespace: String,
    /// The name in the Lease `parkade-router-<id>`: lower-case letters, digits and `-`.
    #[arg(long, env = "PARKADE_ROUTER_ID", default_value = "0", value_parser = lease_id)]
    pub id: String,

    /// PEM file of the authority that signed the cars' certificates.
    #[arg(long, env = "PARKADE_ROUTER_CA")]
    pub ca: Option<PathBuf>,
    /// PEM file of the certificate shown to cars.
    #[arg(long, env = "PARKADE_ROUTER_CERT")]
    pub cert: Option<PathBuf>,
    /// PEM file of that certificate's key.
    #[arg(long, env = "PARKADE_ROUTER_KEY")]
    pub key: Option<PathBuf>,

    /// `host:port` written to the Lease for HTTP callers; default: the bound address.
    #[arg(long, env = "PARKADE_ROUTER_ADVERTISE_HTTP")]
    pub advertise_http: Option<String>,
    /// `host:port` written to the Lease for gRPC callers; default: the bound address.
    #[arg(long, env = "PARKADE_ROUTER_ADVERTISE_GRPC")]
    pub advertise_grpc: Option<String>,
    /// `host:port` written to the Lease for cars; default: the bound address.
    #[arg(long, env = "PARKADE_ROUTER_ADVERTISE_CARS")]
    pub advertise_cars: Option<String>,
    /// Written to the Lease for callers of the same zone: `topology.kubernetes.io/zone` of the node; empty: none.
    #[arg(long, env = "PARKADE_ROUTER_ZONE", default_value = "")]
    pub zone: String,
    /// `host:port` written to the Lease for the operator, which reads `/v1/observed` there; default: the bound address.
    #[arg(long, env = "PARKADE_ROUTER_ADVERTISE_METRICS")]
    pub advertise_metrics: Option<String>,
    /// Name of the Region where the router is: callers who do not say where they are (`Parkade-Region`) count for it.
    #[arg(long, env = "PARKADE_ROUTER_REGION")]
    pub region: Option<String>,
    /// `host:port` written to the Lease for other routers; default: the bound address.
    #[arg(long, env = "PARKADE_ROUTER_ADVERTISE_PEERS")]
    pub advertise_peers: Option<String>,

    /// Worker threads. One has the lowest latency (no wake-up across cores) and answers tens of thousands a second.
    #[arg(long, env = "PARKADE_ROUTER_THREADS", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub threads: u16,
    /// Where access lines go: `stderr`, `off`, or a file that is appended to.
    #[arg(long, env = "PARKADE_ROUTER_ACCESS_LOG", default_value = "stderr")]
    pub access_log: String,

    /// Who is let in.
    #[command(flatten)]
    pub admission: Admission,

    /// Where spans go.
    #[command(flatten)]
    pub tracing: Tracing,

    /// Largest request or answer in bytes; larger requests get 413.
    #[arg(long, env = "PARKADE_ROUTER_MAX_BODY", default_value_t = 64 << 20)]
    pub max_body: usize,
    /// Memory in bytes for the bodies over 256 KiB of all callers together; past it, reading waits.
    #[arg(long, env = "PARKADE_ROUTER_BODY_MEMORY", default_value_t = 512 << 20)]
    pub body_memory: usize,
    /// Connections of callers at a time, per listener; past it, new ones wait in the kernel's backlog.
    #[arg(long, env = "PARKADE_ROUTER_CONNECTIONS", default_value_t = 4096)]
    pub connections: usize,
    /// Connections of cars at a time.
    #[arg(long, env = "PARKADE_ROUTER_CAR_CONNECTIONS", default_value_t = 20_000)]
    pub car_connections: usize,
    /// A caller's connection may stay without a complete request head this long.
    #[arg(long, env = "PARKADE_ROUTER_IDLE_SECONDS", default_value_t = 300)]
    pub idle_seconds: u64,
    /// A request's body must be complete this long after its head; else 408.
    #[arg(long, env = "PARKADE_ROUTER_BODY_SECONDS", default_value_t = 30)]
    pub body_seconds: u64,
    /// Offers of a car whose answers could not be used several times in a row are refused this long.
    #[arg(long, env = "PARKADE_ROUTER_REJECTION_SECONDS", default_value_t = 300)]
    pub rejection_seconds: u32,
    /// At most this percent of a workload's requests get a second attempt elsewhere when a car is slower than usual; 0: none.
    #[arg(long, env = "PARKADE_ROUTER_HEDGE_PERCENT", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub hedge_percent: u8,
    /// After SIGTERM, all who come are still served this long, while balancers and other routers learn that it goes.
    #[arg(long, env = "PARKADE_ROUTER_SHUTDOWN_DELAY_SECONDS", default_value_t = 3)]
    pub shutdown_delay_seconds: u64,
    /// After that, requests under way get this long to finish.
    #[arg(long, env = "PARKADE_ROUTER_DRAIN_SECONDS", default_value_t = 20)]
    pub drain_seconds: u64,
}

impl Settings {
    /// How long a caller's connection may stay without a complete request head.
    pub const fn idle(&self) -> Duration {
        Duration::from_secs(self.idle_seconds)
    }

    /// How long a request's body may take.
    pub const fn body_time(&self) -> Duration {
        Duration::from_secs(self.body_seconds)
    }

    /// How long a car whose answers cannot be used is kept away.
    pub fn rejection(&self) -> Duration {
        Duration::from_secs(self.rejection_seconds.into())
    }

    /// How long all who come are still served after SIGTERM.
    pub const fn shutdown_delay(&self) -> Duration {
        Duration::from_secs(self.shutdown_delay_seconds)
    }

    /// How long requests under way may take after that.
    pub const fn drain(&self) -> Duration {
        Duration::from_secs(self.drain_seconds)
    }

    /// The files of mutual TLS, if all are named.
    pub fn certificates(&self) -> Option<Files<'_>> {
        Some(Files { ca: self.ca.as_deref()?, cert: self.cert.as_deref()?, key: self.key.as_deref()? })
    }
}

/// The id becomes part of an object's name, so it obeys the rule of Kubernetes names.
fn lease_id(text: &str) -> Result<String, String> {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let good = !text.is_empty()
        && text.len() <= 40
        && text.bytes().all(|byte| inner(byte) || byte == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-');
    if good {
        Ok(text.to_owned())
    } else {
        Err("use 1 to 40 lower-case letters, digits and '-', for example router-0".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::{Settings, lease_id};

    #[test]
    fn the_flags_are_consistent() {
        Settings::command().debug_assert();
    }

    #[test]
    fn cars_and_routers_need_certificates() {
        for flag in ["--cars", "--peers-listen"] {
            let refused = Settings::try_parse_from(["parkade-router", flag, "127.0.0.1:0"]);
            assert!(refused.unwrap_err().to_string().contains("--ca"));
        }
    }

    #[test]
    fn jwts_need_an_issuer_and_its_keys() {
        let refused = Settings::try_parse_from(["parkade-router", "--auth", "jwt"]).unwrap_err().to_string();
        assert!(refused.contains("--auth-issuer") && refused.contains("--jwks"), "{refused}");
    }

    #[test]
    fn an_id_is_a_kubernetes_name() {
        assert!(lease_id("router-0").is_ok());
        for bad in ["", "-a", "a-", "A", "a.b", &"a".repeat(41)] {
            assert!(lease_id(bad).is_err(), "{bad}");
        }
    }
}
