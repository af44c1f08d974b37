//! Bodies: gathered once as the pieces that came, cheap to send again, never copied into one buffer.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::errors::Refusal;

/// Bodies up to this size are not counted against the memory for bodies: connections bound their number.
const SMALL: usize = 256 << 10;
/// Pieces that are no longer than this together are joined as they come.
const SHORT: usize = 4 << 10;

/// The pieces of a body, and trailers after them.
#[derive(Clone, Debug, Default)]
pub struct Chunks {
    pieces: VecDeque<Bytes>,
    length: usize,
    trailers: Option<HeaderMap>,
}

impl Chunks {
    /// Adds a piece.
    pub fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.length += piece.len();
            self.pieces.push_back(piece);
        }
    }

    /// Adds a piece as it came over a connection. Short ones are joined, so that a body in chunks of one byte each, which
    /// anybody can send, takes little more memory than its bytes.
    pub fn receive(&mut self, piece: Bytes) {
        match self.pieces.back_mut() {
            Some(last) if last.len() + piece.len() <= SHORT => {
                self.length += piece.len();
                *last = join(std::mem::take(last), &piece);
            }
            _ => self.push(piece),
        }
    }

    /// Adds trailers, sent after the last piece.
    pub fn with_trailers(mut self, trailers: HeaderMap) -> Self {
        self.trailers = Some(trailers);
        self
    }

    /// The trailers.
    pub const fn trailers(&self) -> Option<&HeaderMap> {
        self.trailers.as_ref()
    }

    /// Takes the trailers off.
    pub const fn take_trailers(&mut self) -> Option<HeaderMap> {
        self.trailers.take()
    }

    /// Bytes in all pieces.
    pub const fn len(&self) -> usize {
        self.length
    }

    /// The pieces in order.
    pub fn pieces(&self) -> impl Iterator<Item = &Bytes> {
        self.pieces.iter()
    }

    /// The first byte.
    pub fn first(&self) -> Option<u8> {
        self.pieces.front().and_then(|piece| piece.first().copied())
    }

    /// The last of the first `count` bytes that is no white space.
    pub fn last_visible(&self, count: usize) -> Option<u8> {
        let mut before = self.length;
        self.pieces.iter().rev().find_map(|piece| {
            before -= piece.len();
            let part = &piece[..count.saturating_sub(before).min(piece.len())];
            part.iter().rev().find(|byte| !byte.is_ascii_whitespace()).copied()
        })
    }

    /// The first `count` bytes as one slice; fewer if there are fewer.
    pub fn head(&self, count: usize) -> Bytes {
        match self.pieces.front() {
            Some(piece) if piece.len() >= count => piece.slice(..count),
            Some(piece) if self.pieces.len() == 1 => piece.clone(),
            _ => {
                let mut head = BytesMut::with_capacity(count.min(self.length));
                for piece in &self.pieces {
                    let missing = count - head.len();
                    head.extend_from_slice(&piece[..missing.min(piece.len())]);
                }
                head.freeze()
            }
        }
    }

    /// Takes the first `count` bytes off, without copying; fewer if there are fewer.
    pub fn split_to(&mut self, mut count: usize) -> Self {
        let mut taken = Self::default();
        while count > 0 {
            let Some(mut piece) = self.pieces.pop_front() else { break };
            let part = piece.split_to(count.min(piece.len()));
            count -= part.len();
            self.length -= part.len();
            taken.push(part);
            if !piece.is_empty() {
                self.pieces.push_front(piece);
            }
        }
        taken
    }

    /// Puts a piece before all others.
    pub fn prepend(&mut self, piece: Bytes) {
        self.length += piece.len();
        self.pieces.push_front(piece);
    }
}

/// Appends in place where the first is nobody else's.
fn join(first: Bytes, second: &[u8]) -> Bytes {
    let mut joined = first.try_into_mut().unwrap_or_else(|first| {
        let mut joined = BytesMut::with_capacity(SHORT);
        joined.extend_from_slice(&first);
        joined
    });
    joined.extend_from_slice(second);
    joined.freeze()
}

