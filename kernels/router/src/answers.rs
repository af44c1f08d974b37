//! The tensors of an answer of KServe v2, out of JSON, its binary extension or protobuf, all as raw little-endian bytes.
//! Pure; for answers that are compared, not on the request path.

use std::collections::BTreeSet;
use std::fmt;

use bytes::{Buf, BufMut, Bytes};
use prost::Message;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// One output tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    /// Its name.
    pub name: String,
    /// The datatype as KServe v2 spells it.
    pub datatype: String,
    /// Its shape.
    pub shape: Vec<i64>,
    /// Elements in row-major order, little-endian; of `BYTES` each with its length before it, in four bytes.
    pub raw: Bytes,
}

/// An answer that is not KServe v2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable;

#[derive(Deserialize)]
struct JsonAnswer<'a> {
    #[serde(borrow)]
    outputs: Vec<JsonTensor<'a>>,
}

#[derive(Deserialize)]
struct JsonTensor<'a> {
    name: String,
    datatype: String,
    shape: Vec<i64>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
    #[serde(default)]
    parameters: Parameters,
}

#[derive(Deserialize, Default)]
struct Parameters {
    #[serde(default)]
    binary_data_size: Option<usize>,
}

/// Reads an answer over HTTP. Its first `json_length` bytes are JSON, and binary tensors follow.
///
/// # Errors
/// It is not KServe v2, names an output twice, or has an element that does not fit its datatype.
pub fn of_http(mut body: Bytes, json_length: usize) -> Result<Vec<Tensor>, Unreadable> {
    if json_length > body.len() {
        return Err(Unreadable);
    }
    let json = body.split_to(json_length);
    let answer: JsonAnswer = serde_json::from_slice(&json).map_err(|_| Unreadable)?;
    let mut tensors = Vec::with_capacity(answer.outputs.len());
    for output in answer.outputs {
        let raw = match (output.parameters.binary_data_size, output.data) {
            (Some(size), _) if size <= body.len() => body.split_to(size),
            (None, Some(data)) => packed(&output.datatype, data.get())?,
            _ => return Err(Unreadable),
        };
        tensors.push(Tensor { name: output.name, datatype: output.datatype, shape: output.shape, raw });
    }
    distinct(tensors)
}

/// The tensors, unless two of them have one name: nobody can say which is meant.
fn distinct(tensors: Vec<Tensor>) -> Result<Vec<Tensor>, Unreadable> {
    let names: BTreeSet<&str> = tensors.iter().map(|tensor| tensor.name.as_str()).collect();
    if names.len() == tensors.len() { Ok(tensors) } else { Err(Unreadable) }
}

/// JSON numbers, nested or flat, as raw bytes.
fn packed(datatype: &str, json: &str) -> Result<Bytes, Unreadable> {
    let mut raw = Vec::with_capacity(json.len());
    let mut reader = serde_json::Deserializer::from_str(json);
    Elements { datatype, raw: &mut raw }.deserialize(&mut reader).map_err(|_| Unreadable)?;
    Ok(raw.into())
}

/// Writes elements while they are parsed, so that a large list never stands in memory as JSON values.
struct Elements<'a> {
    datatype: &'a str,
    raw: &'a mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for Elements<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Elements<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "elements of {}", self.datatype)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Elements { datatype: self.datatype, raw: &mut *self.raw })?.is_some() {}
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        if self.datatype != "BOOL" {
            return Err(E::custom("a truth among numbers"));
        }
        self.raw.put_u8(value.into());
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        match self.datatype {
            "UINT64" => self.raw.put_u64_le(value),
            // Some writers have 0 and 1 for truths.
            "BOOL" => self.raw.put_u8(u8::from(value != 0)),
            _ => return self.visit_i64(i64::try_from(value).map_err(E::custom)?),
        }
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        match self.datatype {
            "INT8" => self.raw.put_i8(value.try_into().map_err(E::custom)?),
            "INT16" => self.raw.put_i16_le(value.try_into().map_err(E::custom)?),
            "INT32" => self.raw.put_i32_le(value.try_into().map_err(E::custom)?),
            "INT64" => self.raw.put_i64_le(value),
            "UINT8" => self.raw.put_u8(value.try_into().map_err(E::custom)?),
            "UINT16" => self.raw.put_u16_le(value.try_into().map_err(E::custom)?),
            "UINT32" => self.raw.put_u32_le(value.try_into().map_err(E::custom)?),
            #[expect(clippy::cast_precision_loss, reason = "a whole number that stands for a float")]
            _ => return self.visit_f64(value as f64),
        }
        Ok(())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        match self.datatype {
            #[expect(clippy::cast_possible_truncation, reason = "the tensor's own precision")]
            "FP32" => self.raw.put_f32_le(value as f32),
            "FP64" => self.raw.put_f64_le(value),
            _ => return Err(E::custom("a float among others")),
        }
        Ok(())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        if self.datatype != "BYTES" {
            return Err(E::custom("text among numbers"));
        }
        put_bytes(self.raw, value.as_bytes());
        Ok(())
    }
}

