//! Callers that send anything where gRPC is spoken: what comes back are whole frames of HTTP/2, and the connection ends.
#![no_main]

use libfuzzer_sys::fuzz_target;
use parkade_fuzz::{Script, nowhere, run, talk};

const HEAD: usize = 9;
const SETTINGS: u8 = 4;
/// No frame is as long as this.
const LARGEST: usize = 1 << 24;

fuzz_target!(|input: &[u8]| {
    let script = Script::of(input);
    let router = nowhere();
    let (near, far) = script.connection();
    let (heard, ()) = run(async { tokio::join!(talk(&script, near), router.grpc(far)) });
    assert!(
        heard.len() < HEAD || heard[3] == SETTINGS,
        "settings come first"
    );
    let mut rest = &heard[..];
    while !rest.is_empty() {
        let length = match rest {
            [a, b, c, _, _, _, _, _, _, ..] => u32::from_be_bytes([0, *a, *b, *c]) as usize,
            _ => LARGEST,
        };
        if rest.len() < HEAD + length {
            assert!(script.is_slow(), "a frame breaks off");
            break;
        }
        rest = &rest[HEAD + length..];
    }
});
