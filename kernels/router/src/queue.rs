//! The central queue of one workload: idle replicas, requests that wait, and which meets which. Pure: no clock, no I/O.
//!
//! A credit is a replica known to be free: an idle connection of a car, or a free slot of a Triton server. A request takes
//! a credit at once if there is one; else it waits, and a credit that frees goes to the highest priority that may use it,
//! and there to the earliest deadline. A request whose deadline clearly cannot be met is refused at once, see `pace`.
//! Among places with a free credit, requests follow the plan's shares (smooth weighted round robin); a place without a
//! share is used only when no other has a credit.

mod place;

use std::sync::Arc;
use std::time::{Duration, Instant};

use self::place::{Place, Server};
use crate::pace::{Outlook, Pace};
use crate::returning::Returning;
use crate::waiting::{Admitted, Refused, Shed, Standing, Ticket, Waiter, Waiting};

/// When a request comes before others, so many of those at the end are looked at for one that cannot be answered any more.
const LOOKED_AT: usize = 64;

/// Where a replica is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
pub enum Tier {
    /// On a parked car.
    Vehicle,
    /// On a Triton server.
    Datacenter,
}

impl Tier {
    /// The name in metrics, headers and the access log.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Vehicle => "Vehicle",
            Self::Datacenter => "Datacenter",
        }
    }
}

/// An idle connection of a car, as far as the queue must know it.
pub trait Dialled {
    /// Unique among all connections of this process.
    fn id(&self) -> u64;
    /// Which car; a request never meets the same car twice.
    fn vehicle(&self) -> &Arc<str>;
}

/// One line of the plan: a place and, for Triton, its servers with their slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedPlace<S> {
    /// A cell or a Triton pool.
    pub name: Arc<str>,
    /// Which kind of place it is.
    pub tier: Tier,
    /// Percent of the expected rate.
    pub share: u32,
    /// Triton servers and how many requests each may have at a time.
    pub servers: Vec<(S, u32)>,
}

/// What a request asks of its next place.
#[derive(Clone, Debug, Default)]
pub struct Want {
    /// Only this tier will do.
    pub only: Option<Tier>,
    /// This tier first, if it has a credit.
    pub prefer: Option<Tier>,
    /// Cars that missed this request before.
    pub avoid: Vec<Arc<str>>,
    /// Whether it may wait here though another router keeps the queue.
    pub guest: bool,
}

/// A credit in use.
#[derive(Debug)]
pub enum Grant<C, S> {
    /// A car's connection.
    Car {
        /// The car's cell.
        place: Arc<str>,
        /// The connection itself.
        car: C,
    },
    /// One slot of a Triton server.
    Server {
        /// The server's pool.
        place: Arc<str>,
        /// The server.
        server: S,
    },
}

impl<C, S> Grant<C, S> {
    /// Where the replica is.
    pub const fn tier(&self) -> Tier {
        match self {
            Self::Car { .. } => Tier::Vehicle,
            Self::Server { .. } => Tier::Datacenter,
        }
    }
}

/// What happens to a waiting request.
#[derive(Debug)]
pub enum Turn<C, S, W> {
    /// It gets a credit.
    Serve(W, Grant<C, S>),
    /// Its deadline is too close for any answer, and others can use the credit.
    Shed(Shed<W>),
}

/// Credits and waiting requests of one workload. `C` is a car's connection, `S` a server, `W` what wakes a waiting request.
#[derive(Debug)]
pub struct Queue<C, S, W> {
    places: Vec<Place<C, S>>,
    waiting: Waiting<W>,
    pace: Pace,
    returning: Returning,
    limit: usize,
}

impl<C: Dialled, S: PartialEq + Clone, W> Queue<C, S, W> {
    /// An empty queue in which at most `limit` requests may wait.
    pub fn new(limit: usize) -> Self {
        Self {
            places: Vec::new(),
            waiting: Waiting::new(),
            pace: Pace::default(),
            returning: Returning::default(),
            limit,
        }
    }

    /// Follows a new plan. Returns the idle cars of places that are no longer in it, to be closed.
    pub fn follow(&mut self, plan: &[PlannedPlace<S>]) -> Vec<C> {
        let mut before = std::mem::take(&mut self.places);
        for planned in plan {
            let known = before.iter().position(|place| place.name == planned.name && place.tier == planned.tier);
            let mut place = known.map_or_else(|| Place::of(planned), |index| before.swap_remove(index));
            place.follow(planned);
            self.places.push(place);
        }
        before.into_iter().flat_map(|place| place.idle).collect()
    }

    /// A car offers itself. Gives the car back if the plan has no such cell.
    pub fn offer(&mut self, cell: &str, car: C) -> Result<(), C> {
        match self.cell(cell) {
            Some(place) => {
                place.idle.push_back(car);
                self.returning.come();
                Ok(())
            }
            None => Err(car),
        }
    }

    /// Takes a credit that is free now.
    pub fn take(&mut self, want: &Want) -> Option<Grant<C, S>> {
        take(&mut self.places, want)
    }

