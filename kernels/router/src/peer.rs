//! Another router as this one reaches it: one HTTP/2 connection under mutual TLS for all requests, and what passes over it.
//!
//! A request keeps the caller's path, headers and body, and gains what only the first router knows: the workload, the
//! protocol, the time left. An answer keeps everything, and gains where it came from.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use http::header::{CONTENT_LENGTH, RETRY_AFTER};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio_rustls::TlsConnector;
use tracing::{debug, info};

use crate::ask::{Answer, Ask, Form, GRPC_STATUS};
use crate::body::{Chunks, collect};
use crate::dispatch::Served;
use crate::errors::{Kind, Refusal, Relayed, grpc_code};
use crate::hop::Hop;
use crate::listen::tune;
use crate::queue::Tier;
use crate::triton::INFER;
use crate::world::{PLACE, TIER};

/// `namespace/name` of the workload that is asked.
pub const WORKLOAD: HeaderName = HeaderName::from_static("parkade-workload");
/// How the caller asked: `http` or `grpc`.
pub const FORM: HeaderName = HeaderName::from_static("parkade-form");
/// Time left in microseconds.
pub const LEFT: HeaderName = HeaderName::from_static("parkade-left-micros");
/// Present if a model version was named.
pub const VERSIONED: HeaderName = HeaderName::from_static("parkade-versioned");
/// Attempts that the owner made.
pub const ATTEMPTS: HeaderName = HeaderName::from_static("parkade-attempts");
/// Present if a place failed on the request itself.
pub const FAILED: HeaderName = HeaderName::from_static("parkade-failed");
/// Present if no place answered: the kind of refusal.
pub const REFUSAL: HeaderName = HeaderName::from_static("parkade-refusal");
/// The status of gRPC that such a refusal has.
pub const REFUSAL_GRPC: HeaderName = HeaderName::from_static("parkade-refusal-grpc");

/// HTTP/2 flow control between routers: a body of 4 MiB comes without waiting for window updates.
pub const STREAM_WINDOW: u32 = 4 << 20;
/// The same for all bodies of one connection together.
pub const CONNECTION_WINDOW: u32 = 64 << 20;
/// Larger frames than HTTP/2's 16 KiB cost less per byte.
pub const FRAME: u32 = 128 << 10;
/// Requests under way over one connection: all callers of one router may ask for one owner's workloads.
pub const STREAMS: u32 = 16_384;

/// Time for a connection with its handshake, inside a datacenter.
const DIAL: Duration = Duration::from_millis(500);
/// Pauses between dials of a router that does not answer, doubling.
const REDIAL_FIRST: Duration = Duration::from_millis(50);
const REDIAL_LONGEST: Duration = Duration::from_secs(1);
/// A silent connection with requests under way is asked for a sign of life this often...
const ALIVE_EVERY: Duration = Duration::from_millis(500);
/// ...and given up after this time: a router that stands still must not hold requests until their deadlines.
const ALIVE_WITHIN: Duration = Duration::from_secs(1);
/// The owner itself says that a deadline is over; its word needs this long to arrive.
const WORD: Duration = Duration::from_millis(25);

/// Another router.
#[derive(Debug)]
pub struct Peer {
    /// Its id.
    pub id: Arc<str>,
    /// `host:port`.
    pub address: Arc<str>,
    authority: Authority,
    connector: Arc<ClientConfig>,
    answer_limit: usize,
    link: Mutex<Link>,
}

#[derive(Debug)]
enum Link {
    /// To be dialled by the next request.
    Unknown,
    Up(SendRequest<Chunks>),
    /// It did not answer; a task dials it until it does, and no request waits for that.
    Down,
}

/// What came of passing a request on: an answer and the attempts made for it, or none.
pub type Passed = Result<(Served, u32), Back>;

/// Why a request came back.
#[derive(Debug)]
pub enum Back {
    /// The other router refused it.
    Refused(Refusal),
    /// That router does not keep the queue any more, and had no credit.
    Moved,
    /// No answer came.
    Unreachable {
        /// Whether the request may have been served nevertheless.
        sent: bool,
    },
}

