//! The words with which HTTP/2 begins, within a time: the server waits for them without end otherwise, its keepalive begins
//! only after them, and a connection that says nothing would keep its place among the callers for ever.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use crate::listen::Io;

/// Bytes of the client's preface, RFC 9113 section 3.4.
const LENGTH: usize = 24;

/// A connection that fails when as many bytes as the preface has do not come in time.
#[derive(Debug)]
pub struct Prefaced<I> {
    io: I,
    missing: usize,
    /// `None` once nothing is missing.
    time: Option<Pin<Box<Sleep>>>,
}

impl<I> Prefaced<I> {
    /// The preface must come within `time` from now.
    pub fn within(time: Duration, io: I) -> Self {
        Self { io, missing: LENGTH, time: Some(Box::pin(sleep(time))) }
    }
}

impl<I: Io> AsyncRead for Prefaced<I> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.io).poll_read(cx, buffer);
        let Some(time) = &mut this.time else { return read };
        if read.is_pending() {
            return time.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()));
        }
        this.missing = this.missing.saturating_sub(buffer.filled().len() - before);
        if this.missing == 0 {
            this.time = None;
        }
        read
    }
}

impl<I: Io> AsyncWrite for Prefaced<I> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::timeout;

    use crate::fuzzing::Router;

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_never_begins_is_closed() {
        let router = Router::of(json!({"metadata": {"name": "w"}, "spec": {"model": {"name": "m"}}}));
        for said in [&b""[..], b"PRI * HTTP/2.0\r\n"] {
            let (mut near, far) = duplex(1024);
            near.write_all(said).await.unwrap();
            timeout(Duration::from_secs(60), router.grpc(far)).await.unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_has_begun_stays() {
        let router = Router::of(json!({"metadata": {"name": "w"}, "spec": {"model": {"name": "m"}}}));
        let (mut near, far) = duplex(1024);
        let begun = async {
            near.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
            near.read_u8().await.unwrap()
        };
        tokio::select! {
            () = router.grpc(far) => panic!("it is closed"),
            () = async { begun.await; tokio::time::sleep(Duration::from_secs(60)).await } => {}
        }
    }
}
