//! Where cars dial in: mutual TLS, one `POST /v1/serve`, then the connection turns round and the car is the server.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1 as server;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::debug;

use crate::body::{Chunks, Reply};
use crate::car::Car;
use crate::errors::error_json;
use crate::listen::{Io, Stop, accept};
use crate::observed::Times;
use crate::strikes::{Fault, MOST};
use crate::workload::Workload;
use crate::world::World;

/// The protocol that a car offers, in `Upgrade`.
const PROTOCOL: &str = "parkade-serve/1";
/// Time for the TLS handshake and for the offer after it.
const GREETING: Duration = Duration::from_secs(10);
/// Handshakes at a time: when a whole fleet comes back, requests still get their share of the processor.
const HANDSHAKES: usize = 32;
/// A car's head is small.
const HEAD: usize = 8 << 10;
/// Reading an answer goes in pieces of at most this size.
const READ_BUFFER: usize = 256 << 10;
/// Seconds after which a car may offer itself again where the reason may pass by itself.
const TRY_AGAIN: u32 = 1;
/// The labels of cars that are kept away because of their answers, and the words that tell them so.
const ANSWERS: &str = "answers";
const ANSWERS_REJECTED: &str = "AnswersRejected";
const DISAGREE: &str = "disagree";
const ANSWERS_DISAGREE: &str = "AnswersDisagree";
/// The URI in a car's certificate.
const IDENTITY: &str = "parkade://vehicle/";

type Stream = TlsStream<TcpStream>;

/// Who dialled, from its certificate.
#[derive(Clone, Debug)]
pub struct Identity {
    fleet: String,
    /// `fleet/vehicle`.
    vehicle: Arc<str>,
}

/// Takes connections of cars until told to stop.
pub async fn listen(listener: TcpListener, limit: usize, acceptor: TlsAcceptor, world: Arc<World>, stop: Stop) {
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES));
    let ids = Arc::new(AtomicU64::new(0));
    accept(listener, limit, stop, |stream, place| {
        let (acceptor, world, handshakes, ids) = (acceptor.clone(), world.clone(), handshakes.clone(), ids.clone());
        async move {
            let Some(stream) = greet(&acceptor, stream, &handshakes).await else {
                world.metrics.refused_car("handshake");
                return;
            };
            match identity(&stream) {
                Some(identity) => hear(stream, identity, world, place, &ids).await,
                None => world.metrics.refused_car("identity"),
            }
        }
    })
    .await;
}

async fn greet(acceptor: &TlsAcceptor, stream: TcpStream, handshakes: &Semaphore) -> Option<Stream> {
    let _turn = handshakes.acquire().await.ok()?;
    match tokio::time::timeout(GREETING, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => Some(stream),
        Ok(Err(error)) => {
            debug!("a car's TLS handshake failed: {error}");
            None
        }
        Err(_) => None,
    }
}

/// `parkade://vehicle/<fleet>/<vehicle>` in the certificate that the handshake verified.
fn identity(stream: &Stream) -> Option<Identity> {
    let certificate = stream.get_ref().1.peer_certificates()?.first()?;
    let certificate = webpki::EndEntityCert::try_from(certificate).ok()?;
    certificate.valid_uri_names().find_map(read_identity)
}

pub fn read_identity(uri: &str) -> Option<Identity> {
    let vehicle = uri.strip_prefix(IDENTITY)?;
    let (fleet, name) = vehicle.split_once('/')?;
    let good = !fleet.is_empty() && !name.is_empty() && !name.contains('/');
    good.then(|| Identity { fleet: fleet.to_owned(), vehicle: vehicle.into() })
}