impl Peer {
    /// A router at `host:port`, not dialled yet. `None` if that is no address.
    pub fn new(
        id: Arc<str>,
        address: Arc<str>,
        connector: Arc<ClientConfig>,
        answer_limit: usize,
    ) -> Option<Arc<Self>> {
        let authority = address.parse().ok()?;
        Some(Arc::new(Self { id, address, authority, connector, answer_limit, link: Mutex::new(Link::Unknown) }))
    }

    /// Passes one inference request on. `left` is the time until its deadline.
    pub async fn pass(self: &Arc<Self>, workload: &str, ask: &Ask, left: Duration, hop: Option<&Hop>) -> Passed {
        let begun = Instant::now();
        let Some(mut sender) = self.sender().await else { return Err(Back::Unreachable { sent: false }) };
        let left = left.saturating_sub(begun.elapsed());
        let Some(request) = self.request(workload, ask, left, hop) else {
            return Err(Back::Unreachable { sent: false });
        };
        let answering = async {
            match sender.send_request(request).await {
                Ok(response) => self.read(ask, response).await,
                Err(error) => {
                    debug!(router = &*self.id, "a forwarded request came back: {error}");
                    Err(Back::Unreachable { sent: !error.is_canceled() })
                }
            }
        };
        tokio::time::timeout(left + WORD, answering).await.unwrap_or(Err(Back::Unreachable { sent: true }))
    }

    /// Asks a question about a model in KServe's words: the body of an answer that is 200. The caller bounds the time.
    pub async fn question(self: &Arc<Self>, workload: &str, path: &str) -> Option<Chunks> {
        let mut sender = self.sender().await?;
        let mut request = Request::new(Chunks::default());
        *request.uri_mut() = self.uri(path.parse().ok()?)?;
        request.headers_mut().insert(WORKLOAD, HeaderValue::from_str(workload).ok()?);
        let response = sender.send_request(request).await.ok()?;
        if response.status() != StatusCode::OK {
            return None;
        }
        collect(response.into_body(), self.answer_limit).await.ok()
    }

    fn request(&self, workload: &str, ask: &Ask, left: Duration, hop: Option<&Hop>) -> Option<Request<Chunks>> {
        let mut request = Request::new(ask.body.clone());
        *request.method_mut() = Method::POST;
        let (path, form) = match &ask.form {
            Form::Http { path, .. } => (path.clone(), "http"),
            Form::Grpc { .. } => (PathAndQuery::from_static(INFER), "grpc"),
        };
        *request.headers_mut() = ask.headers_for(hop);
        *request.uri_mut() = self.uri(path)?;
        let headers = request.headers_mut();
        headers.remove(CONTENT_LENGTH);
        headers.remove(VERSIONED);
        headers.insert(WORKLOAD, HeaderValue::from_str(workload).ok()?);
        headers.insert(FORM, HeaderValue::from_static(form));
        headers.insert(LEFT, HeaderValue::from(u64::try_from(left.as_micros()).unwrap_or(u64::MAX)));
        if ask.versioned {
            headers.insert(VERSIONED, HeaderValue::from_static("1"));
        }
        Some(request)
    }

    fn uri(&self, path: PathAndQuery) -> Option<Uri> {
        Uri::builder().scheme(Scheme::HTTPS).authority(self.authority.clone()).path_and_query(path).build().ok()
    }

