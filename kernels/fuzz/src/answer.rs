//! Answers over HTTP/1.1 as a caller reads them, strictly.

use serde_json::Value;

/// More than the router sends.
const HEADERS: usize = 32;
/// What the router answers, or HTTP itself (414, 431), or a car about a request that is at fault.
const STATUSES: [u16; 14] = [
    100, 101, 200, 400, 404, 405, 408, 413, 414, 415, 422, 431, 501, 503,
];
/// How every answer begins.
const BEGIN: &[u8] = b"HTTP/1.";

/// One answer.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// All of its body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// Whatever happened, a caller can read what is wrong and when to come back. Refusals of HTTP itself have no body.
    ///
    /// # Panics
    /// When it is not so, or the status is none that the router documents.
    pub fn check(&self) {
        let Self { status, body, .. } = self;
        assert!(
            STATUSES.contains(status),
            "{status} is no answer of the router"
        );
        assert!(
            *status < 400 || body.is_empty() || self.sentence().is_some(),
            "{status} without a sentence"
        );
        assert!(
            *status != 503 || self.header("retry-after").is_some(),
            "503 does not say when"
        );
    }

    /// The sentence of `{"error": "..."}`.
    #[must_use]
    pub fn sentence(&self) -> Option<String> {
        let body: Value = serde_json::from_slice(&self.body).ok()?;
        body["error"].as_str().map(ToOwned::to_owned)
    }
}

/// All answers that were sent on one connection; `bare`: the answer to HEAD may be among them, which has a length and no body.
///
/// # Panics
/// When the bytes are anything else than whole answers.
#[must_use]
pub fn answers(mut bytes: &[u8], bare: bool) -> Vec<Answer> {
    let mut answers = Vec::new();
    while !bytes.is_empty() {
        let (answer, rest) = answer(bytes, bare);
        answers.push(answer);
        bytes = rest;
    }
    answers
}

fn answer(bytes: &[u8], bare: bool) -> (Answer, &[u8]) {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut head = httparse::Response::new(&mut headers);
    let parsed = head.parse(bytes).expect("a head of HTTP/1.1");
    let httparse::Status::Complete(length) = parsed else {
        panic!("a head breaks off")
    };
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let headers = head
        .headers
        .iter()
        .map(|header| (header.name.to_ascii_lowercase(), text(header.value)));
    let mut answer = Answer {
        status: head.code.expect("parsed"),
        headers: headers.collect(),
        body: Vec::new(),
    };
    let rest = &bytes[length..];
    assert!(
        answer.header("transfer-encoding").is_none(),
        "an answer is there as a whole"
    );
    let announced = answer
        .header("content-length")
        .map_or(0, |value| value.parse().expect("a length"));
    if bare && (rest.is_empty() || rest.starts_with(BEGIN)) {
        return (answer, rest);
    }
    assert!(announced <= rest.len(), "a body breaks off");
    answer.body = rest[..announced].to_vec();
    (answer, &rest[announced..])
}
