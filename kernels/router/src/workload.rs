//! One workload at run time: its queue, its rules, and permits to use one replica once.

mod permit;
mod rules;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::oneshot;
use tracing::warn;

use crate::car::Car;
use crate::definition::{Definition, Endpoint};
use crate::hedges::Hedges;
use crate::metrics::Meters;
use crate::observed::Observed;
use crate::peer::Peer;
use crate::queue::{self, Grant, Queue, Tier, Turn, Want};
use crate::settings::QUEUE_LIMIT;
use crate::strikes::{Fault, Strikes};
use crate::verify::{Bound, Verifier};
use crate::waiting::{Admitted, Refused, Shed, Standing, Ticket};

pub use permit::{Permit, Replica};
pub use rules::Rules;

/// A request waits this long where another router keeps the queue, before that one is asked (again).
const GUEST_PATIENCE: Duration = Duration::from_millis(250);

type Waker = oneshot::Sender<Result<Permit, NoPermit>>;
type CarQueue = Queue<Car, Arc<Endpoint>, Waker>;

/// One workload. Lives as long as its model name does.
#[derive(Debug)]
pub struct Workload {
    /// `namespace/name`.
    pub key: Arc<str>,
    /// The name callers use.
    pub model: Arc<str>,
    /// What is counted.
    pub meters: Meters,
    /// What its requests were lately.
    pub observed: Observed,
    /// Which answers of cars are checked.
    pub verifier: Verifier,
    queue: Mutex<CarQueue>,
    strikes: Mutex<Strikes>,
    /// `None`: off.
    hedges: Option<Mutex<Hedges>>,
    rules: RwLock<Arc<Rules>>,
    /// Whether the fleets it trusts ever changed, so that a car that was taken must be looked at again.
    retrusted: AtomicBool,
    /// The routers that keep the queue before this one; none if it is the owner.
    before: RwLock<Arc<[Arc<Peer>]>>,
    /// Whether there is such a router. Written with the queue locked, so that nobody begins to wait unseen.
    elsewhere: AtomicBool,
}

/// Why no permit was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoPermit {
    /// The queue is full. With the expected wait, if it is known.
    Full(Option<Duration>),
    /// The deadline cannot be met, or a higher priority needs the place. With the expected wait, if it is known.
    Shed(Option<Duration>),
    /// The time to wait is over.
    Late,
    /// Another router keeps the queue.
    Moved,
}

impl From<Refused> for NoPermit {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Full(wait) => Self::Full(wait),
            Refused::TooLate(wait) => Self::Shed(Some(wait)),
        }
    }
}

impl Workload {
    /// A workload as first seen; bad cars are kept away for `rejection`, and all workloads' checks share `bound`.
    pub fn new(key: Arc<str>, definition: &Definition, meters: Meters, rejection: Duration, bound: Bound) -> Self {
        let workload = Self {
            key,
            model: definition.model.clone(),
            meters,
            observed: Observed::new(),
            verifier: Verifier::new(bound),
            queue: Mutex::new(Queue::new(QUEUE_LIMIT)),
            strikes: Mutex::new(Strikes::new(rejection)),
            hedges: None,
            rules: RwLock::new(Arc::new(Rules::of(definition))),
            retrusted: AtomicBool::new(false),
            before: RwLock::default(),
            elsewhere: AtomicBool::new(false),
        };
        workload.tell_barred(&definition.barred);
        workload.meters.owns(true);
        workload.lock().follow(&definition.places);
        workload.verifier.follow(definition.verify_percent);
        workload
    }

    /// With a second attempt for at most this percent of its requests.
    pub fn hedging(mut self, percent: u8) -> Self {
        self.hedges = (percent > 0).then(|| Mutex::new(Hedges::new(percent)));
        self
    }

    /// Patience and budget for hedges, unless they are off.
    pub fn hedges(&self) -> Option<MutexGuard<'_, Hedges>> {
        self.hedges.as_ref().map(|hedges| hedges.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Follows a changed definition; connections of cells that left the plan are closed.
    pub fn follow(self: &Arc<Self>, definition: &Definition) {
        let before = self.rules();
        if before.barred != definition.barred {
            self.tell_barred(&definition.barred);
        }
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Rules::of(definition));
        self.verifier.follow(definition.verify_percent);
        let gone = self.lock().follow(&definition.places);
        drop(gone);
        if before.fleets != definition.fleets {
            self.retrusted.store(true, Ordering::Relaxed);
            let rules = self.rules();
            let gone = self.lock().withdraw_vehicles(|vehicle| !rules.trust(vehicle));
            drop(gone);
        }
        self.hand_over();
    }

    fn tell_barred(&self, barred: &[String]) {
        self.meters.bars(barred.len());
        if !barred.is_empty() {
            let places = barred.join(", ");
            warn!(workload = &*self.key, "not used, being outside of spec.placement.jurisdictions: {places}");
        }
    }

