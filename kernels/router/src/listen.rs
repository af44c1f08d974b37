//! Listeners: bounded connections, no small-packet delay, and a stop that lets requests under way finish.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tracing::warn;

use crate::body::{Chunks, Reply};
use crate::preface::Prefaced;
use crate::settings::HEAD_LIMIT;
use crate::world::World;
use crate::{front_grpc, front_http};

/// After an accept that failed (out of file descriptors), nothing is accepted for this time.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Bytes sent and not acknowledged end a connection after this time: a caller that does not read, or a link that died.
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);
/// A silent connection is asked for a sign of life after this time, and this often.
const KEEPALIVE: Duration = Duration::from_secs(15);
/// Time for the first words of HTTP/2, which no client keeps to itself.
const PREFACE: Duration = Duration::from_secs(10);
/// Calls under way on one HTTP/2 connection.
const STREAMS: u32 = 1024;
/// HTTP/2 flow control from a caller: a body of one MiB comes without waiting for window updates.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;
/// Reading goes in pieces of at most this size.
const READ_BUFFER: usize = 256 << 10;

/// A listener is closed when nobody has come for this time...
const QUIET: Duration = Duration::from_millis(5);
/// ...or this many more have.
const LAST_ACCEPTS: usize = 1024;
/// Callers over HTTP/1.1 are told this long with every answer to connect elsewhere, before connections are closed: one
/// that is closed the very moment its caller sends on it again loses that request.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// How far the router's end has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// It has not begun.
    #[default]
    Serving,
    /// Others are told that the router goes; it still serves all who come.
    Leaving,
    /// No connection is accepted any more.
    Refusing,
    /// Connections end after what is under way on them.
    Closing,
}

/// Told to every listener and connection.
pub type Stop = watch::Receiver<Phase>;

/// Held by whatever must finish before the process ends.
pub type Alive = mpsc::Sender<Infallible>;

/// What a connection is made of.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Io for T {}

/// Accepts connections until they are to be refused. `serve` gets each with its place among `limit`.
pub async fn accept<F, S>(listener: TcpListener, limit: usize, mut stop: Stop, serve: S)
where
    S: Fn(TcpStream, OwnedSemaphorePermit) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(limit));
    loop {
        let accepted = tokio::select! {
            _ = stop.wait_for(|phase| *phase >= Phase::Refusing) => break,
            accepted = next(&listener, &places) => accepted,
        };
        if let Some((stream, place)) = accepted {
            tokio::spawn(serve(stream, place));
        }
    }
    // Who is connected already, as far as the kernel is concerned, is served; closing the listener would hang up on them.
    for _ in 0..LAST_ACCEPTS {
        match tokio::time::timeout(QUIET, next(&listener, &places)).await {
            Ok(Some((stream, place))) => drop(tokio::spawn(serve(stream, place))),
            Ok(None) => {}
            Err(_) => return,
        }
    }
}

async fn next(listener: &TcpListener, places: &Arc<Semaphore>) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => match tune(&stream) {
            Ok(()) => Some((stream, place)),
            // The other end is gone already.
            Err(_) => None,
        },
        Err(error) => {
            warn!("a connection cannot be accepted: {error}");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

/// Sets what every connection needs: no small-packet delay, and an end when the other side is gone.
///
/// # Errors
/// The connection is over already.
pub fn tune(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 3))?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
    Ok(())
}

/// Serves one connection. When `ends` says so it takes no new request, and ends after those under way.
pub async fn serve<C: GracefulConnection>(connection: C, ends: impl Future<Output = ()>) {
    let mut connection = pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        () = ends => connection.as_mut().graceful_shutdown(),
    }
    drop(connection.await);
}

/// Waits until connections are to end.
pub async fn closing(mut stop: Stop) {
    // A sender that is gone means the same.
    drop(stop.wait_for(|phase| *phase >= Phase::Closing).await);
}

/// HTTP/1.1 as callers may speak it; `idle` is how long they may stay without a complete head.
pub fn http_builder(idle: Duration) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(idle).max_buf_size(READ_BUFFER).max_header_size(HEAD_LIMIT);
    builder
}

