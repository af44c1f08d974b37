//! Requests that wait for a credit, in their order: priority, then deadline, then arrival.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::queue::{Tier, Want};

/// What decides over a request's place in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Higher is served first and kept longer.
    pub priority: u8,
    /// When the caller no longer needs an answer.
    pub deadline: Instant,
}

/// A waiting request's place in the order; the smallest is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket {
    priority: Reverse<u8>,
    deadline: Instant,
    arrival: u64,
}

impl Ticket {
    /// The request's priority.
    pub const fn priority(&self) -> u8 {
        self.priority.0
    }

    /// The request's deadline.
    pub const fn deadline(&self) -> Instant {
        self.deadline
    }
}

/// One waiting request; `W` wakes it.
#[derive(Debug)]
pub struct Waiter<W> {
    /// Its place in the order.
    pub ticket: Ticket,
    /// What it asks of its next place.
    pub want: Want,
    /// How it is told.
    pub waker: W,
}

/// A request that waits from now on, and the one that lost its place to it.
#[derive(Debug)]
pub struct Admitted<W> {
    /// Its place in the queue.
    pub ticket: Ticket,
    /// The request to be refused instead.
    pub shed: Option<Shed<W>>,
}

/// A waiting request that is refused.
#[derive(Debug, PartialEq, Eq)]
pub struct Shed<W> {
    /// How it is told.
    pub waker: W,
    /// The expected wait; `None` if too little is known.
    pub wait: Option<Duration>,
}

/// Why a request may not wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// As many as the queue holds wait already, none of them with a lower priority. With the expected wait.
    Full(Option<Duration>),
    /// Its deadline clearly cannot be met. With the expected wait.
    TooLate(Duration),
}

/// All waiting requests of one workload. Sorted; requests that have the same time to live join at the end and leave at the
/// front, which costs next to nothing.
#[derive(Debug)]
pub struct Waiting<W> {
    line: VecDeque<Waiter<W>>,
    /// Requests for any tier, for cars only, for Triton only.
    kinds: [usize; 3],
    arrivals: u64,
}

impl<W> Waiting<W> {
    /// Nobody waits.
    pub const fn new() -> Self {
        Self { line: VecDeque::new(), kinds: [0; 3], arrivals: 0 }
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.line.len()
    }

    /// A ticket behind all that are equal.
    pub const fn ticket(&mut self, standing: Standing) -> Ticket {
        self.arrivals += 1;
        Ticket { priority: Reverse(standing.priority), deadline: standing.deadline, arrival: self.arrivals }
    }

    /// How many are before this ticket.
    pub fn rank(&self, ticket: &Ticket) -> usize {
        self.line.partition_point(|waiter| waiter.ticket < *ticket)
    }

    /// The request at this rank.
    pub fn get(&self, rank: usize) -> Option<&Waiter<W>> {
        self.line.get(rank)
    }

    /// Adds a request.
    pub fn insert(&mut self, waiter: Waiter<W>) {
        self.kinds[kind(waiter.want.only)] += 1;
        let rank = self.rank(&waiter.ticket);
        self.line.insert(rank, waiter);
    }

    /// Takes the request at this rank out.
    pub fn take(&mut self, rank: usize) -> Option<Waiter<W>> {
        let waiter = self.line.remove(rank)?;
        self.kinds[kind(waiter.want.only)] -= 1;
        Some(waiter)
    }

    /// Takes a request out, if it still waits.
    pub fn forget(&mut self, ticket: &Ticket) {
        let rank = self.rank(ticket);
        if self.line.get(rank).is_some_and(|waiter| waiter.ticket == *ticket) {
            self.take(rank);
        }
    }

    /// Takes all requests out.
    pub fn clear(&mut self) -> VecDeque<Waiter<W>> {
        self.kinds = [0; 3];
        std::mem::take(&mut self.line)
    }

    /// How many with the same `only` wait.
    pub const fn alike(&self, only: Option<Tier>) -> usize {
        self.kinds[kind(only)]
    }

    /// At least this many of those before `rank` want the same replicas: others may all be before it, and wait for replicas
    /// that it cannot use.
    pub fn ahead(&self, rank: usize, only: Option<Tier>) -> usize {
        rank.saturating_sub(self.len() - self.alike(only))
    }
}

const fn kind(only: Option<Tier>) -> usize {
    match only {
        None => 0,
        Some(Tier::Vehicle) => 1,
        Some(Tier::Datacenter) => 2,
    }
}
