//! Connections that are memory, and what an unruly other side does on them.

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex, split};

/// What a connection holds in each direction, so that bytes come at once or in small pieces.
const ROOM: usize = 64 << 10;
const SMALL_ROOM: usize = 7;

/// The letters of a fuzzer's first line, each of which says what the other side does; and the bytes after it.
pub struct Script<'a> {
    letters: &'a [u8],
    /// All after the first line.
    pub bytes: &'a [u8],
}

impl<'a> Script<'a> {
    /// Reads it; a single line has no bytes after it.
    #[must_use]
    pub fn of(input: &'a [u8]) -> Self {
        let (letters, bytes) = line(input);
        Self { letters, bytes }
    }

    /// Whether the letter is there.
    #[must_use]
    pub fn says(&self, letter: u8) -> bool {
        self.letters.contains(&letter)
    }

    /// Both ends of a connection; `s`: in small pieces.
    #[must_use]
    pub fn connection(&self) -> (DuplexStream, DuplexStream) {
        duplex(if self.is_slow() { SMALL_ROOM } else { ROOM })
    }

    /// Whether the other side takes a few bytes at a time. After what they cannot read, hyper and h2 close such a connection
    /// before all was taken, and hyper says so in the midst of an answer: what is heard proves nothing then.
    #[must_use]
    pub fn is_slow(&self) -> bool {
        self.says(b's')
    }
}

/// The first line without its end, and what follows.
#[must_use]
pub fn line(bytes: &[u8]) -> (&[u8], &[u8]) {
    match bytes.iter().position(|byte| *byte == b'\n') {
        Some(end) => (&bytes[..end], &bytes[end + 1..]),
        None => (bytes, &[]),
    }
}

/// Says the script's bytes whatever comes back, and hears all until the other side hangs up; `c`: says that nothing follows.
pub async fn talk(script: &Script<'_>, io: DuplexStream) -> Vec<u8> {
    let (mut reader, mut writer) = split(io);
    let saying = async {
        // The other side may have hung up.
        let said = writer.write_all(script.bytes).await;
        if said.is_ok() && script.says(b'c') {
            let _ = writer.shutdown().await;
        }
    };
    let mut heard = Vec::new();
    let (_, ended) = tokio::join!(saying, reader.read_to_end(&mut heard));
    ended.expect("memory can be read");
    heard
}
