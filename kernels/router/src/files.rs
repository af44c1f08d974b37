//! Files that are read again when they change. What they said last stays while they cannot be read.

use std::path::PathBuf;
use std::time::Duration;

use tracing::warn;

/// How often a file is looked at. Tests wait for it, so it is short; a read of an unchanged file costs microseconds.
const PERIOD: Duration = Duration::from_millis(100);

/// Gives `read` the file's bytes now and after each change, for ever; its error is a sentence for the log.
pub async fn follow(path: PathBuf, mut read: impl FnMut(&[u8]) -> Result<(), String>) {
    let mut seen: Option<Vec<u8>> = None;
    loop {
        match tokio::fs::read(&path).await {
            Ok(bytes) if seen.as_ref() != Some(&bytes) => {
                if let Err(sentence) = read(&bytes) {
                    warn!(path = %path.display(), "{sentence}; what was known before stays");
                }
                seen = Some(bytes);
            }
            Ok(_) => {}
            Err(error) => {
                if seen.take().is_some() {
                    warn!(path = %path.display(), "cannot be read: {error}; what was known before stays");
                }
            }
        }
        tokio::time::sleep(PERIOD).await;
    }
}
