//! Callers that send anything where gRPC is spoken: what comes back are whole frames of HTTP/2, and the connection ends.
#![no_main]

use libfuzzer_sys::fuzz_target;
use parkade_fuzz::{Script, nowhere, run, talk};

const HEAD: usize = 9;
const SETTINGS: u8 = 4;
/// The largest frame to somebody who allowed none larger.
const LARGEST: usize = 1 << 24;

fuzz_target!(|input: &[u8]| {
    let script = Script::of(input);
    let router = nowhere();
    let (near, far) = script.connection();
    let (heard, ()) = run(async { tokio::join!(talk(&script, near), router.grpc(far)) });
    assert!(
        heard.is_empty() || heard[3] == SETTINGS,
        "settings come first"
    );
    let mut rest = &heard[..];
    while !rest.is_empty() {
        assert!(rest.len() >= HEAD, "a frame's head breaks off");
        let length = u32::from_be_bytes([0, rest[0], rest[1], rest[2]]) as usize;
        assert!(
            length < LARGEST && rest.len() >= HEAD + length,
            "a frame breaks off"
        );
        rest = &rest[HEAD + length..];
    }
});