    /// Waits for a credit. It may take the place of a request with a lower priority.
    pub fn wait(&mut self, want: Want, standing: Standing, now: Instant, waker: W) -> Result<Admitted<W>, Refused> {
        let ticket = self.waiting.ticket(standing);
        let rank = self.waiting.rank(&ticket);
        let outlook = self.outlook(want.only, now);
        let ahead = self.waiting.ahead(rank, want.only);
        let left = standing.deadline.saturating_duration_since(now);
        if let Some(wait) = outlook.and_then(|outlook| outlook.too_late(ahead, left)) {
            return Err(Refused::TooLate(wait));
        }
        let full = self.waiting.len() >= self.limit;
        let shed = if full || rank < self.waiting.len() { self.displace(standing.priority, full, now) } else { None };
        if full && shed.is_none() {
            return Err(Refused::Full(outlook.map(|outlook| outlook.wait(ahead))));
        }
        self.waiting.insert(Waiter { ticket, want, waker });
        Ok(Admitted { ticket, shed })
    }

    /// The request that loses its place to one of this priority: of those with a lower one, the last whose deadline cannot be
    /// met any more; where the queue is full, the last.
    fn displace(&mut self, priority: u8, full: bool, now: Instant) -> Option<Shed<W>> {
        let outlooks = [None, Some(Tier::Vehicle), Some(Tier::Datacenter)].map(|only| (only, self.outlook(only, now)));
        let length = self.waiting.len();
        let mut last = None;
        for rank in (length.saturating_sub(LOOKED_AT)..length).rev() {
            let Some(waiter) = self.waiting.get(rank).filter(|waiter| waiter.ticket.priority() < priority) else {
                break;
            };
            let only = waiter.want.only;
            let outlook = outlooks.iter().find(|(tier, _)| *tier == only).and_then(|(_, outlook)| *outlook);
            // The one that comes is before it.
            let ahead = self.waiting.ahead(rank, only) + 1;
            let left = waiter.ticket.deadline().saturating_duration_since(now);
            let late = outlook.and_then(|outlook| outlook.too_late(ahead, left));
            if late.is_some() {
                return self.waiting.take(rank).map(|waiter| Shed { waker: waiter.waker, wait: late });
            }
            last = last.or(Some((rank, outlook.map(|outlook| outlook.wait(ahead)))));
        }
        let (rank, wait) = last.filter(|_| full)?;
        self.waiting.take(rank).map(|waiter| Shed { waker: waiter.waker, wait })
    }

    /// The waiting request gave up, or its deadline is over.
    pub fn forget(&mut self, ticket: Ticket) {
        self.waiting.forget(&ticket);
    }

    /// A replica of this tier answered well after this time.
    pub fn answered(&mut self, tier: Tier, took: Duration) {
        self.pace.add(tier, took);
    }

    /// Sends every waiting request away; their wakers come back to be dropped.
    pub fn dismiss(&mut self) -> impl Iterator<Item = W> + use<C, S, W> {
        self.waiting.clear().into_iter().map(|waiter| waiter.waker)
    }

    /// The use of a credit ended. A car is kept for the next request if `keep`; else it comes back to be closed.
    pub fn release(&mut self, grant: Grant<C, S>, keep: bool) -> Option<C> {
        match grant {
            Grant::Car { place, car } => {
                let Some(place) = self.cell(&place) else { return Some(car) };
                place.busy_cars = place.busy_cars.saturating_sub(1);
                if !keep {
                    self.returning.end(1);
                    return Some(car);
                }
                place.idle.push_back(car);
                None
            }
            Grant::Server { place, server } => {
                if let Some(server) = self.server(&place, &server) {
                    server.busy = server.busy.saturating_sub(1);
                }
                None
            }
        }
    }

    /// The next waiting request that can be served now, or is refused so that the next can be.
    pub fn next_turn(&mut self, now: Instant) -> Option<Turn<C, S, W>> {
        if self.waiting.len() == 0 || self.places.iter().all(|place| place.credits() == 0) {
            return None;
        }
        for rank in 0.. {
            let waiter = self.waiting.get(rank)?;
            let (only, left) = (waiter.want.only, waiter.ticket.deadline().saturating_duration_since(now));
            if self.waiting.alike(only) > 1
                && let Some(outlook) = self.outlook(only, now).filter(|outlook| outlook.is_hopeless(left))
            {
                let wait = Some(outlook.wait(0));
                return self.waiting.take(rank).map(|waiter| Turn::Shed(Shed { waker: waiter.waker, wait }));
            }
            if let Some(grant) = take(&mut self.places, &self.waiting.get(rank)?.want) {
                return self.waiting.take(rank).map(|waiter| Turn::Serve(waiter.waker, grant));
            }
        }
        None
    }

    /// A server fails: no request goes there until `open_server`. True if it was open, so that one caller starts probing.
    pub fn close_server(&mut self, place: &str, server: &S) -> bool {
        self.server(place, server).is_some_and(|server| std::mem::replace(&mut server.open, false))
    }

