//! An upstream that computes nothing: what is measured in front of it is the router's own cost.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Args;
use http::{HeaderMap, HeaderValue, Response};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use tokio::task::spawn_local;

use crate::alarm::Alarm;
use crate::payload::{Answers, grpc_answer, http_answer};
use crate::wire::Wire;
use crate::{complain, say};

/// HTTP/2 flow control wide enough that no measured body waits for a window.
pub const STREAM_WINDOW: u32 = 4 << 20;
/// The same for a whole connection.
pub const CONNECTION_WINDOW: u32 = 64 << 20;
const STREAMS: u32 = 4096;
/// Bytes of a gRPC frame before its message.
const FRAME_HEAD: usize = 5;

/// Flags.
#[derive(Clone, Debug, Args)]
pub struct Settings {
    /// Where HTTP/1.1 is spoken.
    #[arg(long, default_value = "127.0.0.1:0")]
    http: SocketAddr,
    /// Where gRPC is spoken.
    #[arg(long, default_value = "127.0.0.1:0")]
    grpc: SocketAddr,
    /// Bytes of every answer; default: as large as the request.
    #[arg(long)]
    answer_bytes: Option<usize>,
    /// Microseconds that every inference takes.
    #[arg(long, default_value_t = 0)]
    service_micros: u64,
    /// Further servers over HTTP/1.1, each with one replica: one inference at a time, first come, first served.
    #[arg(long, default_value_t = 0)]
    singles: usize,
}

#[derive(Clone, Debug)]
struct Serving {
    answer_bytes: Option<usize>,
    service: Option<(Duration, Alarm)>,
    /// Held by the inference under way, where there is one replica.
    replica: Option<Rc<Mutex<()>>>,
}

impl Serving {
    async fn work(&self) {
        let _held = match &self.replica {
            Some(replica) => Some(replica.lock().await),
            None => None,
        };
        if let Some((time, alarm)) = &self.service {
            alarm.at(Instant::now() + *time).await;
        }
    }
}

/// Serves until the process is ended.
pub async fn run(settings: Settings) -> Result<(), String> {
    let time = Duration::from_micros(settings.service_micros);
    let service = (!time.is_zero()).then(|| (time, Alarm::start()));
    let serving = Serving { answer_bytes: settings.answer_bytes, service, replica: None };
    let (http, grpc) = (bind("--http", settings.http).await?, bind("--grpc", settings.grpc).await?);
    let mut singles = Vec::with_capacity(settings.singles);
    for _ in 0..settings.singles {
        let listener = bind("--singles", SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        singles.push(local(&listener)?);
        let serving = Serving { replica: Some(Rc::new(Mutex::new(()))), ..serving.clone() };
        spawn_local(accept(listener, move |stream| drop(spawn_local(serve_http(stream, serving.clone())))));
    }
    say(&json!({"http": local(&http)?, "grpc": local(&grpc)?, "singles": singles}))?;
    let speaking_http = serving.clone();
    spawn_local(accept(grpc, move |stream| drop(spawn_local(serve_grpc(stream, serving.clone())))));
    accept(http, move |stream| drop(spawn_local(serve_http(stream, speaking_http.clone())))).await;
    Ok(())
}

/// Binds, or says which flag to change.
pub async fn bind(flag: &str, address: SocketAddr) -> Result<TcpListener, String> {
    TcpListener::bind(address).await.map_err(|error| format!("{flag} {address}: {error}; choose another address"))
}

/// The bound address.
pub fn local(listener: &TcpListener) -> Result<String, String> {
    listener.local_addr().map(|address| address.to_string()).map_err(|error| error.to_string())
}

/// Accepts for ever; a connection that ends early is the other end's loss, one that finds no descriptor is told of.
pub async fn accept(listener: TcpListener, serve: impl Fn(TcpStream)) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) if stream.set_nodelay(true).is_ok() => serve(stream),
            Ok(_) => {}
            Err(error) => {
                complain("a connection cannot be accepted", &error);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn serve_http(stream: TcpStream, serving: Serving) {
    let mut wire = Wire::new(stream);
    let mut answers = Answers::new(serving.answer_bytes, http_answer);
    let live = http_answer(0);
    while let Ok(Some(head)) = wire.request().await {
        let answer = if head.is_get {
            live.clone()
        } else {
            serving.work().await;
            answers.to(head.length)
        };
        if wire.send(&answer).await.is_err() {
            return;
        }
    }
}

async fn serve_grpc(stream: TcpStream, serving: Serving) {
    let mut builder = h2::server::Builder::new();
    builder
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(STREAMS);
    let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await else { return };
    let answers = Rc::new(RefCell::new(Answers::new(serving.answer_bytes, grpc_answer)));
    while let Some(Ok((request, respond))) = connection.accept().await {
        spawn_local(call(request.into_body(), respond, serving.clone(), answers.clone()));
    }
}

async fn call(
    mut body: h2::RecvStream,
    mut respond: h2::server::SendResponse<Bytes>,
    serving: Serving,
    answers: Rc<RefCell<Answers>>,
) {
    let mut length = 0;
    while let Some(data) = body.data().await {
        let Ok(data) = data else { return };
        length += data.len();
        if body.flow_control().release_capacity(data.len()).is_err() {
            return;
        }
    }
    serving.work().await;
    let answer = answers.borrow_mut().to(length.saturating_sub(FRAME_HEAD));
    let mut head = Response::new(());
    head.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let Ok(mut sending) = respond.send_response(head, false) else { return };
    // A caller that left needs no answer.
    if sending.send_data(answer, false).is_ok() {
        let _ = sending.send_trailers(trailers);
    }
}
