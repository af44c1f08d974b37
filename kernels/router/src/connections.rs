//! Connections to Triton servers: over HTTP/1.1 idle ones that are taken and put back, over HTTP/2 one for all calls.
//!
//! hyper-util's pooled client does the same for any client; it costs a tenth of the router's whole work a request, since
//! it races a dial against the pool and puts connections back from a task.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::Duration;

use http::header::HOST;
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;

use crate::body::Chunks;
use crate::errors::Cause;
use crate::settings::HEAD_LIMIT;

/// Time for a TCP connection inside a datacenter.
const CONNECT: Duration = Duration::from_millis(500);
/// Idle connections kept to each server; a server's slots bound how many are useful.
const IDLE: usize = 256;
/// HTTP/2 flow control towards a server: an answer of a few MiB comes without waiting for window updates.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 32 << 20;
/// A silent HTTP/2 connection is asked for a sign of life after this time...
const KEEPALIVE: Duration = Duration::from_secs(10);
/// ...and has this long to give it.
const KEEPALIVE_ANSWER: Duration = Duration::from_secs(5);

/// Connections to all servers, by `host:port`.
#[derive(Clone, Debug, Default)]
pub struct Connections {
    servers: Arc<RwLock<HashMap<String, Arc<Server>>>>,
}

#[derive(Debug, Default)]
struct Server {
    idle: Mutex<Vec<Connection>>,
    shared: Mutex<Option<http2::SendRequest<Chunks>>>,
    /// Held while the shared connection is dialled, so that callers at the same time dial once.
    dialling: tokio::sync::Mutex<()>,
}

/// One connection over HTTP/1.1. Dropped with a request under way, it is closed, which cancels the request there.
#[derive(Debug)]
pub struct Connection {
    sender: http1::SendRequest<Chunks>,
    driver: AbortHandle,
    server: Weak<Server>,
}

impl Connections {
    /// Sends one request over HTTP/1.1. The answer's body comes over the connection, which the caller keeps afterwards.
    ///
    /// # Errors
    /// `Connect`: nothing was sent. `Broken`: the server may have got it. `Malformed`: the answer is not HTTP.
    pub async fn send(
        &self,
        authority: &str,
        mut request: Request<Chunks>,
    ) -> Result<(Response<Incoming>, Connection), Cause> {
        let server = self.server(authority);
        // An authority that is no header value is none that can be dialled.
        let host = HeaderValue::from_str(authority).map_err(|_| Cause::Connect)?;
        request.headers_mut().insert(HOST, host);
        loop {
            let mut connection = match server.take().await {
                Some(connection) => connection,
                None => self.found(authority, Connection::dial(authority, Arc::downgrade(&server)).await)?,
            };
            match connection.sender.try_send_request(request).await {
                Ok(response) => return Ok((response, connection)),
                // The server had closed it before anything was sent.
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(cause(error.error())),
                },
            }
        }
    }

    /// Calls over HTTP/2.
    ///
    /// # Errors
    /// As `send`.
    pub async fn call(&self, authority: &str, mut request: Request<Chunks>) -> Result<Response<Incoming>, Cause> {
        loop {
            let mut sender = self.shared(authority).await?;
            match sender.try_send_request(request).await {
                Ok(response) => return Ok(response),
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(cause(error.error())),
                },
            }
        }
    }

    async fn shared(&self, authority: &str) -> Result<http2::SendRequest<Chunks>, Cause> {
        let server = self.server(authority);
        if let Some(sender) = server.live() {
            return Ok(sender);
        }
        let _one = server.dialling.lock().await;
        if let Some(sender) = server.live() {
            return Ok(sender);
        }
        let sender = self.found(authority, dial_shared(authority).await)?;
        *server.shared.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender.clone());
        Ok(sender)
    }

    fn server(&self, authority: &str) -> Arc<Server> {
        let known = self.servers.read().unwrap_or_else(PoisonError::into_inner).get(authority).cloned();
        known.unwrap_or_else(|| {
            let mut servers = self.servers.write().unwrap_or_else(PoisonError::into_inner);
            servers.entry(authority.to_owned()).or_default().clone()
        })
    }

    /// A server that cannot be dialled is forgotten: most such have left for ever.
    fn found<T>(&self, authority: &str, dialled: Option<T>) -> Result<T, Cause> {
        dialled.ok_or_else(|| {
            self.servers.write().unwrap_or_else(PoisonError::into_inner).remove(authority);
            Cause::Connect
        })
    }
}

impl Server {
    async fn take(&self) -> Option<Connection> {
        loop {
            let mut connection = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
            if connection.sender.is_ready() || connection.sender.ready().await.is_ok() {
                return Some(connection);
            }
        }
    }

    fn live(&self) -> Option<http2::SendRequest<Chunks>> {
        let shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.as_ref().filter(|sender| !sender.is_closed()).cloned()
    }
}

impl Connection {
    async fn dial(authority: &str, server: Weak<Server>) -> Option<Self> {
        let (sender, connection) = http1::handshake(connect(authority).await?).await.ok()?;
        let driver = tokio::spawn(connection).abort_handle();
        Some(Self { sender, driver, server })
    }

    /// The answer was read to its end: the connection is free for another request.
    pub fn keep(self) {
        let Some(server) = self.server.upgrade() else { return };
        let mut idle = server.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE && !self.sender.is_closed() {
            idle.push(self);
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

async fn connect(authority: &str) -> Option<TokioIo<TcpStream>> {
    let stream = tokio::time::timeout(CONNECT, TcpStream::connect(authority)).await.ok()?.ok()?;
    stream.set_nodelay(true).ok()?;
    Some(TokioIo::new(stream))
}

async fn dial_shared(authority: &str) -> Option<http2::SendRequest<Chunks>> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(u32::try_from(HEAD_LIMIT).unwrap_or(u32::MAX))
        .keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE_ANSWER);
    let (sender, connection) = builder.handshake(connect(authority).await?).await.ok()?;
    tokio::spawn(connection);
    Some(sender)
}

fn cause(error: &hyper::Error) -> Cause {
    if error.is_parse() { Cause::Malformed } else { Cause::Broken }
}
