//! One gRPC connection and its callers, without a gRPC library between them and the frames.

use std::rc::Rc;

use bytes::Bytes;
use h2::client::SendRequest;
use http::header::{CONTENT_TYPE, TE};
use http::{HeaderMap, HeaderValue, Request, Uri, Version};
use tokio::net::TcpStream;
use tokio::task::spawn_local;

use super::Run;
use crate::payload::grpc_request;
use crate::upstream::{CONNECTION_WINDOW, STREAM_WINDOW};

const INFER: &str = "/inference.GRPCInferenceService/ModelInfer";
/// The code of an answer that ends without one.
const UNKNOWN: u32 = 2;

/// Asks with `streams` callers until the run is over; a connection that broke is dialled again.
pub async fn ask(run: Rc<Run>, target: &str, streams: usize) {
    let message = grpc_request(&run.settings.model, run.settings.bytes);
    loop {
        let sender = match run.bounded(dial(target)).await {
            Ok(sender) => sender,
            Err(kind) => {
                let Some(due) = run.next().await else { return };
                run.broke(due, kind).await;
                continue;
            }
        };
        let callers: Vec<_> = (0..streams)
            .map(|_| spawn_local(call_until_broken(run.clone(), target.to_owned(), sender.clone(), message.clone())))
            .collect();
        let mut broken = false;
        for caller in callers {
            broken |= caller.await.unwrap_or(true);
        }
        if !broken {
            return;
        }
    }
}

/// Whether it ended because the connection broke.
async fn call_until_broken(run: Rc<Run>, target: String, mut sender: SendRequest<Bytes>, message: Bytes) -> bool {
    while let Some(due) = run.next().await {
        match run.bounded(call(&mut sender, &target, message.clone())).await {
            Ok(0) => run.ended(due, Ok(())),
            Ok(code) => run.ended(due, Err(format!("grpc-status {code}"))),
            Err(kind) => {
                run.broke(due, kind).await;
                return true;
            }
        }
    }
    false
}

async fn dial(target: &str) -> Result<SendRequest<Bytes>, String> {
    let stream = TcpStream::connect(target).await.map_err(|error| error.to_string())?;
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(STREAM_WINDOW).initial_connection_window_size(CONNECTION_WINDOW).enable_push(false);
    let (sender, connection) = builder.handshake(stream).await.map_err(|error| error.to_string())?;
    spawn_local(async move { drop(connection.await) });
    Ok(sender)
}

/// The grpc-status of one call.
async fn call(sender: &mut SendRequest<Bytes>, target: &str, message: Bytes) -> Result<u32, h2::Error> {
    ready(sender).await?;
    let uri = Uri::builder().scheme("http").authority(target).path_and_query(INFER).build().unwrap_or_default();
    let mut request = Request::new(());
    *request.uri_mut() = uri;
    *request.method_mut() = http::Method::POST;
    *request.version_mut() = Version::HTTP_2;
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    request.headers_mut().insert(TE, HeaderValue::from_static("trailers"));
    let (response, mut sending) = sender.send_request(request, false)?;
    sending.send_data(message, true)?;
    let response = response.await?;
    let at_once = code(response.headers());
    let mut body = response.into_body();
    while let Some(data) = body.data().await {
        let length = data?.len();
        body.flow_control().release_capacity(length)?;
    }
    let trailers = body.trailers().await?;
    Ok(trailers.as_ref().and_then(code).or(at_once).unwrap_or(UNKNOWN))
}

async fn ready(sender: &mut SendRequest<Bytes>) -> Result<(), h2::Error> {
    std::future::poll_fn(|context| sender.poll_ready(context)).await
}

fn code(headers: &HeaderMap) -> Option<u32> {
    headers.get("grpc-status")?.to_str().ok()?.parse().ok()
}
