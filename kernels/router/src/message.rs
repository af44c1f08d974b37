//! As much of protobuf and of gRPC's framing as routing needs; messages otherwise pass as opaque bytes.

use bytes::{BufMut, Bytes, BytesMut};

use crate::body::Chunks;

/// Names that a message may give itself before the one that counts, the last: a body full of them would take a second to walk.
const REPEATED: usize = 64;
/// Longest model name or version that is read out of a message.
const NAME_LIMIT: u64 = 1024;

const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const DELIMITED: u64 = 2;
const FIXED32: u64 = 5;

/// A message that is not protobuf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotProtobuf;

struct Reader<'a> {
    pieces: Vec<&'a [u8]>,
    piece: usize,
    offset: usize,
    left: u64,
}

impl<'a> Reader<'a> {
    fn new(message: &'a Chunks) -> Self {
        let pieces = message.pieces().map(|piece| &piece[..]).collect();
        Self { pieces, piece: 0, offset: 0, left: message.len() as u64 }
    }

    fn byte(&mut self) -> Result<u8, NotProtobuf> {
        while let Some(piece) = self.pieces.get(self.piece) {
            if let Some(byte) = piece.get(self.offset) {
                self.offset += 1;
                self.left -= 1;
                return Ok(*byte);
            }
            self.piece += 1;
            self.offset = 0;
        }
        Err(NotProtobuf)
    }

    fn varint(&mut self) -> Result<u64, NotProtobuf> {
        let mut value = 0;
        for shift in (0..70).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(NotProtobuf)
    }

    fn skip(&mut self, count: u64) -> Result<(), NotProtobuf> {
        if count > self.left {
            return Err(NotProtobuf);
        }
        self.left -= count;
        let mut count = usize::try_from(count).map_err(|_| NotProtobuf)?;
        while count > 0 {
            let here = self.pieces.get(self.piece).ok_or(NotProtobuf)?.len() - self.offset;
            let step = here.min(count);
            self.offset += step;
            count -= step;
            if step == here {
                self.piece += 1;
                self.offset = 0;
            }
        }
        Ok(())
    }

    fn text(&mut self, length: u64) -> Result<String, NotProtobuf> {
        if length > self.left.min(NAME_LIMIT) {
            return Err(NotProtobuf);
        }
        let bytes: Result<Vec<u8>, NotProtobuf> = (0..length).map(|_| self.byte()).collect();
        String::from_utf8(bytes?).map_err(|_| NotProtobuf)
    }
}

/// Walks the top level of a message; gives the last text of each wanted field (`""` where absent).
fn texts<const N: usize>(message: &Chunks, fields: [u64; N], whole: bool) -> Result<[String; N], NotProtobuf> {
    let mut reader = Reader::new(message);
    let mut found: [String; N] = std::array::from_fn(|_| String::new());
    let mut named = 0;
    while reader.left > 0 {
        let tag = reader.varint()?;
        let (field, kind) = (tag >> 3, tag & 7);
        if field == 0 {
            return Err(NotProtobuf);
        }
        match kind {
            VARINT => drop(reader.varint()?),
            FIXED64 => reader.skip(8)?,
            FIXED32 => reader.skip(4)?,
            DELIMITED => {
                let length = reader.varint()?;
                match fields.iter().position(|wanted| *wanted == field) {
                    Some(_) if named == REPEATED => return Err(NotProtobuf),
                    Some(index) => {
                        named += 1;
                        found[index] = reader.text(length)?;
                    }
                    None => reader.skip(length)?,
                }
            }
            _ => return Err(NotProtobuf),
        }
        // Writers put fields in order, so that large tensors after the names need not be walked for routing.
        if !whole && field > fields.into_iter().max().unwrap_or(0) {
            break;
        }
    }
    Ok(found)
}

/// Model name and version of any request of KServe v2 (fields 1 and 2).
pub fn model_and_version(request: &Chunks) -> Result<[String; 2], NotProtobuf> {
    texts(request, [1, 2], false)
}

/// Whether a `ModelInferResponse` is well-formed at its top level and names a model.
pub fn is_infer_response(response: &Chunks) -> bool {
    texts(response, [1], true).is_ok_and(|[model]| !model.is_empty())
}

/// What is wrong with a gRPC frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadFrame {
    /// Not one whole frame.
    Length,
    /// Compressed.
    Compressed,
}

/// Takes one message out of its frame, which must be all of `body`.
pub fn unframe(mut body: Chunks) -> Result<Chunks, BadFrame> {
    let message = next_frame(&mut body)?.ok_or(BadFrame::Length)?;
    if body.len() == 0 { Ok(message) } else { Err(BadFrame::Length) }
}

/// Takes the next whole message off `body`; `None` while it is incomplete.
pub fn next_frame(body: &mut Chunks) -> Result<Option<Chunks>, BadFrame> {
    let head = body.head(5);
    if head.len() < 5 {
        return Ok(None);
    }
    if head[0] != 0 {
        return Err(BadFrame::Compressed);
    }
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
    if body.len() - 5 < length {
        return Ok(None);
    }
    body.split_to(5);
    Ok(Some(body.split_to(length)))
}