impl From<Bytes> for Chunks {
    fn from(piece: Bytes) -> Self {
        let mut chunks = Self::default();
        chunks.push(piece);
        chunks
    }
}

impl From<String> for Chunks {
    fn from(text: String) -> Self {
        Self::from(Bytes::from(text))
    }
}

impl Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(piece) = self.pieces.pop_front() {
            self.length -= piece.len();
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty() && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length as u64)
    }
}

/// The body of an answer: all there, or coming frame by frame.
#[derive(Debug)]
pub enum Reply {
    /// All there.
    Whole(Chunks),
    /// Frames that a task sends.
    Stream(mpsc::Receiver<Frame<Bytes>>),
}

impl From<Chunks> for Reply {
    fn from(chunks: Chunks) -> Self {
        Self::Whole(chunks)
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Whole(chunks) => Pin::new(chunks).poll_frame(cx),
            Self::Stream(frames) => frames.poll_recv(cx).map(|frame| frame.map(Ok)),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(chunks) => chunks.is_end_stream(),
            Self::Stream(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(chunks) => chunks.size_hint(),
            Self::Stream(_) => SizeHint::default(),
        }
    }
}

/// Why a body could not be gathered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// More than the limit.
    TooLarge,
    /// It broke off.
    Off,
}

/// Gathers a body of at most `limit` bytes.
pub async fn collect<B>(mut body: B, limit: usize) -> Result<Chunks, Broken>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut chunks = Chunks::default();
    if body.size_hint().lower() > limit as u64 {
        return Err(Broken::TooLarge);
    }
    while let Some(frame) = body.frame().await {
        match frame.map_err(|_| Broken::Off)?.into_data() {
            Ok(data) => {
                if chunks.len() + data.len() > limit {
                    return Err(Broken::TooLarge);
                }
                chunks.receive(data);
            }
            Err(frame) => chunks.trailers = frame.into_trailers().ok(),
        }
    }
    Ok(chunks)
}

/// Reads callers' bodies within a size, a time and a memory that all of them share.
#[derive(Debug)]
pub struct Intake {
    limit: usize,
    time: Duration,
    memory: Arc<Semaphore>,
    /// Bytes of one permit of `memory`.
    unit: usize,
}

/// A body in memory; the memory is given back when this is dropped.
#[derive(Debug)]
pub struct Gathered {
    /// The body.
    pub chunks: Chunks,
    _memory: Option<OwnedSemaphorePermit>,
}

impl Intake {
    /// Bodies of at most `limit` bytes within `time`; the larger ones share `memory` bytes.
    pub fn new(limit: usize, time: Duration, memory: usize) -> Self {
        let permits = (memory.max(limit) / SMALL).min(Semaphore::MAX_PERMITS);
        Self { limit, time, memory: Arc::new(Semaphore::new(permits)), unit: SMALL }
    }

    /// The largest body in bytes.
    pub const fn limit(&self) -> usize {
        self.limit
    }