    async fn read(&self, ask: &Ask, response: Response<Incoming>) -> Passed {
        let (head, body) = response.into_parts();
        let Ok(body) = collect(body, self.answer_limit).await else { return Err(Back::Unreachable { sent: true }) };
        let mut headers = head.headers;
        headers.remove(CONTENT_LENGTH);
        if let Some(word) = headers.get(REFUSAL) {
            let kind = Kind::ALL.into_iter().find(|kind| word == kind.label()).unwrap_or(Kind::Other);
            if kind == Kind::Moved {
                return Err(Back::Moved);
            }
            return Err(Back::Refused(Refusal::Relayed(relayed(head.status, &headers, kind, &body))));
        }
        let attempts = number(&headers, &ATTEMPTS).unwrap_or(1);
        let Some(place) = place(&headers) else { return Err(Back::Unreachable { sent: true }) };
        let failed = headers.contains_key(FAILED);
        for name in [ATTEMPTS, FAILED, TIER, PLACE] {
            headers.remove(name);
        }
        let grpc = match &ask.form {
            Form::Http { .. } => grpc_code::OK,
            Form::Grpc { .. } => {
                let code = body.trailers().and_then(|trailers| number(trailers, &GRPC_STATUS));
                match code.or_else(|| number(&headers, &GRPC_STATUS)) {
                    Some(code) => code,
                    None => return Err(Back::Unreachable { sent: true }),
                }
            }
        };
        Ok((Served { answer: Answer { status: head.status, headers, body, grpc }, place, failed }, attempts))
    }

    /// The connection, dialled if it must be; at once `None` while the router is known not to answer.
    async fn sender(self: &Arc<Self>) -> Option<SendRequest<Chunks>> {
        let mut link = self.link.lock().await;
        match &*link {
            Link::Up(sender) if !sender.is_closed() => return Some(sender.clone()),
            Link::Down => return None,
            Link::Up(_) | Link::Unknown => {}
        }
        if let Some(sender) = self.dial().await {
            *link = Link::Up(sender.clone());
            return Some(sender);
        }
        info!(router = &*self.id, "another router cannot be reached; its requests go elsewhere until it answers");
        *link = Link::Down;
        tokio::spawn(redial(Arc::downgrade(self)));
        None
    }

    async fn dial(&self) -> Option<SendRequest<Chunks>> {
        let dialling = async {
            let stream = TcpStream::connect(&*self.address).await.ok()?;
            tune(&stream).ok()?;
            // Whom it names is the certificate's matter, not this name's.
            let name = ServerName::try_from("parkade-router").ok()?;
            let stream = TlsConnector::from(self.connector.clone()).connect(name, stream).await;
            let stream = stream.inspect_err(|error| debug!(router = &*self.id, "no TLS with it: {error}")).ok()?;
            let mut builder = Builder::new(TokioExecutor::new());
            builder
                .timer(TokioTimer::new())
                .keep_alive_interval(ALIVE_EVERY)
                .keep_alive_timeout(ALIVE_WITHIN)
                .initial_stream_window_size(STREAM_WINDOW)
                .initial_connection_window_size(CONNECTION_WINDOW)
                .max_frame_size(FRAME);
            let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.ok()?;
            tokio::spawn(connection);
            Some(sender)
        };
        tokio::time::timeout(DIAL, dialling).await.ok().flatten()
    }
}

/// Dials until the router answers, or nobody wants it any more.
async fn redial(peer: Weak<Peer>) {
    let mut pause = REDIAL_FIRST;
    loop {
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(REDIAL_LONGEST);
        let Some(peer) = peer.upgrade() else { return };
        if let Some(sender) = peer.dial().await {
            info!(router = &*peer.id, "another router answers again");
            *peer.link.lock().await = Link::Up(sender);
            return;
        }
    }
}

fn relayed(status: StatusCode, headers: &HeaderMap, kind: Kind, body: &Chunks) -> Relayed {
    let sentence = serde_json::from_slice::<serde_json::Value>(&body.head(body.len()))
        .ok()
        .and_then(|said| said["error"].as_str().map(str::to_owned));
    Relayed {
        status,
        grpc: number(headers, &REFUSAL_GRPC).unwrap_or(grpc_code::UNAVAILABLE),
        retry_after: number(headers, &RETRY_AFTER),
        kind,
        sentence: sentence.unwrap_or_else(|| "the router that keeps the queue refused; try again".to_owned()),
    }
}

fn place(headers: &HeaderMap) -> Option<(Tier, Arc<str>)> {
    let tier = headers.get(TIER)?;
    let tier = [Tier::Vehicle, Tier::Datacenter].into_iter().find(|known| tier == known.label())?;
    Some((tier, headers.get(PLACE)?.to_str().ok()?.into()))
}

fn number(headers: &HeaderMap, name: &HeaderName) -> Option<u32> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}
