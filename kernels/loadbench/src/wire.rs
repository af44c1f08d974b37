//! As much HTTP/1.1 as callers, an upstream and cars need: heads are read, bodies are counted and thrown away.

use std::io::{Error, ErrorKind, Result};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

const MOST_HEADERS: usize = 32;
/// A head is read in pieces of this size, a body in larger ones.
const HEAD_PIECE: usize = 4 << 10;
const BODY_PIECE: usize = 256 << 10;

/// One end of a connection.
#[derive(Debug)]
pub struct Wire<S> {
    /// The connection itself.
    pub stream: S,
    buffer: BytesMut,
}

/// What matters of a request's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestHead {
    /// A question about the server rather than an inference.
    pub is_get: bool,
    /// The body is a bare gRPC message.
    pub is_message: bool,
    /// Bytes of the body.
    pub length: usize,
}

/// What matters of an answer's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerHead {
    /// The HTTP status.
    pub status: u16,
    /// Bytes of the body.
    pub length: usize,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// Over a connection on which nothing was read yet.
    pub fn new(stream: S) -> Self {
        Self { stream, buffer: BytesMut::new() }
    }

    /// Sends a whole message.
    pub async fn send(&mut self, message: &[u8]) -> Result<()> {
        self.stream.write_all(message).await?;
        self.stream.flush().await
    }

    /// The next request, whose body is skipped; none at the end of the connection.
    pub async fn request(&mut self) -> Result<Option<RequestHead>> {
        loop {
            if let Some((used, head)) = read_request(&self.buffer)? {
                self.buffer.advance(used);
                self.skip(head.length).await?;
                return Ok(Some(head));
            }
            if self.fill(HEAD_PIECE).await? == 0 {
                return if self.buffer.is_empty() { Ok(None) } else { Err(ErrorKind::UnexpectedEof.into()) };
            }
        }
    }

    /// The next answer, whose body is skipped.
    pub async fn answer(&mut self) -> Result<AnswerHead> {
        loop {
            if let Some((used, head)) = read_answer(&self.buffer)? {
                self.buffer.advance(used);
                self.skip(head.length).await?;
                return Ok(head);
            }
            if self.fill(HEAD_PIECE).await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }

    async fn skip(&mut self, mut left: usize) -> Result<()> {
        loop {
            let here = left.min(self.buffer.len());
            self.buffer.advance(here);
            left -= here;
            if left == 0 {
                return Ok(());
            }
            if self.fill(left.clamp(HEAD_PIECE, BODY_PIECE)).await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }

    async fn fill(&mut self, piece: usize) -> Result<usize> {
        self.buffer.reserve(piece);
        self.stream.read_buf(&mut self.buffer).await
    }
}

fn read_request(bytes: &[u8]) -> Result<Option<(usize, RequestHead)>> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(used) = request.parse(bytes).map_err(not_http)? else { return Ok(None) };
    let is_message = find(request.headers, "content-type").is_some_and(|value| value == b"application/grpc+proto");
    let is_get = request.method == Some("GET");
    let length = length(request.headers)?.unwrap_or_default();
    Ok(Some((used, RequestHead { is_get, is_message, length })))
}

fn read_answer(bytes: &[u8]) -> Result<Option<(usize, AnswerHead)>> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut answer = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(used) = answer.parse(bytes).map_err(not_http)? else { return Ok(None) };
    let status = answer.code.unwrap_or_default();
    let length = match length(answer.headers)? {
        Some(length) => length,
        None if status == 101 => 0,
        None => return Err(Error::new(ErrorKind::InvalidData, "the answer has no Content-Length")),
    };
    Ok(Some((used, AnswerHead { status, length })))
}

fn not_http(error: httparse::Error) -> Error {
    Error::new(ErrorKind::InvalidData, error)
}

fn find<'a>(headers: &[httparse::Header<'a>], name: &str) -> Option<&'a [u8]> {
    headers.iter().find(|header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value)
}

fn length(headers: &[httparse::Header<'_>]) -> Result<Option<usize>> {
    let Some(value) = find(headers, "content-length") else { return Ok(None) };
    let number = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
    number.map(Some).ok_or_else(|| Error::new(ErrorKind::InvalidData, "the Content-Length is no number"))
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::{AnswerHead, Wire};
    use crate::payload::{http_answer, http_request};

    #[tokio::test]
    async fn messages_follow_one_another_in_any_pieces() {
        let (near, mut far) = tokio::io::duplex(7);
        let sent = [http_request("m", "h", 16), http_request("m", "h", 5_000)].concat();
        let sending = tokio::spawn(async move { far.write_all(&sent).await });
        let mut wire = Wire::new(near);
        assert_eq!(wire.request().await.unwrap().unwrap().length, 16);
        assert_eq!(wire.request().await.unwrap().unwrap().length, 5_000);
        assert!(wire.request().await.unwrap().is_none());
        sending.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn an_answer_that_breaks_off_is_an_error() {
        let (near, mut far) = tokio::io::duplex(8 << 10);
        let whole = http_answer(600);
        far.write_all(&whole).await.unwrap();
        far.write_all(&whole[..whole.len() - 1]).await.unwrap();
        drop(far);
        let mut wire = Wire::new(near);
        assert_eq!(wire.answer().await.unwrap(), AnswerHead { status: 200, length: 600 });
        assert!(wire.answer().await.is_err());
    }
}
