//! The access log: one JSON line a request, written by a thread of its own so that a slow disk never delays an answer.
//!
//! A line names workload, tier, place (a cell or a pool), attempts, status, milliseconds and bytes; never payload, vehicle or caller.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::metrics::Metrics;
use crate::queue::Tier;

/// Lines that may wait for the disk; past it they are dropped and counted.
const BACKLOG: usize = 8192;
/// Lines reach the file at the latest after this time.
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
    lines: Option<SyncSender<Line>>,
}

impl AccessLog {
    /// Opens `stderr`, `off` or a file that is appended to. The thread ends after the log is dropped and all is written.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn open(target: &str) -> io::Result<(Self, Option<JoinHandle<()>>)> {
        let out: Box<dyn Write + Send> = match target {
            "off" => return Ok((Self { lines: None }, None)),
            "stderr" => Box::new(io::stderr()),
            path => Box::new(OpenOptions::new().create(true).append(true).open(path)?),
        };
        let (lines, receiver) = sync_channel(BACKLOG);
        let writer = std::thread::Builder::new().name("access-log".into()).spawn(move || write(&receiver, out))?;
        Ok((Self { lines: Some(lines) }, Some(writer)))
    }

    /// Writes one line soon, or drops and counts it.
    pub fn write(&self, line: Line, metrics: &Metrics) {
        if let Some(lines) = &self.lines
            && lines.try_send(line).is_err()
        {
            metrics.dropped_line();
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

fn write(lines: &Receiver<Line>, out: Box<dyn Write + Send>) {
    let mut out = BufWriter::with_capacity(64 << 10, out);
    loop {
        let written = match lines.recv_timeout(FLUSH) {
            Ok(line) => {
                serde_json::to_writer(&mut out, &line).map_err(io::Error::from).and_then(|()| out.write_all(b"\n"))
            }
            Err(RecvTimeoutError::Timeout) => out.flush(),
            Err(RecvTimeoutError::Disconnected) => break,
        };
        // A full disk must not stop serving; the lines are lost, which the reader of the file sees.
        drop(written);
    }
    drop(out.flush());
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