/// Hears one offer; if it is taken, the connection goes to the workload's queue.
pub async fn hear<I: Io>(
    stream: I,
    identity: Identity,
    world: Arc<World>,
    place: OwnedSemaphorePermit,
    ids: &AtomicU64,
) {
    let id = ids.fetch_add(1, Ordering::Relaxed);
    let taken = Arc::new(std::sync::Mutex::new(None));
    let service = {
        let (taken, identity, world) = (taken.clone(), identity.clone(), world.clone());
        service_fn(move |mut request: Request<Incoming>| {
            let response = match offer(&world, &identity, &request) {
                Ok(accepted) => {
                    let upgrade = hyper::upgrade::on(&mut request);
                    *taken.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some((accepted, upgrade));
                    switching()
                }
                Err(refusal) => {
                    world.metrics.refused_car(refusal.reason);
                    refusal.response()
                }
            };
            async move { Ok::<_, Infallible>(response) }
        })
    };
    let mut builder = server::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(GREETING).max_header_size(HEAD).keep_alive(false);
    let connection = pin!(builder.serve_connection(TokioIo::new(stream), service).with_upgrades());
    if !matches!(tokio::time::timeout(GREETING * 2, connection).await, Ok(Ok(()))) {
        return;
    }
    let accepted = taken.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
    let Some((accepted, upgrade)) = accepted else { return };
    let Ok(upgraded) = upgrade.await else { return };
    let Ok(parts) = upgraded.downcast::<TokioIo<I>>() else { return };
    if !parts.read_buf.is_empty() {
        // A server does not speak first.
        world.metrics.refused_car("protocol");
        return;
    }
    turn_round(parts.io, &identity, accepted, place, id).await;
}

/// From here on the car is the server.
async fn turn_round<I: Io>(
    stream: TokioIo<I>,
    identity: &Identity,
    accepted: Accepted,
    place: OwnedSemaphorePermit,
    id: u64,
) {
    let Accepted { workload, cell, times } = accepted;
    let mut builder = hyper::client::conn::http1::Builder::new();
    builder.max_buf_size(READ_BUFFER).max_header_size(HEAD);
    let Ok((sender, connection)) = builder.handshake::<_, Chunks>(stream).await else { return };
    let ending = workload.clone();
    // Starts only after the car is in the queue, so that an end at once still withdraws it.
    let (queued, start) = tokio::sync::oneshot::channel::<()>();
    let driver = tokio::spawn(async move {
        let _held = place;
        drop(start.await);
        drop(connection.await);
        ending.withdraw(id);
    });
    let car = Car::new(id, identity.vehicle.clone(), sender, driver.abort_handle(), times);
    workload.offer(&cell, car);
    drop(queued);
}

#[derive(Debug)]
struct Accepted {
    workload: Arc<Workload>,
    cell: String,
    times: Option<Arc<Times>>,
}

#[derive(Debug)]
struct Refused {
    status: StatusCode,
    reason: &'static str,
    sentence: String,
    /// Seconds after which the reason may have passed by itself.
    try_again: Option<u32>,
}

impl Refused {
    fn new(status: StatusCode, reason: &'static str, sentence: String) -> Self {
        let passes = matches!(status, StatusCode::NOT_FOUND | StatusCode::SERVICE_UNAVAILABLE);
        Self { status, reason, sentence, try_again: passes.then_some(TRY_AGAIN) }
    }

    /// The car's own answers are why.
    fn answers(key: &str, left: Duration, fault: Fault) -> Self {
        let seconds = u32::try_from(left.as_secs()).unwrap_or(u32::MAX).saturating_add(1);
        let (reason, found) = match fault {
            Fault::Unusable => {
                (ANSWERS, format!("{MOST} answers of this car in a row for workload {key} could not be used"))
            }
            Fault::Wrong => {
                (DISAGREE, format!("an answer of this car for workload {key} was not what Triton computes"))
            }
        };
        let sentence = format!("{found}; restart or update its agent, whose offers are taken again after some minutes");
        Self { status: StatusCode::FORBIDDEN, reason, sentence, try_again: Some(seconds) }
    }

