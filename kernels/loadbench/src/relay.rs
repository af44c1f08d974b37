//! A TCP relay that is slow and loses segments, for kernels without netem.
//!
//! No relay above TCP can lose a segment; what it can do is what the receiver sees of a loss. So each piece that is read counts
//! as segments of 1,448 bytes, each is lost with the given probability, and every loss stalls that direction of that
//! connection, in order, for one retransmission timeout. This is harsher than TCP, which mends most losses after a round
//! trip and several of one flight together.

use std::net::{Shutdown, SocketAddr};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use clap::Args;
use serde_json::json;
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::spawn_local;

use crate::alarm::Alarm;
use crate::upstream::{accept, bind, local};
use crate::{complain, say};

/// Bytes of a full segment over Ethernet.
const SEGMENT: usize = 1448;
/// Read at a time, and pieces on the way in one direction of a connection.
const PIECE: usize = 64 << 10;
const ON_THE_WAY: usize = 64;

/// Flags.
#[derive(Clone, Debug, Args)]
pub struct Settings {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Where the other end is.
    #[arg(long)]
    target: SocketAddr,
    /// Milliseconds each way.
    #[arg(long, default_value_t = 0.0)]
    delay_millis: f64,
    /// Share of segments that are lost.
    #[arg(long, default_value_t = 0.0)]
    loss: f64,
    /// Milliseconds that a lost segment holds up its direction; default: 200 and the round trip.
    #[arg(long)]
    stall_millis: Option<f64>,
    /// Seed of the losses.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Clone, Debug)]
struct Link {
    delay: Duration,
    loss: f64,
    stall: Duration,
    alarm: Alarm,
}

/// Relays until the process is ended.
pub async fn run(settings: Settings) -> Result<(), String> {
    let millis = |millis: f64| Duration::from_secs_f64(millis / 1e3);
    let stall = settings.stall_millis.unwrap_or(200.0 + 2.0 * settings.delay_millis);
    let link =
        Link { delay: millis(settings.delay_millis), loss: settings.loss, stall: millis(stall), alarm: Alarm::start() };
    let listener: TcpListener = bind("--listen", settings.listen).await?;
    say(&json!({"address": local(&listener)?}))?;
    let seeds = std::cell::RefCell::new(fastrand::Rng::with_seed(settings.seed));
    accept(listener, |near| {
        let random = seeds.borrow_mut().fork();
        spawn_local(relay(near, settings.target, link.clone(), random));
    })
    .await;
    Ok(())
}

async fn relay(near: TcpStream, target: SocketAddr, link: Link, mut random: fastrand::Rng) {
    let far = match TcpStream::connect(target).await {
        Ok(far) => far,
        Err(error) => return complain(&format!("the other end {target} cannot be dialled"), &error),
    };
    if far.set_nodelay(true).is_err() {
        return;
    }
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    let back = random.fork();
    spawn_local(pipe(near_in, far_out, link.clone(), random));
    spawn_local(pipe(far_in, near_out, link, back));
}

/// What travels in one direction.
enum Piece {
    Bytes(Bytes),
    End,
    Reset,
}

async fn pipe(mut from: OwnedReadHalf, to: OwnedWriteHalf, link: Link, mut random: fastrand::Rng) {
    let (sender, receiver) = mpsc::channel(ON_THE_WAY);
    spawn_local(deliver(to, receiver, link.alarm));
    let mut buffer = BytesMut::new();
    let mut last = Instant::now();
    loop {
        buffer.reserve(PIECE);
        let piece = match from.read_buf(&mut buffer).await {
            Ok(0) => Piece::End,
            Ok(_) => Piece::Bytes(buffer.split().freeze()),
            Err(_) => Piece::Reset,
        };
        let over = !matches!(piece, Piece::Bytes(_));
        if let Piece::Bytes(bytes) = &piece {
            let stalls = lost(bytes.len(), link.loss, &mut random);
            last = last.max(Instant::now() + link.delay) + link.stall * stalls;
        } else {
            last = last.max(Instant::now() + link.delay);
        }
        if sender.send((last, piece)).await.is_err() || over {
            return;
        }
    }
}

/// How many of the segments of `length` bytes are lost.
fn lost(length: usize, loss: f64, random: &mut fastrand::Rng) -> u32 {
    if loss <= 0.0 {
        return 0;
    }
    (0..length.div_ceil(SEGMENT)).fold(0, |lost, _| lost + u32::from(random.f64() < loss))
}

async fn deliver(mut to: OwnedWriteHalf, mut pieces: mpsc::Receiver<(Instant, Piece)>, alarm: Alarm) {
    while let Some((due, piece)) = pieces.recv().await {
        alarm.at(due).await;
        match piece {
            Piece::Bytes(bytes) => {
                if to.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            Piece::End => return,
            Piece::Reset => {
                // The other direction holds the socket too: it ends once both are shut, and closing it then is a reset.
                let socket = SockRef::from(to.as_ref());
                drop(socket.set_linger(Some(Duration::ZERO)));
                drop(socket.shutdown(Shutdown::Both));
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::lost;

    #[test]
    fn a_hundredth_of_the_segments_is_lost() {
        let mut random = fastrand::Rng::with_seed(3);
        let total: u32 = (0..1_000).map(|_| lost(184_320, 0.01, &mut random)).sum();
        assert!((1_180..1_380).contains(&total), "{total} of 128,000");
        assert_eq!(lost(184_320, 0.0, &mut random), 0);
    }
}
