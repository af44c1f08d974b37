//! Tensors written as an answer of KServe v2, to be read again.

use bytes::{BufMut, Bytes};
use parkade_router::fuzzing::Tensor;
use serde_json::json;

/// JSON and binary tensors after it, and the length of the JSON.
#[must_use]
pub fn over_http(tensors: &[Tensor]) -> (Bytes, usize) {
    let output = |tensor: &Tensor| {
        json!({
            "name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape,
            "parameters": {"binary_data_size": tensor.raw.len()},
        })
    };
    let outputs: Vec<_> = tensors.iter().map(output).collect();
    let mut body = json!({ "outputs": outputs }).to_string().into_bytes();
    let length = body.len();
    body.extend(tensors.iter().flat_map(|tensor| &tensor.raw[..]));
    (body.into(), length)
}

/// `ModelInferResponse` with `raw_output_contents`.
#[must_use]
pub fn over_grpc(tensors: &[Tensor]) -> Bytes {
    let mut message = Vec::new();
    for tensor in tensors {
        let mut output = Vec::new();
        field(&mut output, 1, tensor.name.as_bytes());
        field(&mut output, 2, tensor.datatype.as_bytes());
        let mut shape = Vec::new();
        tensor
            .shape
            .iter()
            .for_each(|size| varint(&mut shape, size.cast_unsigned()));
        field(&mut output, 3, &shape);
        field(&mut message, 5, &output);
    }
    tensors
        .iter()
        .for_each(|tensor| field(&mut message, 6, &tensor.raw));
    message.into()
}

/// A field of protobuf that has a length.
fn field(message: &mut Vec<u8>, number: u64, value: &[u8]) {
    varint(message, number << 3 | 2);
    varint(message, value.len() as u64);
    message.put_slice(value);
}

fn varint(message: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        message.put_u8(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    message.put_u8(value.to_le_bytes()[0]);
}