    /// The namespace of its manifest.
    pub fn namespace(&self) -> &str {
        self.key.split_once('/').map_or("", |(namespace, _)| namespace)
    }

    /// The manifest's rules at this moment.
    pub fn rules(&self) -> Arc<Rules> {
        self.rules.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for a credit until `until`.
    pub async fn acquire(self: &Arc<Self>, want: Want, standing: Standing, until: Instant) -> Result<Permit, NoPermit> {
        let (ticket, shed, mut receiver, elsewhere) = {
            let mut queue = self.lock();
            let elsewhere = self.elsewhere.load(Ordering::Relaxed);
            let taken = if elsewhere && !want.guest { take_car(&mut queue, want.clone()) } else { queue.take(&want) };
            if let Some(grant) = taken {
                drop(queue);
                return Ok(self.permit(grant));
            }
            if elsewhere && !want.guest {
                return Err(NoPermit::Moved);
            }
            let (waker, receiver) = oneshot::channel();
            let Admitted { ticket, shed } = queue.wait(want, standing, Instant::now(), waker)?;
            (ticket, shed, receiver, elsewhere)
        };
        if let Some(shed) = shed {
            refuse(shed);
        }
        let _forget = Forget { workload: self, ticket };
        let patience = if elsewhere { until.min(Instant::now() + GUEST_PATIENCE) } else { until };
        match tokio::time::timeout_at(patience.into(), &mut receiver).await {
            Ok(Ok(told)) => told,
            Ok(Err(_)) => Err(NoPermit::Moved),
            Err(_) if patience < until => Err(NoPermit::Moved),
            Err(_) => Err(NoPermit::Late),
        }
    }

    /// A credit that is free now; whoever waits for one has it already.
    pub fn try_acquire(self: &Arc<Self>, want: &Want) -> Option<Permit> {
        let mut queue = self.lock();
        let grant = if self.is_elsewhere() { take_car(&mut queue, want.clone()) } else { queue.take(want) }?;
        drop(queue);
        Some(self.permit(grant))
    }

    /// The routers that keep the queue before this one.
    pub fn before(&self) -> Arc<[Arc<Peer>]> {
        self.before.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether another router keeps the queue.
    pub fn is_elsewhere(&self) -> bool {
        self.elsewhere.load(Ordering::Relaxed)
    }

    /// Follows a change of owners. Requests that wait here, while another router keeps the queue, go there.
    pub fn comes_after(&self, before: &Arc<[Arc<Peer>]>) {
        let elsewhere = !before.is_empty();
        let known =
            std::mem::replace(&mut *self.before.write().unwrap_or_else(PoisonError::into_inner), before.clone());
        let same = known.len() == before.len() && known.iter().zip(&**before).all(|(old, new)| Arc::ptr_eq(old, new));
        if same {
            return;
        }
        self.meters.owns(!elsewhere);
        let mut queue = self.lock();
        self.elsewhere.store(elsewhere, Ordering::Relaxed);
        let waiting = elsewhere.then(|| queue.dismiss());
        drop(queue);
        waiting.into_iter().flatten().for_each(drop);
    }

    /// A car offers a connection; it is closed if its cell has left the plan, or its fleet is trusted no longer.
    pub fn offer(self: &Arc<Self>, cell: &str, car: Car) {
        let refused = {
            let mut queue = self.lock();
            if self.still_trusts(&car) { queue.offer(cell, car) } else { Err(car) }
        };
        drop(refused);
        self.hand_over();
    }

    /// An idle connection ended.
    pub fn withdraw(&self, id: u64) {
        let gone = self.lock().withdraw(id);
        drop(gone);
    }

    /// All idle connections of a car whose link may be dead.
    pub fn withdraw_vehicle(&self, vehicle: &str) {
        let gone = self.lock().withdraw_vehicles(|name| name == vehicle);
        drop(gone);
    }

    /// An answer of a car could not be used; after several in a row the car is kept away for a while.
    pub fn strike(&self, vehicle: &Arc<str>) {
        let mut strikes = self.strikes();
        let seconds = strikes.rest().as_secs();
        let kept_away = strikes.against(vehicle, Instant::now());
        drop(strikes);
        if kept_away {
            warn!(workload = &*self.key, "a car's answers cannot be used; its offers are refused for {seconds} s");
            self.withdraw_vehicle(vehicle);
        }
    }

    /// A car's answer was wrong, and it is kept away for a while.
    pub fn condemn(&self, vehicle: &Arc<str>) {
        let mut strikes = self.strikes();
        let seconds = strikes.rest().as_secs();
        let kept_away = strikes.condemn(vehicle, Instant::now());
        drop(strikes);
        if kept_away {
            warn!(workload = &*self.key, "a car's answers are not Triton's; its offers are refused for {seconds} s");
        }
        self.withdraw_vehicle(vehicle);
    }

    /// A car answered well; false if it is kept away all the same, so that its connection is to be closed.
    pub fn forgive(&self, vehicle: &str) -> bool {
        self.strikes().forgive(vehicle)
    }

    /// How long a car's offers are still refused because of its answers, and what is wrong with them.
    pub fn keeps_away(&self, vehicle: &str) -> Option<(Duration, Fault)> {
        self.strikes().refuses(vehicle, Instant::now())
    }

    fn strikes(&self) -> MutexGuard<'_, Strikes> {
        self.strikes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps requests from a failing server; true for the one caller that must probe it.
    pub fn close_server(&self, place: &str, server: &Arc<Endpoint>) -> bool {
        self.lock().close_server(place, server)
    }

    /// A failing server answers again.
    pub fn open_server(self: &Arc<Self>, place: &str, server: &Arc<Endpoint>) {
        self.lock().open_server(place, server);
        self.hand_over();
    }

    /// Whether the plan has this cell.
    pub fn has_cell(&self, name: &str) -> bool {
        self.lock().has_cell(name)
    }

    /// A server that answers, for questions that take no slot, and its place.
    pub fn an_open_server(&self) -> Option<(Arc<str>, Arc<Endpoint>)> {
        self.lock().an_open_server()
    }

    /// Whether the plan has this server.
    pub fn has_server(&self, place: &str, server: &Arc<Endpoint>) -> bool {
        self.lock().has_server(place, server)
    }

    /// Replicas that answer now or will again, of one tier or of all.
    pub fn replicas(&self, only: Option<Tier>) -> usize {
        self.lock().replicas(only)
    }

    /// Whether the plan has a place of this tier.
    pub fn plans(&self, tier: Tier) -> bool {
        self.lock().plans(tier)
    }

    /// Sets the gauges.
    pub fn measure(&self) {
        let queue = self.lock();
        self.meters.holds(queue.credits(Tier::Vehicle), queue.credits(Tier::Datacenter), queue.waiting());
    }

    /// What a plan may learn from its requests; all counts only grow, but for those that wait.
    pub fn report(&self, region: Option<&str>) -> Value {
        let mut report = self.observed.json(region);
        self.meters.report(&mut report);
        report.insert("waiting".to_owned(), self.lock().waiting().into());
        report.into()
    }

    /// Closes every idle connection.
    pub fn close(&self) {
        let gone = self.lock().follow(&[]);
        drop(gone);
    }

    /// Wakes waiting requests as long as there are credits for them. Outside the lock, because a request that gave up
    /// meanwhile drops its permit, which releases the credit again.
    fn hand_over(self: &Arc<Self>) {
        loop {
            let turn = {
                let mut queue = self.lock();
                if queue.waiting() == 0 {
                    return;
                }
                queue.next_turn(Instant::now())
            };
            match turn {
                Some(Turn::Serve(waker, grant)) => drop(waker.send(Ok(self.permit(grant)))),
                Some(Turn::Shed(shed)) => refuse(shed),
                None => return,
            }
        }
    }

    fn permit(self: &Arc<Self>, grant: Grant<Car, Arc<Endpoint>>) -> Permit {
        Permit::new(self.clone(), grant)
    }

    fn release(self: &Arc<Self>, grant: Grant<Car, Arc<Endpoint>>, keep: bool, took: Option<Duration>) {
        let (gone, waiting) = {
            let mut queue = self.lock();
            if let Some(took) = took {
                queue.answered(grant.tier(), took);
            }
            let keep = keep && !matches!(&grant, Grant::Car { car, .. } if !self.still_trusts(car));
            (queue.release(grant, keep), queue.waiting())
        };
        drop(gone);
        if waiting > 0 {
            self.hand_over();
        }
    }

    /// Whether a car that was taken may stay. Asked with the queue locked, so that no car slips past a change of the fleets.
    fn still_trusts(&self, car: &Car) -> bool {
        !self.retrusted.load(Ordering::Relaxed) || self.rules().trust(&car.vehicle)
    }

    fn lock(&self) -> MutexGuard<'_, CarQueue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A car that still comes here though another router keeps the queue; Triton's slots are that router's.
fn take_car(queue: &mut CarQueue, want: Want) -> Option<Grant<Car, Arc<Endpoint>>> {
    match want.only {
        Some(Tier::Datacenter) => None,
        _ => queue.take(&Want { only: Some(Tier::Vehicle), ..want }),
    }
}

/// Tells a waiting request that it is refused; it may have given up meanwhile.
fn refuse(shed: Shed<Waker>) {
    drop(shed.waker.send(Err(NoPermit::Shed(shed.wait))));
}

/// Leaves the queue when the request is dropped, its deadline is over, or it was served.
struct Forget<'a> {
    workload: &'a Workload,
    ticket: Ticket,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.workload.lock().forget(self.ticket);
    }
}

impl queue::Dialled for Car {
    fn id(&self) -> u64 {
        self.id
    }

    fn vehicle(&self) -> &Arc<str> {
        &self.vehicle
    }
}
