//! The access log: one JSON line a request, written by a thread of its own so that a slow disk never delays an answer.
//! The thread looks by itself every 0.1 s: waking it for every line would double what a request costs.
//!
//! A line names workload, tier, place (a cell or a pool), attempts, status, milliseconds and bytes; never payload, vehicle or caller.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::metrics::Metrics;
use crate::queue::Tier;

/// Lines that may wait for the disk, most of a second at full speed; past it they are dropped and counted.
const BACKLOG: usize = 32 << 10;
/// Lines reach the file this often.
const FLUSH: Duration = Duration::from_millis(100);

/// One request, as written.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// Milliseconds since 1970.
    pub time: u64,
    /// `http` or `grpc`.
    pub protocol: &'static str,
    /// Namespace and name.
    pub workload: Arc<str>,
    /// Where it was answered, if it was.
    pub tier: Option<&'static str>,
    /// The cell or the Triton pool.
    pub place: Option<Arc<str>>,
    /// Attempts made.
    pub attempts: u32,
    /// Status of HTTP, or of gRPC for a gRPC request.
    pub status: u32,
    /// From the head to the answer.
    pub milliseconds: f64,
    /// Size of the request's body.
    pub request_bytes: usize,
    /// Size of the answer's body.
    pub response_bytes: usize,
}

/// Where lines go.
#[derive(Debug)]
pub struct AccessLog {
    pending: Option<Arc<Pending>>,
}

#[derive(Debug, Default)]
struct Pending {
    lines: Mutex<Lines>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct Lines {
    waiting: Vec<Line>,
    over: bool,
}

impl AccessLog {
    /// Opens `stderr`, `off` or a file that is appended to. The thread ends after the log is dropped and all is written.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn open(target: &str) -> io::Result<(Self, Option<JoinHandle<()>>)> {
        let out: Box<dyn Write + Send> = match target {
            "off" => return Ok((Self { pending: None }, None)),
            "stderr" => Box::new(io::stderr()),
            path => Box::new(OpenOptions::new().create(true).append(true).open(path)?),
        };
        let pending = Arc::new(Pending::default());
        let theirs = pending.clone();
        let writer = std::thread::Builder::new().name("access-log".into()).spawn(move || write(&theirs, out))?;
        Ok((Self { pending: Some(pending) }, Some(writer)))
    }

    /// Writes one line soon, or drops and counts it.
    pub fn write(&self, line: Line, metrics: &Metrics) {
        let Some(pending) = &self.pending else { return };
        let mut lines = pending.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.waiting.len() < BACKLOG {
            lines.waiting.push(line);
        } else {
            metrics.dropped_line();
        }
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        if let Some(pending) = &self.pending {
            pending.lines.lock().unwrap_or_else(PoisonError::into_inner).over = true;
            pending.ended.notify_one();
        }
    }
}

impl Line {
    /// A line of a request that has just ended.
    pub fn now(protocol: &'static str, workload: Arc<str>, place: Option<(Tier, Arc<str>)>) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let (tier, place) = place.map_or((None, None), |(tier, place)| (Some(tier.label()), Some(place)));
        Self {
            time: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
            protocol,
            workload,
            tier,
            place,
            attempts: 0,
            status: 0,
            milliseconds: 0.0,
            request_bytes: 0,
            response_bytes: 0,
        }
    }
}

fn write(pending: &Pending, out: Box<dyn Write + Send>) {
    let mut out = BufWriter::with_capacity(64 << 10, out);
    let mut batch = Vec::new();
    loop {
        let lines = pending.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = pending.ended.wait_timeout_while(lines, FLUSH, |lines| !lines.over);
        let mut lines = waited.unwrap_or_else(PoisonError::into_inner).0;
        std::mem::swap(&mut batch, &mut lines.waiting);
        let over = lines.over;
        drop(lines);
        // A full disk must not stop serving; the lines are lost, which the reader of the file sees.
        drop(write_batch(&mut out, &batch));
        batch.clear();
        if over {
            return;
        }
    }
}

fn write_batch(out: &mut impl Write, batch: &[Line]) -> io::Result<()> {
    for line in batch {
        serde_json::to_writer(&mut *out, line)?;
        out.write_all(b"\n")?;
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::{AccessLog, Line};
    use crate::metrics::Metrics;
    use crate::queue::Tier;

    #[test]
    fn lines_are_json_and_all_are_written_at_the_end() {
        let path = std::env::temp_dir().join(format!("parkade-access-{}.log", std::process::id()));
        let (log, writer) = AccessLog::open(path.to_str().unwrap()).unwrap();
        let metrics = Metrics::new().unwrap();
        for attempts in 1..=3 {
            let line = Line { attempts, ..Line::now("http", "n/a".into(), Some((Tier::Vehicle, "cell".into()))) };
            log.write(line, &metrics);
        }
        drop(log);
        writer.unwrap().join().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 3);
        assert_eq!((&lines[2]["attempts"], &lines[2]["place"]), (&3.into(), &"cell".into()));
    }
}
