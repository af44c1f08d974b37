//! Calls with any path, metadata and bytes, where there is no place: each gets a status, and only what the router answers by
//! itself succeeds.
#![no_main]

use libfuzzer_sys::fuzz_target;
use parkade_fuzz::{Call, Script, nowhere, run};
use tokio::io::duplex;

/// Both ends write before they read, so there must be room for what one has to say.
const ROOM: usize = 64 << 10;

const SERVICE: &str = "/inference.GRPCInferenceService/";
const STREAM: &str = "ModelStreamInfer";
/// What needs no place.
const ALONE: [&str; 4] = ["ServerLive", "ServerReady", "ServerMetadata", "ModelReady"];

fuzz_target!(|input: &[u8]| {
    let script = Script::of(input);
    let Some(call) = Call::read(&script) else {
        return;
    };
    let method = call
        .path()
        .strip_prefix(SERVICE)
        .unwrap_or_default()
        .to_owned();
    let router = nowhere();
    let (near, far) = duplex(ROOM);
    let (called, ()) = run(async { tokio::join!(call.on(near), router.grpc(far)) });
    let Some(called) = called else { return };
    if method != STREAM {
        assert_eq!(
            called.messages.len(),
            usize::from(called.code == 0),
            "one message, or a status"
        );
        assert!(
            called.code != 0 || ALONE.contains(&&*method),
            "{method} succeeds without a place"
        );
    }
});
