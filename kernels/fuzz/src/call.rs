//! Calls over gRPC by a real HTTP/2 client, with whatever metadata and bytes.

use bytes::{Buf, Bytes};
use h2::client::{ResponseFuture, SendRequest, handshake};
use h2::{Reason, RecvStream, SendStream};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Request, StatusCode};
use tokio::io::DuplexStream;

use crate::wire::{Script, line};

/// The path of inference.
pub const INFER: &str = "/inference.GRPCInferenceService/ModelInfer";
/// The largest status of gRPC.
const LAST_CODE: u32 = 16;

/// What is called, and how the caller behaves.
pub struct Call {
    request: Request<()>,
    pieces: Vec<Bytes>,
    /// It leaves before it has said all.
    leaves: bool,
    /// Its words are followed by trailers, which callers have no use for.
    trailers: bool,
}

/// How a call ended.
#[derive(Debug)]
pub struct Called {
    /// The status of gRPC.
    pub code: u32,
    /// The messages out of their frames.
    pub messages: Vec<Vec<u8>>,
}

impl Call {
    /// A call of `path` with these bytes.
    ///
    /// # Panics
    /// The path is none.
    #[must_use]
    pub fn of(path: &str, body: &[u8]) -> Self {
        let uri = format!("http://router{path}");
        let request = Request::post(uri).body(()).expect("a path");
        let pieces = vec![Bytes::copy_from_slice(body)];
        Self {
            request,
            pieces,
            leaves: false,
            trailers: false,
        }
    }

    /// Path, metadata line by line, an empty line and the body; `f`: the body is a message without its frame, `s`: it comes in
    /// small pieces, `l`: the caller leaves, `t`: it sends trailers. `None` where HTTP/2 does not allow path or metadata.
    #[must_use]
    pub fn read(script: &Script<'_>) -> Option<Self> {
        let (path, mut rest) = line(script.bytes);
        let path = std::str::from_utf8(path)
            .ok()
            .filter(|path| path.starts_with('/'))?;
        let mut request = Request::post(format!("http://router{path}"))
            .body(())
            .ok()?;
        loop {
            let (header, after) = line(rest);
            rest = after;
            if header.is_empty() {
                break;
            }
            let colon = header.iter().position(|byte| *byte == b':')?;
            let name = HeaderName::from_bytes(&header[..colon]).ok()?;
            request.headers_mut().append(
                name,
                HeaderValue::from_bytes(header[colon + 1..].trim_ascii()).ok()?,
            );
        }
        let mut body = Vec::new();
        if script.says(b'f') {
            body.push(0);
            body.extend(u32::try_from(rest.len()).ok()?.to_be_bytes());
        }
        body.extend(rest);
        let size = if script.says(b's') {
            3
        } else {
            body.len().max(1)
        };
        let pieces = body.chunks(size).map(Bytes::copy_from_slice).collect();
        Some(Self {
            request,
            pieces,
            leaves: script.says(b'l'),
            trailers: script.says(b't'),
        })
    }

    /// The path.
    #[must_use]
    pub fn path(&self) -> &str {
        self.request.uri().path()
    }

    /// Calls, and hears all of the answer; `None` if the caller left, or HTTP/2 forbids what it sends.
    ///
    /// # Panics
    /// When there is no answer, or it is not gRPC.
    pub async fn on(self, io: DuplexStream) -> Option<Called> {
        let (client, connection) = handshake(io).await.expect("the router speaks HTTP/2");
        // Ends when the client is dropped.
        let driver = tokio::spawn(connection);
        let called = self.send(client).await;
        let _ = driver.await.expect("the driver does not break");
        called
    }

    async fn send(self, client: SendRequest<Bytes>) -> Option<Called> {
        let mut client = client.ready().await.expect("the connection is new");
        let Ok((response, mut stream)) = client.send_request(self.request, false) else {
            return None;
        };
        for piece in self.pieces {
            // The router may have answered and want no more.
            let _ = stream.send_data(piece, false);
        }
        if self.leaves {
            tokio::task::yield_now().await;
            stream.send_reset(Reason::CANCEL);
            return None;
        }
        let _ = end(&mut stream, self.trailers);
        drop(client);
        hear(response).await
    }
}

fn end(stream: &mut SendStream<Bytes>, trailers: bool) -> Result<(), h2::Error> {
    if !trailers {
        return stream.send_data(Bytes::new(), true);
    }
    let mut named = HeaderMap::new();
    named.insert("grpc-status", HeaderValue::from_static("0"));
    stream.send_trailers(named)
}

async fn hear(response: ResponseFuture) -> Option<Called> {
    let response = match response.await {
        Ok(response) => response,
        // What HTTP/2 forbids, as Connection or a wrong Content-Length.
        Err(error) if error.is_reset() => return None,
        Err(error) => panic!("no answer: {error}"),
    };
    assert_eq!(response.status(), StatusCode::OK);
    let (head, mut body) = response.into_parts();
    let content = gather(&mut body).await;
    let trailers = body
        .trailers()
        .await
        .expect("an answer ends")
        .unwrap_or_default();
    let code = |headers: &HeaderMap| {
        headers
            .get("grpc-status")?
            .to_str()
            .ok()?
            .parse::<u32>()
            .ok()
    };
    let code = code(&head.headers)
        .or_else(|| code(&trailers))
        .expect("a call has a status");
    assert!(code <= LAST_CODE, "{code} is no status of gRPC");
    Some(Called {
        code,
        messages: messages(content),
    })
}

async fn gather(body: &mut RecvStream) -> Vec<u8> {
    let mut content = Vec::new();
    while let Some(data) = body.data().await {
        let data = data.expect("an answer ends");
        let _ = body.flow_control().release_capacity(data.len());
        content.extend(data);
    }
    content
}

fn messages(content: Vec<u8>) -> Vec<Vec<u8>> {
    let mut content = Bytes::from(content);
    let mut messages = Vec::new();
    while content.has_remaining() {
        assert!(content.remaining() >= 5, "a frame breaks off");
        assert_eq!(content.get_u8(), 0, "nobody asked for compression");
        let length = content.get_u32() as usize;
        assert!(content.remaining() >= length, "a message breaks off");
        messages.push(content.split_to(length).to_vec());
    }
    messages
}