/// One caller's connection over HTTP/1.1.
pub fn http_caller<I: Io>(builder: &http1::Builder, io: I, world: Arc<World>) -> impl GracefulConnection + use<I> {
    builder.serve_connection(TokioIo::new(io), service_fn(move |request| front_http::answer(world.clone(), request)))
}

/// Serves callers over HTTP/1.1.
pub async fn http(listener: TcpListener, limit: usize, idle: Duration, world: Arc<World>, stop: Stop, alive: Alive) {
    let builder = http_builder(idle);
    accept(listener, limit, stop.clone(), |stream, place| {
        let (stop, alive) = (stop.clone(), alive.clone());
        let connection = http_caller(&builder, stream, world.clone());
        async move {
            let _held = (place, alive);
            let ends = async {
                closing(stop).await;
                tokio::time::sleep(LAST_ANSWERS).await;
            };
            serve(connection, ends).await;
        }
    })
    .await;
}

/// HTTP/2 as gRPC callers may speak it; `idle` is how long they may be silent.
pub fn grpc_builder(idle: Duration) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(idle)
        .keep_alive_timeout(KEEPALIVE)
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(u32::try_from(HEAD_LIMIT).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    builder
}

/// One caller's connection over gRPC.
pub fn grpc_caller<I: Io>(
    builder: &http2::Builder<TokioExecutor>,
    io: I,
    world: Arc<World>,
) -> impl GracefulConnection + use<I> {
    let io = TokioIo::new(Prefaced::within(PREFACE, io));
    builder.serve_connection(io, service_fn(move |request| front_grpc::answer(world.clone(), request)))
}

/// Serves callers over gRPC.
pub async fn grpc(listener: TcpListener, limit: usize, idle: Duration, world: Arc<World>, stop: Stop, alive: Alive) {
    let builder = grpc_builder(idle);
    accept(listener, limit, stop.clone(), |stream, place| {
        let (stop, alive) = (stop.clone(), alive.clone());
        let connection = grpc_caller(&builder, stream, world.clone());
        async move {
            let _held = (place, alive);
            serve(connection, closing(stop)).await;
        }
    })
    .await;
}

/// Connections to the metrics port.
const SCRAPERS: usize = 64;

/// Serves `/metrics`, `/v1/observed`, `/livez` and `/readyz`.
pub async fn metrics(listener: TcpListener, world: Arc<World>, stop: Stop) {
    let phases = stop.clone();
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(KEEPALIVE);
    accept(listener, SCRAPERS, stop, |stream, place| {
        let (world, phases) = (world.clone(), phases.clone());
        let service = service_fn(move |request: Request<Incoming>| {
            let response = show(&world, *phases.borrow(), &request);
            async move { Ok::<_, Infallible>(response) }
        });
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        async move {
            let _held = place;
            drop(connection.await);
        }
    })
    .await;
}

fn show(world: &World, phase: Phase, request: &Request<Incoming>) -> Response<Reply> {
    let (status, body) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/metrics") => {
            for workload in world.directory.all() {
                workload.measure();
            }
            (StatusCode::OK, world.metrics.text())
        }
        (&Method::GET, "/v1/observed") => (StatusCode::OK, world.report().to_string().into_bytes()),
        (&Method::GET, "/livez") => (StatusCode::OK, b"ok\n".to_vec()),
        (&Method::GET, "/readyz") if phase > Phase::Serving => {
            (StatusCode::SERVICE_UNAVAILABLE, b"the router is about to end\n".to_vec())
        }
        (&Method::GET, "/readyz") if world.directory.is_known() => (StatusCode::OK, b"ok\n".to_vec()),
        (&Method::GET, "/readyz") => (StatusCode::SERVICE_UNAVAILABLE, b"no placements are known yet\n".to_vec()),
        _ => (StatusCode::NOT_FOUND, b"only /metrics, /v1/observed, /livez and /readyz are here\n".to_vec()),
    };
    let mut response = Response::new(Reply::Whole(Chunks::from(bytes::Bytes::from(body))));
    *response.status_mut() = status;
    let kind = match request.uri().path() {
        "/v1/observed" => "application/json",
        _ => "text/plain; version=0.0.4; charset=utf-8",
    };
    let kind = http::HeaderValue::from_static(kind);
    response.headers_mut().insert(http::header::CONTENT_TYPE, kind);
    response
}
