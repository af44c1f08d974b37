//! One place of the plan as the queue sees it: idle cars, or servers with free slots.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Dialled, Grant, PlannedPlace, Tier};

/// A Triton server.
#[derive(Debug)]
pub struct Server<S> {
    /// Which one.
    pub name: S,
    /// How many requests it may have at a time.
    pub slots: u32,
    /// How many it has.
    pub busy: u32,
    /// Whether it answers.
    pub open: bool,
}

/// A cell or a Triton pool.
#[derive(Debug)]
pub struct Place<C, S> {
    /// Which one.
    pub name: Arc<str>,
    /// Which kind of place it is.
    pub tier: Tier,
    /// Percent of the expected rate.
    pub share: i64,
    /// The running weight of smooth weighted round robin.
    pub weight: i64,
    /// Idle connections of cars, oldest first, so that wear and pay spread evenly over cars.
    pub idle: VecDeque<C>,
    /// Cars with a request.
    pub busy_cars: usize,
    /// Its Triton servers.
    pub servers: Vec<Server<S>>,
    next_server: usize,
}

impl<C: Dialled, S: PartialEq + Clone> Place<C, S> {
    /// An empty one, for `follow`.
    pub fn of(planned: &PlannedPlace<S>) -> Self {
        Self {
            name: planned.name.clone(),
            tier: planned.tier,
            share: 0,
            weight: 0,
            idle: VecDeque::new(),
            busy_cars: 0,
            servers: Vec::new(),
            next_server: 0,
        }
    }

    /// Follows its line of the plan; servers that stay keep their requests.
    pub fn follow(&mut self, planned: &PlannedPlace<S>) {
        self.share = i64::from(planned.share);
        let mut old = std::mem::take(&mut self.servers);
        for (name, slots) in &planned.servers {
            let known = old.iter().position(|server| server.name == *name);
            let (busy, open) = known.map_or((0, true), |index| {
                let server = old.swap_remove(index);
                (server.busy, server.open)
            });
            self.servers.push(Server { name: name.clone(), slots: *slots, busy, open });
        }
        self.next_server = 0;
    }

    /// Whether it has a credit for a request that must not meet the cars of `avoid`.
    pub fn has_credit(&self, avoid: &[Arc<str>]) -> bool {
        self.servers.iter().any(Server::is_free) || self.idle.iter().any(|car| !avoid.contains(car.vehicle()))
    }

    /// Takes a credit.
    pub fn take(&mut self, avoid: &[Arc<str>]) -> Option<Grant<C, S>> {
        let count = self.servers.len();
        for step in 0..count {
            let index = (self.next_server + step) % count;
            if self.servers[index].is_free() {
                self.servers[index].busy += 1;
                self.next_server = (index + 1) % count;
                return Some(Grant::Server { place: self.name.clone(), server: self.servers[index].name.clone() });
            }
        }
        let index = self.idle.iter().position(|car| !avoid.contains(car.vehicle()))?;
        let car = self.idle.remove(index)?;
        self.busy_cars += 1;
        Some(Grant::Car { place: self.name.clone(), car })
    }

    /// Replicas that answer now or will again, whether busy or idle.
    pub fn replicas(&self) -> usize {
        self.idle.len() + self.busy_cars + self.servers.iter().filter(|server| server.open).count()
    }

    /// Requests that its replicas answer at a time.
    pub fn at_a_time(&self) -> usize {
        let slots: u32 = self.servers.iter().filter(|server| server.open).map(|server| server.slots).sum();
        self.idle.len() + self.busy_cars + slots as usize
    }

    /// Requests that it can take now.
    pub fn credits(&self) -> usize {
        let slots: u32 = self.servers.iter().filter(|server| server.open).map(Server::free).sum();
        self.idle.len() + slots as usize
    }
}

impl<S> Server<S> {
    const fn free(&self) -> u32 {
        self.slots.saturating_sub(self.busy)
    }

    const fn is_free(&self) -> bool {
        self.open && self.free() > 0
    }
}
