//! Requests and answers of a given size that routers accept as KServe v2: JSON or binary tensors, HTTP or gRPC.

use std::fmt::Write;

use bytes::{BufMut, Bytes, BytesMut};

/// Bodies from this size on are a binary tensor behind a JSON part.
const BINARY_FROM: usize = 512;
/// Bytes of that JSON part, blanks included.
const JSON_PART: usize = 192;
/// `raw_input_contents` of `ModelInferRequest`, and `raw_output_contents` of `ModelInferResponse`.
const RAW_INPUT: u8 = 7;
const RAW_OUTPUT: u8 = 6;

/// A whole HTTP/1.1 request with a body of `size` bytes.
pub fn http_request(model: &str, host: &str, size: usize) -> Bytes {
    with_head(&format!("POST /v2/models/{model}/infer HTTP/1.1\r\nHost: {host}\r\n"), "inputs", size)
}

/// A whole HTTP/1.1 answer with a body of `size` bytes.
pub fn http_answer(size: usize) -> Bytes {
    with_head("HTTP/1.1 200 OK\r\n", "outputs", size)
}

/// A bare message as a whole HTTP/1.1 answer, as cars answer gRPC.
pub fn http_message_answer(size: usize) -> Bytes {
    let message = message("bench", RAW_OUTPUT, size);
    let head =
        format!("HTTP/1.1 200 OK\r\nContent-Type: application/grpc+proto\r\nContent-Length: {}\r\n\r\n", message.len());
    [head.as_bytes(), &message].concat().into()
}

/// One gRPC frame with a `ModelInferRequest` of about `size` bytes.
pub fn grpc_request(model: &str, size: usize) -> Bytes {
    frame(&message(model, RAW_INPUT, size))
}

/// One gRPC frame with a `ModelInferResponse` of about `size` bytes.
pub fn grpc_answer(size: usize) -> Bytes {
    frame(&message("bench", RAW_OUTPUT, size))
}

fn with_head(start: &str, tensors: &str, size: usize) -> Bytes {
    let mut head = start.to_owned();
    let (kind, length) = if size < BINARY_FROM {
        ("json", String::new())
    } else {
        ("octet-stream", format!("Inference-Header-Content-Length: {JSON_PART}\r\n"))
    };
    let body = body(tensors, size);
    let _ = write!(head, "Content-Type: application/{kind}\r\n{length}Content-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), &body].concat().into()
}

/// `size` bytes, at least those of an empty list of tensors.
fn body(tensors: &str, size: usize) -> Vec<u8> {
    let mut body = if size < BINARY_FROM {
        format!("{{\"{tensors}\":[]}}").into_bytes()
    } else {
        let raw = size - JSON_PART;
        format!(
            "{{\"{tensors}\":[{{\"name\":\"x\",\"datatype\":\"UINT8\",\"shape\":[{raw}],\
             \"parameters\":{{\"binary_data_size\":{raw}}}}}]}}"
        )
        .into_bytes()
    };
    if size >= BINARY_FROM {
        body.resize(JSON_PART, b' ');
        body.resize(size, 0);
    }
    while body.len() < size {
        body.push(b' ');
    }
    body
}

fn message(model: &str, raw_field: u8, size: usize) -> Vec<u8> {
    let mut message = Vec::with_capacity(size + 16);
    field(&mut message, 1, model.as_bytes());
    let left = size.saturating_sub(message.len() + 1);
    let raw = left.saturating_sub(varint(left).len());
    field(&mut message, raw_field, &vec![0; raw]);
    message
}

fn field(message: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    const LENGTH_DELIMITED: u8 = 2;
    message.push(number << 3 | LENGTH_DELIMITED);
    message.extend(varint(bytes.len()));
    message.extend_from_slice(bytes);
}

fn varint(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(value & 0x7f).unwrap_or_default();
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

fn frame(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(message.len() + 5);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    frame.put_slice(message);
    frame.freeze()
}

/// The last answer made, since most have one size.
#[derive(Debug)]
pub struct Answers {
    fixed: Option<usize>,
    made: Option<(usize, Bytes)>,
    make: fn(usize) -> Bytes,
}

impl Answers {
    /// Answers of `fixed` bytes, or as large as the question.
    pub const fn new(fixed: Option<usize>, make: fn(usize) -> Bytes) -> Self {
        Self { fixed, made: None, make }
    }

    /// The answer to a question of `asked` bytes.
    pub fn to(&mut self, asked: usize) -> Bytes {
        let size = self.fixed.unwrap_or(asked);
        match &self.made {
            Some((known, answer)) if *known == size => answer.clone(),
            _ => self.made.insert((size, (self.make)(size))).1.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Answers, grpc_request, http_answer, http_request};

    fn body(whole: &[u8]) -> &[u8] {
        let end = whole.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
        &whole[end + 4..]
    }

    #[test]
    fn bodies_have_their_size_and_their_json_parses() {
        for size in [16, 500, 512, 4_096, 225_280] {
            for whole in [http_request("m", "h", size), http_answer(size)] {
                let body = body(&whole);
                assert_eq!(body.len(), size);
                let json = if size < 512 { body } else { &body[..192] };
                assert!(serde_json::from_slice::<serde_json::Value>(json).is_ok(), "{size}");
            }
        }
    }

    #[test]
    fn messages_have_their_size_within_a_byte() {
        for size in [16, 127, 200, 16_384, 225_280] {
            let length = grpc_request("bench", size).len() - 5;
            assert!((size - 1..=size).contains(&length), "{size} {length}");
        }
    }

    #[test]
    fn answers_are_fixed_or_as_large_as_the_question() {
        assert_eq!(body(&Answers::new(Some(64), http_answer).to(999)).len(), 64);
        let mut echo = Answers::new(None, http_answer);
        assert_eq!(body(&echo.to(999)).len(), 999);
        assert_eq!(body(&echo.to(20)).len(), 20);
    }
}
