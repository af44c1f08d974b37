//! Permits: the right to use one replica once, given back whatever becomes of the request.

use std::sync::Arc;
use std::time::Duration;

use super::Workload;
use crate::car::Car;
use crate::definition::Endpoint;
use crate::queue::{Grant, Tier};

/// How long an answered car may take to be ready for the next request.
const READY_AGAIN: Duration = Duration::from_secs(1);

/// The right to send one request to one replica. Dropped while a request is under way, it closes the car's connection, which
/// cancels the request there; a Triton slot is free again in any case.
#[derive(Debug)]
pub struct Permit {
    workload: Arc<Workload>,
    grant: Option<Grant<Car, Arc<Endpoint>>>,
    under_way: bool,
}

/// A replica to send a request to.
#[derive(Debug)]
pub enum Replica<'a> {
    /// A car's connection.
    Car(&'a mut Car),
    /// A Triton server.
    Server(&'a Arc<Endpoint>),
}

impl Permit {
    /// Of a credit that the workload's queue granted.
    pub const fn new(workload: Arc<Workload>, grant: Grant<Car, Arc<Endpoint>>) -> Self {
        Self { workload, grant: Some(grant), under_way: false }
    }

    /// Where the replica is.
    pub fn place(&self) -> (Tier, Arc<str>) {
        match &self.grant {
            Some(Grant::Car { place, .. }) => (Tier::Vehicle, place.clone()),
            Some(Grant::Server { place, .. }) => (Tier::Datacenter, place.clone()),
            None => unreachable!("a permit holds its grant until it is consumed"),
        }
    }

    /// The car, unless it is a Triton server.
    pub fn vehicle(&self) -> Option<Arc<str>> {
        match &self.grant {
            Some(Grant::Car { car, .. }) => Some(car.vehicle.clone()),
            _ => None,
        }
    }

    /// Whether any other replica might answer this workload.
    pub fn has_alternative(&self) -> bool {
        self.workload.replicas(None) > 1
    }

    /// The largest of a car's recent answer times; `None` for Triton and for a car that has answered little.
    pub fn recent_p99(&self) -> Option<Duration> {
        match &self.grant {
            Some(Grant::Car { car, .. }) => car.recent_p99(),
            _ => None,
        }
    }

    /// The replica, to send a request to; from now on a drop cancels.
    pub const fn begin(&mut self) -> Replica<'_> {
        self.under_way = true;
        match &mut self.grant {
            Some(Grant::Car { car, .. }) => Replica::Car(car),
            Some(Grant::Server { server, .. }) => Replica::Server(server),
            None => unreachable!(),
        }
    }

    /// The replica is free for the next request; `took` is the time of a good answer.
    pub fn finish(mut self, took: Option<Duration>) {
        match self.grant.take() {
            Some(Grant::Car { place, mut car }) => {
                if car.is_ready() {
                    self.workload.release(Grant::Car { place, car }, true, took);
                    return;
                }
                let workload = self.workload.clone();
                tokio::spawn(async move {
                    let ready = tokio::time::timeout(READY_AGAIN, car.ready()).await;
                    workload.release(Grant::Car { place, car }, ready == Ok(true), took);
                });
            }
            Some(grant) => self.workload.release(grant, true, took),
            None => {}
        }
    }

    /// The replica did not serve; a car's connection is closed.
    pub fn discard(mut self) {
        if let Some(grant) = self.grant.take() {
            self.workload.release(grant, false, None);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(grant) = self.grant.take() {
            self.workload.release(grant, !self.under_way, None);
        }
    }
}
