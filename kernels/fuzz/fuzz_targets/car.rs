//! Cars that send anything, as their offer or as their answer: callers get an answer that KServe v2 allows and no header that
//! the car made up.
#![no_main]

use std::sync::Arc;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use parkade_fuzz::{Answer, Call, INFER, Script, answers, one_cell, run, talk};
use parkade_router::fuzzing::Router;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::timeout;

const OFFER: &[u8] = b"POST /v1/serve HTTP/1.1\r\nHost: router\r\nConnection: Upgrade\r\nUpgrade: parkade-serve/1\r\n\
    Parkade-Workload: n/w\r\nParkade-Model: m\r\nParkade-Cell: c\r\n\r\n";
const ASK: &str =
    "POST /v2/models/m/infer HTTP/1.1\r\nHost: router\r\nContent-Length: 13\r\n\r\n{\"inputs\":[]}";
const ASK_METADATA: &str = "GET /v2/models/m HTTP/1.1\r\nHost: router\r\n\r\n";
/// A message that names the model, in its frame.
const MESSAGE: &[u8] = b"\0\0\0\0\x03\x0a\x01m";
/// All headers that a caller may see.
const SHOWN: [&str; 8] = [
    "content-encoding",
    "content-length",
    "content-type",
    "date",
    "inference-header-content-length",
    "parkade-place",
    "parkade-tier",
    "retry-after",
];
const ROOM: usize = 64 << 10;
const HOUR: Duration = Duration::from_secs(3600);

fuzz_target!(|input: &[u8]| {
    let script = Script::of(input);
    let router = Arc::new(one_cell());
    if script.says(b'o') {
        run(offer(&script, &router));
    } else {
        run(answer(input.to_vec(), &router));
    }
});

/// The bytes are a car's offer. One that is taken stays.
async fn offer(script: &Script<'_>, router: &Router) {
    let (near, far) = script.connection();
    let told = async { timeout(HOUR, talk(script, near)).await };
    let (told, ()) = tokio::join!(told, router.car(far));
    if let Ok(told) = told
        && !script.is_slow()
    {
        drop(answers(
            &told,
            script.bytes.windows(4).any(|word| word == b"HEAD"),
        ));
    }
}

/// The bytes are a car's answer: `e`: before it was asked. Callers ask over HTTP; `g`: over gRPC; `m`: for the model's
/// metadata; `t`: twice.
async fn answer(input: Vec<u8>, router: &Arc<Router>) {
    let (near, far) = Script::of(&input).connection();
    let taking = router.clone();
    tokio::spawn(async move { taking.car(far).await });
    let script = input.clone();
    tokio::spawn(async move { serve(&Script::of(&script), near).await });
    let script = Script::of(&input);
    let (near, far) = duplex(ROOM);
    if script.says(b'g') {
        let (called, ()) = tokio::join!(Call::of(INFER, MESSAGE).on(near), router.grpc(far));
        let called = called.expect("the call is good");
        assert_eq!(
            called.messages.len(),
            usize::from(called.code == 0),
            "one message, or a status"
        );
        return;
    }
    let ask = if script.says(b'm') { ASK_METADATA } else { ASK };
    let asks = format!("\n{}", ask.repeat(if script.says(b't') { 2 } else { 1 }));
    let asking = Script::of(asks.as_bytes());
    let (heard, ()) = tokio::join!(talk(&asking, near), router.http(far));
    let heard = answers(&heard, false);
    assert_eq!(
        heard.len(),
        asks.matches("HTTP/1.1").count(),
        "an answer to each request"
    );
    heard.iter().for_each(check);
}

fn check(answer: &Answer) {
    answer.check();
    for (name, _) in &answer.headers {
        assert!(SHOWN.contains(&name.as_str()), "a caller sees {name}");
    }
    let compressed = answer.header("content-encoding").is_some();
    assert!(
        answer.status != 200 || compressed || answer.body.starts_with(b"{"),
        "no answer of KServe v2"
    );
}

/// What the car does.
async fn serve(script: &Script<'_>, mut io: DuplexStream) -> std::io::Result<()> {
    io.write_all(OFFER).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(io.read_u8().await?);
    }
    if !script.says(b'e') {
        io.read_u8().await?;
    }
    drop(talk(script, io).await);
    Ok(())
}