fn put_bytes(raw: &mut Vec<u8>, value: &[u8]) {
    // An answer is far shorter than 4 GiB.
    raw.put_u32_le(u32::try_from(value.len()).unwrap_or(u32::MAX));
    raw.put_slice(value);
}

/// `inference.ModelInferResponse`, as much of it as is compared.
#[derive(Clone, PartialEq, Message)]
struct InferResponse {
    #[prost(message, repeated, tag = "5")]
    outputs: Vec<OutputTensor>,
    #[prost(bytes = "bytes", repeated, tag = "6")]
    raw_output_contents: Vec<Bytes>,
}

/// `inference.ModelInferResponse.InferOutputTensor`.
#[derive(Clone, PartialEq, Message)]
struct OutputTensor {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    datatype: String,
    #[prost(int64, repeated, tag = "3")]
    shape: Vec<i64>,
    #[prost(message, optional, tag = "5")]
    contents: Option<Contents>,
}

/// `inference.InferTensorContents`.
#[derive(Clone, PartialEq, Message)]
struct Contents {
    #[prost(bool, repeated, tag = "1")]
    truths: Vec<bool>,
    #[prost(int32, repeated, tag = "2")]
    ints: Vec<i32>,
    #[prost(int64, repeated, tag = "3")]
    longs: Vec<i64>,
    #[prost(uint32, repeated, tag = "4")]
    unsigned_ints: Vec<u32>,
    #[prost(uint64, repeated, tag = "5")]
    unsigned_longs: Vec<u64>,
    #[prost(float, repeated, tag = "6")]
    floats: Vec<f32>,
    #[prost(double, repeated, tag = "7")]
    doubles: Vec<f64>,
    #[prost(bytes = "bytes", repeated, tag = "8")]
    texts: Vec<Bytes>,
}

/// Reads a bare `ModelInferResponse`.
///
/// # Errors
/// It is not one, names an output twice, or has an element that does not fit its datatype.
pub fn of_grpc(message: impl Buf) -> Result<Vec<Tensor>, Unreadable> {
    let InferResponse { outputs, raw_output_contents } = InferResponse::decode(message).map_err(|_| Unreadable)?;
    if !raw_output_contents.is_empty() && raw_output_contents.len() != outputs.len() {
        return Err(Unreadable);
    }
    let mut raws = raw_output_contents.into_iter();
    let tensor = |output: OutputTensor| {
        let raw = match raws.next() {
            Some(raw) => raw,
            None => output.contents.unwrap_or_default().packed(&output.datatype)?,
        };
        Ok(Tensor { name: output.name, datatype: output.datatype, shape: output.shape, raw })
    };
    distinct(outputs.into_iter().map(tensor).collect::<Result<_, _>>()?)
}