    fn body(&self) -> String {
        let word = match self.reason {
            ANSWERS => ANSWERS_REJECTED,
            DISAGREE => ANSWERS_DISAGREE,
            _ => return error_json(&self.sentence),
        };
        serde_json::json!({ "error": self.sentence, "reason": word }).to_string()
    }

    fn response(&self) -> Response<Reply> {
        let mut response = Response::new(Reply::Whole(self.body().into()));
        *response.status_mut() = self.status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(seconds) = self.try_again {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

fn switching() -> Response<Reply> {
    let mut response = Response::new(Reply::Whole(Chunks::default()));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    response.headers_mut().insert(UPGRADE, HeaderValue::from_static(PROTOCOL));
    response
}

/// Whether the router takes what a car offers.
fn offer(world: &World, identity: &Identity, request: &Request<Incoming>) -> Result<Accepted, Refused> {
    if request.method() != Method::POST || request.uri().path() != "/v1/serve" {
        let sentence = "cars offer themselves by POST /v1/serve".to_owned();
        return Err(Refused::new(StatusCode::NOT_IMPLEMENTED, "protocol", sentence));
    }
    let headers = request.headers();
    if headers.get(UPGRADE).is_none_or(|value| value != PROTOCOL) {
        let sentence = format!("this router speaks {PROTOCOL}; send Upgrade: {PROTOCOL}");
        return Err(Refused::new(StatusCode::UPGRADE_REQUIRED, "protocol", sentence));
    }
    let (key, cell) = (field(headers, "parkade-workload")?, field(headers, "parkade-cell")?);
    let model = field(headers, "parkade-model")?;
    let Some(workload) = world.directory.workload(key) else {
        let sentence = format!("no workload {key} is known here; try again");
        return Err(Refused::new(StatusCode::NOT_FOUND, "workload", sentence));
    };
    if *workload.model != *model {
        let sentence = format!("workload {key} serves model {}, not {model}", workload.model);
        return Err(Refused::new(StatusCode::CONFLICT, "model", sentence));
    }
    let rules = workload.rules();
    if !rules.trust(&identity.vehicle) {
        let sentence = format!("workload {key} does not trust fleet {}", identity.fleet);
        return Err(Refused::new(StatusCode::FORBIDDEN, "trust", sentence));
    }
    if let Some((left, fault)) = workload.keeps_away(&identity.vehicle) {
        return Err(Refused::answers(key, left, fault));
    }
    if rules.barred.iter().any(|place| place == cell) {
        let sentence = format!("workload {key} may not be served in the jurisdiction of cell {cell}");
        return Err(Refused::new(StatusCode::FORBIDDEN, "jurisdiction", sentence));
    }
    if !workload.has_cell(cell) {
        let sentence = format!("the plan has no cell {cell} for workload {key}; try again");
        return Err(Refused::new(StatusCode::SERVICE_UNAVAILABLE, "cell", sentence));
    }
    let hardware = headers.get("parkade-hardware").and_then(|value| value.to_str().ok());
    let times = hardware.and_then(|name| workload.observed.hardware(name));
    Ok(Accepted { workload, cell: cell.to_owned(), times })
}

fn field<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a str, Refused> {
    headers.get(name).and_then(|value| value.to_str().ok()).filter(|text| !text.is_empty()).ok_or_else(|| {
        Refused::new(StatusCode::BAD_REQUEST, "protocol", format!("the header {name} is missing or not text"))
    })
}

#[cfg(test)]
mod tests {
    use super::read_identity;

    #[test]
    fn identities_name_a_fleet_and_a_vehicle() {
        let identity = read_identity("parkade://vehicle/owners-ca/v-7f3a").unwrap();
        assert_eq!((identity.fleet.as_str(), &*identity.vehicle), ("owners-ca", "owners-ca/v-7f3a"));
        for bad in ["parkade://router/a/b", "parkade://vehicle/a", "parkade://vehicle//b", "parkade://vehicle/a/b/c"] {
            assert!(read_identity(bad).is_none(), "{bad}");
        }
    }
}