    /// Gathers one body.
    pub async fn gather<B>(&self, body: B) -> Result<Gathered, Refusal>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let hint = body.size_hint();
        if hint.lower() > self.limit as u64 {
            return Err(Refusal::TooLarge(self.limit));
        }
        if body.is_end_stream() {
            return Ok(Gathered { chunks: Chunks::default(), _memory: None });
        }
        let gathering = async {
            let expected = hint.exact().map_or(self.limit, |exact| usize::try_from(exact).unwrap_or(self.limit));
            let memory = self.reserve(expected).await?;
            let chunks = collect(body, self.limit).await.map_err(|broken| match broken {
                Broken::TooLarge => Refusal::TooLarge(self.limit),
                Broken::Off => Refusal::BrokenBody("its body broke off"),
            })?;
            Ok(Gathered { chunks, _memory: memory })
        };
        tokio::time::timeout(self.time, gathering).await.unwrap_or(Err(Refusal::TooSlow(self.time)))
    }

    async fn reserve(&self, bytes: usize) -> Result<Option<OwnedSemaphorePermit>, Refusal> {
        if bytes <= SMALL {
            return Ok(None);
        }
        let permits = u32::try_from(bytes / self.unit).unwrap_or(u32::MAX);
        let reserved = self.memory.clone().acquire_many_owned(permits).await;
        reserved.map(Some).map_err(|_| Refusal::BrokenBody("the router is stopping"))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use http_body::Body;

    use super::{Broken, Chunks, Intake, Reply, SHORT, collect};
    use crate::errors::Refusal;

    fn chunks(pieces: &[&'static str]) -> Chunks {
        let mut chunks = Chunks::default();
        for piece in pieces {
            chunks.push(Bytes::from_static(piece.as_bytes()));
        }
        chunks
    }

    fn text(chunks: &Chunks) -> String {
        chunks.pieces().map(|piece| String::from_utf8(piece.to_vec()).unwrap()).collect()
    }

    #[test]
    fn pieces_read_as_one() {
        let body = chunks(&["ab", "", "cde"]);
        assert_eq!(body.len(), 5);
        assert_eq!(&body.head(3)[..], b"abc");
        assert_eq!(&body.head(9)[..], b"abcde");
        assert_eq!(&body.head(1)[..], b"a");
    }

    #[test]
    fn the_last_visible_byte_is_found_across_pieces() {
        let body = chunks(&["{a", "b} ", "  ", "x"]);
        for (count, last) in [(9, b'x'), (7, b'}'), (4, b'}'), (3, b'b'), (1, b'{')] {
            assert_eq!(body.last_visible(count), Some(last), "{count}");
        }
        assert_eq!(body.last_visible(0), None);
    }

    #[tokio::test]
    async fn a_body_of_tiny_chunks_is_no_heap_of_pieces() {
        let sent = vec![b'a'; 1 << 20];
        // As one read of a connection yields them: slices of one buffer.
        let read = Bytes::from(sent.clone());
        let mut tiny = Chunks::default();
        (0..read.len()).for_each(|at| tiny.push(read.slice(at..=at)));
        let body = collect(tiny, 1 << 20).await.unwrap();
        assert_eq!(body.head(body.len()), sent);
        assert!(body.pieces().count() <= 2 * sent.len() / SHORT + 1, "{} pieces", body.pieces().count());
    }

    #[test]
    fn splitting_crosses_pieces() {
        let mut body = chunks(&["ab", "cde"]);
        assert_eq!(text(&body.split_to(3)), "abc");
        assert_eq!((text(&body), body.len()), ("de".to_owned(), 2));
        body.prepend(Bytes::from_static(b"x"));
        assert_eq!((text(&body), body.len()), ("xde".to_owned(), 3));
        assert_eq!(body.split_to(9).len(), 3);
    }

    #[tokio::test]
    async fn a_body_over_the_limit_is_refused() {
        assert_eq!(collect(chunks(&["abc", "def"]), 5).await.unwrap_err(), Broken::TooLarge);
        assert_eq!(text(&collect(chunks(&["abc", "def"]), 6).await.unwrap()), "abcdef");
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_never_ends_is_given_up() {
        let (_sender, frames) = tokio::sync::mpsc::channel(1);
        let intake = Intake::new(1 << 20, Duration::from_secs(30), 1 << 20);
        let refused = intake.gather(Reply::Stream(frames)).await.unwrap_err();
        assert_eq!(refused, Refusal::TooSlow(Duration::from_secs(30)));
    }

    #[tokio::test(start_paused = true)]
    async fn large_bodies_share_memory() {
        let intake = Intake::new(1 << 20, Duration::from_secs(30), 1 << 20);
        let large = || Chunks::from(Bytes::from(vec![0; 1 << 20]));
        let first = intake.gather(large()).await.unwrap();
        assert!(matches!(intake.gather(large()).await, Err(Refusal::TooSlow(_))));
        assert!(intake.gather(chunks(&["small"])).await.is_ok());
        drop(first);
        assert!(intake.gather(large()).await.is_ok());
    }

    #[test]
    fn the_length_is_announced() {
        assert_eq!(chunks(&["ab", "c"]).size_hint().exact(), Some(3));
    }
}