impl Contents {
    fn packed(self, datatype: &str) -> Result<Bytes, Unreadable> {
        let mut raw = Vec::new();
        let narrow = |_| Unreadable;
        match datatype {
            "BOOL" => self.truths.iter().for_each(|value| raw.put_u8((*value).into())),
            "INT8" => {
                for value in self.ints {
                    raw.put_i8(value.try_into().map_err(narrow)?);
                }
            }
            "INT16" => {
                for value in self.ints {
                    raw.put_i16_le(value.try_into().map_err(narrow)?);
                }
            }
            "INT32" => self.ints.iter().for_each(|value| raw.put_i32_le(*value)),
            "INT64" => self.longs.iter().for_each(|value| raw.put_i64_le(*value)),
            "UINT8" => {
                for value in self.unsigned_ints {
                    raw.put_u8(value.try_into().map_err(narrow)?);
                }
            }
            "UINT16" => {
                for value in self.unsigned_ints {
                    raw.put_u16_le(value.try_into().map_err(narrow)?);
                }
            }
            "UINT32" => self.unsigned_ints.iter().for_each(|value| raw.put_u32_le(*value)),
            "UINT64" => self.unsigned_longs.iter().for_each(|value| raw.put_u64_le(*value)),
            "FP32" => self.floats.iter().for_each(|value| raw.put_f32_le(*value)),
            "FP64" => self.doubles.iter().for_each(|value| raw.put_f64_le(*value)),
            "BYTES" => self.texts.iter().for_each(|value| put_bytes(&mut raw, value)),
            _ => return Err(Unreadable),
        }
        Ok(raw.into())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use prost::Message;

    use super::{Contents, InferResponse, OutputTensor, Unreadable, of_grpc, of_http};

    fn floats(values: &[f32]) -> Bytes {
        values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>().into()
    }

    fn json(text: &str) -> Result<Vec<super::Tensor>, Unreadable> {
        of_http(Bytes::copy_from_slice(text.as_bytes()), text.len())
    }

    #[test]
    fn json_nested_flat_and_binary_are_the_same_tensor() {
        let nested = r#"{"outputs":[{"name":"y","datatype":"FP32","shape":[2,2],"data":[[1,2.5],[-3,4]]}]}"#;
        let flat = r#"{"outputs":[{"data":[1.0,2.5,-3.0,4.0],"shape":[2,2],"datatype":"FP32","name":"y"}]}"#;
        let head = r#"{"outputs":[{"name":"y","datatype":"FP32","shape":[2,2],"parameters":{"binary_data_size":16}}]}"#;
        let raw = floats(&[1.0, 2.5, -3.0, 4.0]);
        let binary = of_http([head.as_bytes(), &raw].concat().into(), head.len()).unwrap();
        assert_eq!(binary[0].raw, raw);
        assert_eq!(json(nested).unwrap(), binary);
        assert_eq!(json(flat).unwrap(), binary);
        let short = of_http([head.as_bytes(), &raw[..8]].concat().into(), head.len());
        assert_eq!(short, Err(Unreadable), "a tensor that is cut off");
    }

    #[test]
    fn an_answer_that_names_an_output_twice_is_unreadable() {
        let twice = r#"{"name":"y","datatype":"INT8","shape":[1],"data":[1]}"#;
        assert!(json(&format!(r#"{{"outputs":[{twice}]}}"#)).is_ok());
        assert_eq!(json(&format!(r#"{{"outputs":[{twice},{twice}]}}"#)), Err(Unreadable));
        let output = OutputTensor { name: "y".to_owned(), datatype: "BOOL".to_owned(), ..OutputTensor::default() };
        let answer = InferResponse { outputs: vec![output.clone(), output], raw_output_contents: Vec::new() };
        assert_eq!(of_grpc(Bytes::from(answer.encode_to_vec())), Err(Unreadable));
    }

    #[test]
    fn every_datatype_of_json_has_its_width() {
        for (datatype, data, raw) in [
            ("BOOL", "[true,0]", &[1, 0][..]),
            ("INT8", "[-1]", &[255]),
            ("UINT8", "[255]", &[255]),
            ("INT16", "[-2]", &[254, 255]),
            ("UINT16", "[258]", &[2, 1]),
            ("INT32", "[1]", &[1, 0, 0, 0]),
            ("UINT32", "[1]", &[1, 0, 0, 0]),
            ("INT64", "[-1]", &[255; 8]),
            ("UINT64", "[18446744073709551615]", &[255; 8]),
            ("FP64", "[1]", &[0, 0, 0, 0, 0, 0, 0xf0, 0x3f]),
            ("BYTES", r#"["ab",""]"#, &[2, 0, 0, 0, b'a', b'b', 0, 0, 0, 0]),
        ] {
            let text = format!(r#"{{"outputs":[{{"name":"y","datatype":"{datatype}","shape":[1],"data":{data}}}]}}"#);
            assert_eq!(json(&text).unwrap()[0].raw, raw, "{datatype}");
        }
        for (datatype, data) in [("INT8", "[128]"), ("INT8", "[1.5]"), ("FP32", "[true]"), ("FP16", "[1]")] {
            let text = format!(r#"{{"outputs":[{{"name":"y","datatype":"{datatype}","shape":[1],"data":{data}}}]}}"#);
            assert_eq!(json(&text), Err(Unreadable), "{datatype} {data}");
        }
    }

    #[test]
    fn contents_and_raw_contents_are_the_same_tensor() {
        let output =
            |contents| OutputTensor { name: "y".to_owned(), datatype: "FP32".to_owned(), shape: vec![2], contents };
        let raw = InferResponse { outputs: vec![output(None)], raw_output_contents: vec![floats(&[1.0, 2.0])] };
        let contents = Contents { floats: vec![1.0, 2.0], ..Contents::default() };
        let typed = InferResponse { outputs: vec![output(Some(contents))], raw_output_contents: Vec::new() };
        let read = of_grpc(Bytes::from(raw.encode_to_vec())).unwrap();
        assert_eq!(read, of_grpc(Bytes::from(typed.encode_to_vec())).unwrap());
        assert_eq!(read[0].shape, [2]);
        let narrow = Contents { ints: vec![300], ..Contents::default() };
        assert_eq!(narrow.packed("INT8"), Err(Unreadable));
        assert_eq!(of_grpc(Bytes::from_static(b"\xff\xff")), Err(Unreadable));
    }
}