    /// A server answers again. False if the plan no longer has it.
    pub fn open_server(&mut self, place: &str, server: &S) -> bool {
        self.server(place, server).map(|server| server.open = true).is_some()
    }

    /// Whether the plan has this cell.
    pub fn has_cell(&mut self, name: &str) -> bool {
        self.cell(name).is_some()
    }

    /// A server that answers, for questions that take no slot.
    pub fn an_open_server(&self) -> Option<(Arc<str>, S)> {
        self.places.iter().find_map(|place| {
            let server = place.servers.iter().find(|server| server.open)?;
            Some((place.name.clone(), server.name.clone()))
        })
    }

    /// Whether the plan has this server.
    pub fn has_server(&mut self, place: &str, server: &S) -> bool {
        self.server(place, server).is_some()
    }

    /// An idle connection ended.
    pub fn withdraw(&mut self, id: u64) -> Option<C> {
        let gone = self.places.iter_mut().find_map(|place| {
            let index = place.idle.iter().position(|car| car.id() == id)?;
            place.idle.remove(index)
        });
        self.returning.end(usize::from(gone.is_some()));
        gone
    }

    /// Takes all idle connections of the cars that `leaves` names: their links may be dead, or they are trusted no longer.
    pub fn withdraw_vehicles(&mut self, leaves: impl Fn(&str) -> bool) -> Vec<C> {
        let mut gone = Vec::new();
        for place in &mut self.places {
            for _ in 0..place.idle.len() {
                match place.idle.pop_front() {
                    Some(car) if leaves(car.vehicle()) => gone.push(car),
                    Some(car) => place.idle.push_back(car),
                    None => break,
                }
            }
        }
        self.returning.end(gone.len());
        gone
    }

    /// Replicas of the tiers that `want` allows, busy or idle, cars that missed before included.
    pub fn replicas(&self, only: Option<Tier>) -> usize {
        self.allowed(only).map(Place::replicas).sum()
    }

    /// Free credits of one tier.
    pub fn credits(&self, tier: Tier) -> usize {
        self.allowed(Some(tier)).map(Place::credits).sum()
    }

    /// Whether the plan has a place of this tier.
    pub fn plans(&self, tier: Tier) -> bool {
        self.allowed(Some(tier)).next().is_some()
    }

    /// How many requests wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    fn allowed(&self, only: Option<Tier>) -> impl Iterator<Item = &Place<C, S>> {
        self.places.iter().filter(move |place| only.is_none_or(|tier| tier == place.tier))
    }

    fn cell(&mut self, name: &str) -> Option<&mut Place<C, S>> {
        self.places.iter_mut().find(|place| place.tier == Tier::Vehicle && &*place.name == name)
    }

    fn server(&mut self, place: &str, server: &S) -> Option<&mut Server<S>> {
        let place = self.places.iter_mut().find(|known| known.tier == Tier::Datacenter && &*known.name == place)?;
        place.servers.iter_mut().find(|known| known.name == *server)
    }

    /// How soon requests for these replicas are answered, as far as it is known. The first cars that are back after a link
    /// failed do not stand for all: those expected count as well.
    fn outlook(&mut self, only: Option<Tier>, now: Instant) -> Option<Outlook> {
        let mut at_a_time = [0; 2];
        for place in self.allowed(only) {
            at_a_time[place.tier as usize] += place.at_a_time();
        }
        let cars = &mut at_a_time[Tier::Vehicle as usize];
        if *cars > 0 {
            *cars += self.returning.expected(now);
        }
        self.pace.outlook(at_a_time)
    }
}

fn take<C: Dialled, S: PartialEq + Clone>(places: &mut [Place<C, S>], want: &Want) -> Option<Grant<C, S>> {
    let preferred = want.prefer.and_then(|tier| choose(places, want, Some(tier)));
    let index = preferred.or_else(|| choose(places, want, None))?;
    places[index].take(&want.avoid)
}

/// The place that is most behind its share among those with a credit; the plan's order among those without a share.
fn choose<C: Dialled, S: PartialEq + Clone>(
    places: &mut [Place<C, S>],
    want: &Want,
    tier: Option<Tier>,
) -> Option<usize> {
    let mut total = 0;
    let mut best: Option<(usize, i64)> = None;
    let mut spare: Option<usize> = None;
    for (index, place) in places.iter_mut().enumerate() {
        let allowed = [want.only, tier].into_iter().flatten().all(|wanted| wanted == place.tier);
        if !allowed || !place.has_credit(&want.avoid) {
            continue;
        }
        if place.share == 0 {
            spare = spare.or(Some(index));
            continue;
        }
        place.weight += place.share;
        total += place.share;
        if best.is_none_or(|(_, weight)| place.weight > weight) {
            best = Some((index, place.weight));
        }
    }
    if let Some((index, _)) = best {
        places[index].weight -= total;
    }
    best.map(|(index, _)| index).or(spare)
}

#[cfg(test)]
mod tests;
