//! One caller over HTTP/1.1, who keeps a connection for as long as it lasts.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpStream;

use super::Run;
use crate::payload::http_request;
use crate::wire::Wire;

/// Time for the first connection.
const DIAL: Duration = Duration::from_secs(2);

/// Asks until the run is over.
pub async fn ask(run: Rc<Run>, target: &str) {
    let settings = &run.settings;
    let request = http_request(&settings.model, target, settings.bytes);
    // Dialled before the first request is due, so that no request waits for it; a full backlog is tried again with one.
    let mut kept = tokio::time::timeout(DIAL, dial(target)).await.ok().and_then(Result::ok);
    while let Some(due) = run.next().await {
        match run.bounded(exchange(target, &mut kept, &request)).await {
            Ok(200) => run.ended(due, Ok(())),
            Ok(status) => run.ended(due, Err(format!("status {status}"))),
            Err(kind) => {
                kept = None;
                run.broke(due, kind).await;
            }
        }
    }
}

async fn dial(target: &str) -> std::io::Result<Wire<TcpStream>> {
    let stream = TcpStream::connect(target).await?;
    stream.set_nodelay(true)?;
    Ok(Wire::new(stream))
}

async fn exchange(target: &str, kept: &mut Option<Wire<TcpStream>>, request: &Bytes) -> std::io::Result<u16> {
    let wire = match kept {
        Some(wire) => wire,
        None => kept.insert(dial(target).await?),
    };
    wire.send(request).await?;
    Ok(wire.answer().await?.status)
}
