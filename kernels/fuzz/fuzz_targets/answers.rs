//! Answers that are compared, of cars and of Triton: a refusal, or tensors that are the same however they are written, and
//! that differ from any other.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use parkade_fuzz::{Script, line, over_grpc, over_http};
use parkade_router::fuzzing::{Difference, Tensor, compare, of_grpc, of_http};

const FLOATS: [&str; 4] = ["FP16", "BF16", "FP32", "FP64"];

/// Of protobuf with `g`, else of JSON; `l`: whose length is in a line of its own.
fn read(script: &Script<'_>) -> Option<Vec<Tensor>> {
    if script.says(b'g') {
        return of_grpc(script.bytes).ok();
    }
    if !script.says(b'l') {
        return of_http(Bytes::copy_from_slice(script.bytes), script.bytes.len()).ok();
    }
    let (length, rest) = line(script.bytes);
    of_http(
        Bytes::copy_from_slice(rest),
        std::str::from_utf8(length).ok()?.parse().ok()?,
    )
    .ok()
}

/// The same tensors, but for one bit.
fn other(tensors: &[Tensor]) -> Option<Vec<Tensor>> {
    let mut other = tensors.to_vec();
    let changed = other
        .iter_mut()
        .find(|tensor| !tensor.raw.is_empty() && !FLOATS.contains(&&*tensor.datatype))?;
    let mut raw = changed.raw.to_vec();
    raw[0] ^= 1;
    changed.raw = raw.into();
    Some(other)
}

fuzz_target!(|input: &[u8]| {
    let Some(tensors) = read(&Script::of(input)) else {
        return;
    };
    assert_eq!(
        compare(&tensors, &tensors, 0.0),
        Ok(()),
        "an answer is itself"
    );
    let (body, length) = over_http(&tensors);
    assert_eq!(
        of_http(body, length).as_ref(),
        Ok(&tensors),
        "over HTTP it is another"
    );
    assert_eq!(
        of_grpc(over_grpc(&tensors)).as_ref(),
        Ok(&tensors),
        "over gRPC it is another"
    );
    if let Some(other) = other(&tensors) {
        assert_eq!(
            compare(&other, &tensors, 1e9),
            Err(Difference::Values),
            "a bit does not matter"
        );
    }
});
