//! Time that passes as soon as nobody has anything to do, so that a wait of minutes takes none and a hang is seen at once.

use std::time::Duration;

use tokio::runtime::Builder;
use tokio::time::timeout;

/// Longer than any limit that the router has, even one after another for each request that fits into a fuzzer's bytes.
const DAY: Duration = Duration::from_secs(86_400);

/// Runs to the end, on this thread.
///
/// # Panics
/// When it hangs.
pub fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("it starts");
    runtime
        .block_on(async { timeout(DAY, work).await })
        .expect("a connection hangs")
}
