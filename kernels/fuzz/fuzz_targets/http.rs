//! Callers over HTTP/1.1 that send anything: each request gets an answer that KServe v2 allows, or the connection is closed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use parkade_fuzz::{Answer, Script, answers, nowhere, run, talk};

fuzz_target!(|input: &[u8]| {
    let script = Script::of(input);
    let router = nowhere();
    let (near, far) = script.connection();
    let (heard, ()) = run(async { tokio::join!(talk(&script, near), router.http(far)) });
    let bare = script.bytes.windows(4).any(|word| word == b"HEAD");
    if !script.is_slow() {
        answers(&heard, bare).iter().for_each(Answer::check);
    }
});