/// The length that the frame at the front of `body` announces.
pub fn announced(body: &Chunks) -> usize {
    let head = body.head(5);
    if head.len() < 5 { 0 } else { u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize }
}

/// Puts a message into a frame.
pub fn frame(mut message: Chunks) -> Chunks {
    let mut head = BytesMut::with_capacity(5);
    head.put_u8(0);
    // A body is at most `max_body` bytes, far below 4 GiB.
    head.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    message.prepend(head.freeze());
    message
}

/// Writes protobuf messages, field by field.
#[derive(Debug, Default)]
pub struct Writer(BytesMut);

impl Writer {
    fn varint(&mut self, mut value: u64) {
        loop {
            let low = value.to_le_bytes()[0] & 0x7f;
            value >>= 7;
            if value == 0 {
                return self.0.put_u8(low);
            }
            self.0.put_u8(low | 0x80);
        }
    }

    /// A string, bytes or a message.
    pub fn bytes(mut self, field: u64, value: &[u8]) -> Self {
        self.varint(field << 3 | DELIMITED);
        self.varint(value.len() as u64);
        self.0.put_slice(value);
        self
    }

    /// A list of integers, packed.
    pub fn packed(self, field: u64, values: &[i64]) -> Self {
        let mut list = Self::default();
        for value in values {
            list.varint(value.cast_unsigned());
        }
        self.bytes(field, &list.0)
    }

    /// A truth; false is protobuf's default and is not written.
    pub fn truth(mut self, field: u64, value: bool) -> Self {
        if value {
            self.varint(field << 3 | VARINT);
            self.varint(1);
        }
        self
    }

    /// The tag and length of a message that follows.
    pub fn announce(mut self, field: u64, length: usize) -> Self {
        self.varint(field << 3 | DELIMITED);
        self.varint(length as u64);
        self
    }

    /// The message.
    pub fn done(self) -> Bytes {
        self.0.freeze()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{BadFrame, NotProtobuf, Writer, frame, is_infer_response, model_and_version, next_frame, unframe};
    use crate::body::Chunks;

    fn split(bytes: &Bytes, at: usize) -> Chunks {
        let mut chunks = Chunks::from(bytes.slice(..at));
        chunks.push(bytes.slice(at..));
        chunks
    }

    #[test]
    fn names_are_read_across_pieces() {
        let message = Writer::default().bytes(1, b"sign-reader").bytes(2, b"7").bytes(5, &[9; 400]).done();
        for at in 0..message.len() {
            let read = model_and_version(&split(&message, at)).unwrap();
            assert_eq!(read, ["sign-reader".to_owned(), "7".to_owned()]);
        }
    }

    #[test]
    fn no_version_is_empty_text() {
        let message = Writer::default().bytes(1, b"m").bytes(3, b"id").done();
        assert_eq!(model_and_version(&message.into()).unwrap(), ["m", ""]);
        assert_eq!(model_and_version(&Chunks::default()).unwrap(), ["", ""]);
    }

    #[test]
    fn garbage_is_not_protobuf() {
        for garbage in [&b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"[..], b"\x0a\x7fab", b"<html>", b"\x00"] {
            assert_eq!(model_and_version(&Bytes::copy_from_slice(garbage).into()), Err(NotProtobuf), "{garbage:?}");
            assert!(!is_infer_response(&Bytes::copy_from_slice(garbage).into()));
        }
    }

    #[test]
    fn a_message_that_names_itself_again_and_again_is_not_walked() {
        let repeated = |count| Bytes::from(b"\x0a\x01m".repeat(count));
        assert_eq!(model_and_version(&repeated(2).into()).unwrap(), ["m", ""]);
        assert_eq!(model_and_version(&repeated(1 << 20).into()), Err(NotProtobuf));
    }

    #[test]
    fn an_answer_names_its_model_and_is_whole() {
        let whole = Writer::default().bytes(1, b"m").packed(9, &[1, -1]).bytes(6, &[0; 300]).done();
        assert!(is_infer_response(&split(&whole, 7)));
        assert!(!is_infer_response(&whole.slice(..whole.len() - 1).into()));
        assert!(!is_infer_response(&Chunks::default()));
    }

    #[test]
    fn frames_hold_one_message() {
        let framed = frame(Bytes::from_static(b"abc").into());
        assert_eq!(framed.len(), 8);
        assert_eq!(unframe(framed.clone()).unwrap().len(), 3);
        let mut two = framed.clone();
        two.push(Bytes::from_static(b"\0\0\0\0\x01x"));
        assert_eq!(unframe(two.clone()).unwrap_err(), BadFrame::Length);
        assert_eq!(next_frame(&mut two).unwrap().unwrap().len(), 3);
        assert_eq!(next_frame(&mut two).unwrap().unwrap().len(), 1);
        assert!(next_frame(&mut two).unwrap().is_none());
        assert_eq!(unframe(Bytes::from_static(b"\x01\0\0\0\0").into()).unwrap_err(), BadFrame::Compressed);
    }

    #[test]
    fn negative_shapes_survive() {
        let packed = Writer::default().packed(3, &[-1]).done();
        assert_eq!(&packed[..], b"\x1a\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01");
    }
}
