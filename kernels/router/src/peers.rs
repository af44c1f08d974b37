//! Where other routers pass requests on: mutual TLS and HTTP/2. What comes here is served here, whatever this router thinks
//! of the workload's owner, so that no request goes round in circles; one that cannot be served here soon goes back.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::debug;

use crate::ask::{Ask, Form};
use crate::body::{Chunks, Reply};
use crate::dispatch::{Progress, Served, dispatch};
use crate::errors::Refusal;
use crate::listen::{Alive, Stop, accept, closing, serve};
use crate::peer::{
    ATTEMPTS, CONNECTION_WINDOW, FAILED, FORM, FRAME, LEFT, REFUSAL, REFUSAL_GRPC, STREAM_WINDOW, STREAMS, VERSIONED,
    WORKLOAD,
};
use crate::settings::HEAD_LIMIT;
use crate::terms::Terms;
use crate::tls;
use crate::workload::Workload;
use crate::world::{PLACE, TIER, World, restrict};

/// Connections of other routers at a time.
const ROUTERS: usize = 1024;
/// Time for a TLS handshake.
const GREETING: Duration = Duration::from_secs(5);
/// A connection without a sign of life is given up after this time.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// Takes connections of other routers until told to stop.
pub async fn listen(listener: TcpListener, acceptor: TlsAcceptor, world: Arc<World>, stop: Stop, alive: Alive) {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .auto_date_header(false)
        .keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE)
        .max_concurrent_streams(STREAMS)
        // Callers that leave all at once are no attack: whoever speaks here has a router's certificate.
        .max_pending_accept_reset_streams(STREAMS as usize)
        .max_local_error_reset_streams(STREAMS as usize)
        .max_header_list_size(u32::try_from(2 * HEAD_LIMIT).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME);
    accept(listener, ROUTERS, stop.clone(), |stream, place| {
        let (world, stop, alive) = (world.clone(), stop.clone(), alive.clone());
        let (acceptor, builder) = (acceptor.clone(), builder.clone());
        async move {
            let _held = (place, alive);
            let Some(stream) = greet(&acceptor, stream, &world).await else { return };
            let service = service_fn(move |request| answer(world.clone(), request));
            serve(builder.serve_connection(TokioIo::new(stream), service), closing(stop)).await;
        }
    })
    .await;
}

/// The handshake, with a router of the same authority and nobody else.
async fn greet(acceptor: &TlsAcceptor, stream: TcpStream, world: &World) -> Option<TlsStream<TcpStream>> {
    let Ok(Ok(stream)) = tokio::time::timeout(GREETING, acceptor.accept(stream)).await else {
        world.metrics.refused_peer("handshake");
        return None;
    };
    let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    if certificate.is_some_and(tls::is_router) {
        return Some(stream);
    }
    debug!("a certificate without a router's name was shown where routers speak to each other");
    world.metrics.refused_peer("identity");
    None
}

async fn answer(world: Arc<World>, request: Request<Incoming>) -> Result<Response<Reply>, Infallible> {
    let key = request.headers().get(WORKLOAD).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let Some(workload) = world.directory.workload(key) else {
        // The other router knows it, so this one will soon.
        return Ok(refused(&Refusal::Moved(key.to_owned())));
    };
    if request.method() == Method::GET {
        return Ok(question(&world, &workload, request.uri().path()).await);
    }
    let mut progress = Progress::default();
    let response = match infer(&world, &workload, request, &mut progress).await {
        Ok(served) => respond(served),
        Err(refusal) => refused(&refusal),
    };
    Ok(with(response, ATTEMPTS, HeaderValue::from(progress.attempts)))
}

async fn infer(
    world: &World,
    workload: &Arc<Workload>,
    request: Request<Incoming>,
    progress: &mut Progress,
) -> Result<Served, Refusal> {
    let (head, body) = request.into_parts();
    let micros = head.headers.get(LEFT).and_then(|value| value.to_str().ok()?.parse().ok());
    let deadline = Instant::now() + micros.map_or_else(|| workload.rules().timeout, Duration::from_micros);
    let gathered = world.intake.gather(body).await?;
    let mut headers = head.headers;
    let (is_grpc, versioned) = (headers.get(FORM).is_some_and(|form| form == "grpc"), headers.contains_key(VERSIONED));
    for name in [CONTENT_LENGTH, WORKLOAD, FORM, LEFT, VERSIONED] {
        headers.remove(name);
    }
    let form = if is_grpc {
        Form::Grpc { metadata: headers }
    } else {
        let path = head.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        Form::Http { path, headers }
    };
    let body = gathered.chunks.clone();
    let trace = world.spans.as_ref().and_then(|spans| spans.passed_on(&form, versioned));
    let mut ask = Ask { model: workload.model.clone(), form, body, only: None, versioned, guest: true, trace };
    let terms = restrict(workload, &mut ask).and_then(|()| Terms::read(ask.headers(), deadline));
    let served = match terms {
        Ok(terms) => dispatch(&world.tritons, workload, &ask, terms, progress).await,
        Err(refusal) => Err(refusal),
    };
    if let Some(trace) = &ask.trace {
        let (place, outcome) = served
            .as_ref()
            .map_or_else(|refusal| (None, refusal.outcome()), |served| (Some(&served.place), served.outcome()));
        trace.record(&workload.key, place, progress.attempts, outcome);
        trace.end(served.as_ref().map(|served| &served.answer));
    }
    served
}

/// What only a router with cars can say of a model: whether it is ready, and its metadata in JSON.
async fn question(world: &World, workload: &Arc<Workload>, path: &str) -> Response<Reply> {
    let mut response = Response::new(Reply::Whole(Chunks::default()));
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    if path.ends_with("/ready") {
        if workload.replicas(None) > 0 {
            *response.status_mut() = StatusCode::OK;
        }
    } else if let Ok(metadata) = world.car_metadata_here(workload).await {
        *response.status_mut() = StatusCode::OK;
        *response.body_mut() = Reply::Whole(metadata);
    }
    response
}

fn respond(served: Served) -> Response<Reply> {
    let Served { answer, place: (tier, place), failed } = served;
    let mut response = Response::new(Reply::Whole(answer.body));
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    let headers = response.headers_mut();
    headers.insert(TIER, HeaderValue::from_static(tier.label()));
    if let Ok(place) = HeaderValue::from_str(&place) {
        headers.insert(PLACE, place);
    }
    if failed {
        headers.insert(FAILED, HeaderValue::from_static("1"));
    }
    response
}

fn refused(refusal: &Refusal) -> Response<Reply> {
    let mut response = Response::new(Reply::Whole(refusal.json().into()));
    *response.status_mut() = refusal.status();
    let headers: &mut HeaderMap = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(REFUSAL, HeaderValue::from_static(refusal.kind().label()));
    headers.insert(REFUSAL_GRPC, HeaderValue::from(refusal.grpc()));
    if let Some(seconds) = refusal.retry_after() {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

fn with(mut response: Response<Reply>, name: http::HeaderName, value: HeaderValue) -> Response<Reply> {
    response.headers_mut().insert(name, value);
    response
}
