//! One request and its attempts: a credit, a place, an answer or a miss, another place, inside the deadline.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::{Either, select};
use tracing::debug;

use crate::ask::{Answer, Ask, Attempt};
use crate::definition::Endpoint;
use crate::errors::{Cause, Outcome, Refusal};
use crate::hedges::Hedged;
use crate::queue::{Tier, Want};
use crate::spans::Trace;
use crate::terms::Terms;
use crate::triton::Tritons;
use crate::verify;
use crate::workload::{NoPermit, Permit, Replica, Workload};

/// From this attempt on a Triton server is preferred: candidates are car, car, Triton, then any place left.
const PREFER_TRITON_FROM: u32 = 3;
/// Attempts after which a request is given up though its deadline is not over.
const MOST_ATTEMPTS: u32 = 16;
/// Failures on the request itself after which another place would only fail as well.
const MOST_VERDICTS: u32 = 3;
/// A car's attempt may take this many times its own recent p99, so that a slow one is not taken for a dead one.
const CAR_PATIENCE: u32 = 3;
/// No attempt at a car is given up before this, nor before the workload's target: an answer by then is on time.
const CAR_FLOOR: Duration = Duration::from_millis(50);
/// A car that was not there is asked again when no other replica has become free for this long.
const BACK_AGAIN: Duration = Duration::from_millis(50);
/// With less than this left, time is not split for a further attempt.
const TOO_SHORT_TO_SPLIT: Duration = Duration::from_millis(20);

/// An answer and where it came from.
#[derive(Debug)]
pub struct Served {
    /// The answer.
    pub answer: Answer,
    /// Tier and place.
    pub place: (Tier, Arc<str>),
    /// Whether a place failed on the request itself.
    pub failed: bool,
}

impl Served {
    /// How the request ended.
    pub fn outcome(&self) -> Outcome {
        match (self.answer.is_good(), self.failed) {
            (true, _) => Outcome::Answered,
            (false, true) => Outcome::Failed,
            (false, false) => Outcome::Rejected,
        }
    }
}

/// How far a request has come, for the record of one whose caller leaves first.
#[derive(Debug, Default)]
pub struct Progress {
    /// Attempts made.
    pub attempts: u32,
    /// Tier and place of the last attempt.
    pub place: Option<(Tier, Arc<str>)>,
}

/// Finds a place that answers before the deadline of these terms.
pub async fn dispatch(
    tritons: &Tritons,
    workload: &Arc<Workload>,
    ask: &Ask,
    terms: Terms,
    progress: &mut Progress,
) -> Result<Served, Refusal> {
    let begun = Instant::now();
    let target = workload.rules().target;
    let mut search = Search::new(tritons, workload, ask, terms, progress);
    loop {
        if search.progress.attempts + 1 >= PREFER_TRITON_FROM {
            search.want.prefer = Some(Tier::Datacenter);
        }
        let permit = match search.acquire().await {
            Ok(permit) if search.progress.attempts < MOST_ATTEMPTS => permit,
            Err(NoPermit::Moved) => return Err(Refusal::Moved(workload.key.to_string())),
            given_up => return search.given_up(given_up.err(), begun),
        };
        search.progress.attempts += 1;
        search.progress.place = Some(permit.place());
        let now = Instant::now();
        let left = terms.standing.deadline.saturating_duration_since(now);
        // Without a second attempt no time need be kept for it.
        let limit = if terms.at_most_once { left } else { permit.limit(target, left) };
        let (attempt, place) = search.once(permit, now, limit).await;
        match search.judge(attempt, place) {
            Ok(served) => return Ok(served),
            Err(cause) => search.missed(cause),
        }
        if let Some(refusal) = search.perhaps_done() {
            return search.words.ok_or(refusal);
        }
    }
}

/// A replica that was asked.
enum Asked {
    Car(Arc<str>),
    Server(Arc<Endpoint>),
}

/// An attempt that ended by itself.
struct Done {
    permit: Permit,
    replica: Asked,
    attempt: Attempt,
    /// The time of a good answer.
    took: Option<Duration>,
}

/// One attempt. Dropped before its end it is cancelled at its place, as its permit is then.
async fn send(tritons: &Tritons, ask: &Ask, mut permit: Permit, begun: Instant, limit: Duration) -> Done {
    let mut hop = ask.trace.as_ref().map(|trace| Box::new(trace.attempt(ask, &permit.place())));
    let (replica, attempt) = match permit.begin() {
        Replica::Car(car) => {
            let vehicle = car.vehicle.clone();
            (Asked::Car(vehicle), tokio::time::timeout(limit, car.attempt(ask, limit, hop.as_deref())).await)
        }
        Replica::Server(server) => {
            let server = server.clone();
            if let Some(hop) = &mut hop {
                hop.asks(ask, &server);
            }
            let attempt = tokio::time::timeout(limit, tritons.attempt(&server, ask, limit, hop.as_deref())).await;
            (Asked::Server(server), attempt)
        }
    };
    let attempt = attempt.unwrap_or(Attempt::Missed(Cause::Timeout));
    if let Some(hop) = hop {
        hop.end(&attempt);
    }
    let took = attempt.is_good().then(|| begun.elapsed());
    Done { permit, replica, attempt, took }
}

/// One request on its way from place to place.
struct Search<'a> {
    tritons: &'a Tritons,
    workload: &'a Arc<Workload>,
    ask: &'a Ask,
    terms: Terms,
    want: Want,
    progress: &'a mut Progress,
    verdicts: u32,
    /// Why the last attempt missed.
    last: Option<Cause>,
    /// A refusal in a place's own words, for the caller if no other place answers.
    words: Option<Served>,
    /// Cars that were not there for this request, and may be back.
    absent: Vec<Arc<str>>,
    /// Cars that failed on this request. That it was their fault shows when another place answers it.
    suspects: Vec<Arc<str>>,
}

impl<'a> Search<'a> {
    const fn new(
        tritons: &'a Tritons,
        workload: &'a Arc<Workload>,
        ask: &'a Ask,
        terms: Terms,
        progress: &'a mut Progress,
    ) -> Self {
        let want = Want { only: ask.only, prefer: None, avoid: Vec::new(), guest: ask.guest };
        let absent = Vec::new();
        Self {
            tritons,
            workload,
            ask,
            terms,
            want,
            progress,
            verdicts: 0,
            last: None,
            words: None,
            absent,
            suspects: Vec::new(),
        }
    }

    /// Waits for a credit. What makes all cars dial again at once (another router, another plan) would leave a request that
    /// it met with no car to ask, so those that were not there are asked again when no other is free for a while.
    async fn acquire(&mut self) -> Result<Permit, NoPermit> {
        let _waits = self.ask.trace.as_ref().map(Trace::waits);
        let standing = self.terms.standing;
        if !self.absent.is_empty() {
            let patience = standing.deadline.min(Instant::now() + BACK_AGAIN);
            match self.workload.acquire(self.want.clone(), standing, patience).await {
                Err(NoPermit::Late) => {}
                known => return known,
            }
            let absent = std::mem::take(&mut self.absent);
            self.want.avoid.retain(|vehicle| !absent.contains(vehicle));
        }
        self.workload.acquire(self.want.clone(), standing, standing.deadline).await
    }

    fn given_up(self, why: Option<NoPermit>, begun: Instant) -> Result<Served, Refusal> {
        let (attempts, last) = (self.progress.attempts, self.last);
        self.words.ok_or_else(|| {
            let workload = self.workload.key.to_string();
            match why {
                Some(NoPermit::Full(wait)) => Refusal::QueueFull { workload, wait },
                Some(NoPermit::Shed(wait)) => Refusal::Shed { workload, wait },
                Some(NoPermit::Late | NoPermit::Moved) | None => {
                    Refusal::NoPlace { workload, attempts, waited: begun.elapsed(), last }
                }
            }
        })
    }

    /// The end of a request that must not be sent twice, once a place may have got it.
    fn perhaps_done(&self) -> Option<Refusal> {
        let cause = self.last.filter(|cause| self.terms.at_most_once && !cause.is_unsent())?;
        Some(Refusal::PerhapsDone { workload: self.workload.key.to_string(), cause })
    }

    fn missed(&mut self, cause: Cause) {
        let Progress { attempts, place } = &*self.progress;
        debug!(workload = &*self.workload.key, attempts, ?place, "an attempt missed: {}", cause.label());
        self.workload.meters.missed(cause);
        self.last = Some(cause);
        if cause == Cause::Closed {
            // Nothing was sent: the car had left before the request came.
            self.progress.attempts -= 1;
        }
    }

    /// One attempt, and where hedges are on, a second one beside it when a car is slow.
    async fn once(&mut self, permit: Permit, begun: Instant, limit: Duration) -> (Attempt, (Tier, Arc<str>)) {
        match self.patience(&permit) {
            Some((patience, vehicle)) if patience < limit => {
                self.hedged(permit, begun, limit, (patience, vehicle)).await
            }
            _ => self.settle(send(self.tritons, self.ask, permit, begun, limit).await),
        }
    }

    /// The car that is asked, and when it is slow; `None` where no second attempt may follow.
    fn patience(&self, permit: &Permit) -> Option<(Duration, Arc<str>)> {
        let mut hedges = self.workload.hedges().filter(|_| !self.terms.at_most_once)?;
        let vehicle = permit.vehicle()?;
        Some((hedges.patience()?, vehicle))
    }

    /// The first good answer of two attempts. The other is dropped, which cancels it at its place.
    async fn hedged(
        &mut self,
        permit: Permit,
        begun: Instant,
        limit: Duration,
        (patience, vehicle): (Duration, Arc<str>),
    ) -> (Attempt, (Tier, Arc<str>)) {
        let (tritons, ask) = (self.tritons, self.ask);
        let mut first = pin!(send(tritons, ask, permit, begun, limit));
        if let Ok(done) = tokio::time::timeout(patience, first.as_mut()).await {
            return self.settle(done);
        }
        let Some(permit) = self.second(vehicle) else {
            self.workload.meters.hedged(Hedged::Skipped);
            return self.settle(first.await);
        };
        self.progress.attempts += 1;
        let now = Instant::now();
        let left = limit.saturating_sub(now.saturating_duration_since(begun));
        let second = pin!(send(tritons, ask, permit, now, left));
        let (done, other, won) = match select(first, second).await {
            Either::Left((done, second)) => (done, second, Hedged::Lost),
            Either::Right((done, first)) => (done, first, Hedged::Won),
        };
        let Attempt::Missed(cause) = done.attempt else {
            if won == Hedged::Won
                && let Some(mut hedges) = self.workload.hedges()
            {
                // How slow the first one would have been is not known, only that it was slower than this.
                hedges.answered(begun.elapsed());
            }
            self.workload.meters.hedged(won);
            return self.settle(done);
        };
        self.settle(done);
        self.missed(cause);
        let done = other.await;
        let answered = !matches!(done.attempt, Attempt::Missed(_));
        let ended = match won {
            _ if !answered => Hedged::Failed,
            Hedged::Lost => Hedged::Won,
            _ => Hedged::Lost,
        };
        self.workload.meters.hedged(ended);
        self.settle(done)
    }

    /// A free replica elsewhere for a second attempt, if the budget allows one.
    fn second(&self, vehicle: Arc<str>) -> Option<Permit> {
        let mut want = self.want.clone();
        want.avoid.push(vehicle);
        let permit = self.workload.try_acquire(&want)?;
        self.workload.hedges()?.spend().then_some(permit)
    }

    /// After an attempt the replica is free again, or closed, or rests.
    fn settle(&mut self, done: Done) -> (Attempt, (Tier, Arc<str>)) {
        let Done { permit, replica, attempt, took } = done;
        let place = permit.place();
        match replica {
            Asked::Car(vehicle) => {
                if let (Some(took), Some(mut hedges)) = (took, self.workload.hedges()) {
                    hedges.answered(took);
                }
                if self.remember(vehicle, &attempt) {
                    permit.finish(took);
                } else {
                    permit.discard();
                }
            }
            Asked::Server(server) => {
                if matches!(attempt, Attempt::Missed(_)) {
                    self.tritons.rest(self.workload, &place.1, &server);
                } else if let Some(took) = took {
                    self.workload.observed.place(&place.1, took);
                }
                permit.finish(took);
            }
        }
        (attempt, place)
    }

    /// What an attempt says about the car; true if it may have the next request.
    fn remember(&mut self, vehicle: Arc<str>, attempt: &Attempt) -> bool {
        match attempt {
            Attempt::Answered(answer) if answer.is_good() => {
                // A spot check sends the request to another place.
                if !self.terms.at_most_once {
                    verify::consider(self.tritons, self.workload, self.ask, &vehicle, answer);
                }
                return self.workload.forgive(&vehicle);
            }
            Attempt::Answered(_) => return true,
            Attempt::Missed(Cause::Closed) => return false,
            Attempt::Missed(Cause::Timeout) => {
                // The link may be dead, and then its other connections are as well.
                self.workload.withdraw_vehicle(&vehicle);
                self.absent.push(vehicle.clone());
            }
            Attempt::Missed(Cause::Connect | Cause::Broken | Cause::NotReady) => self.absent.push(vehicle.clone()),
            Attempt::Missed(Cause::Malformed) => self.workload.strike(&vehicle),
            Attempt::Missed(Cause::Failed) => self.suspects.push(vehicle.clone()),
            _ => {}
        }
        self.want.avoid.push(vehicle);
        !matches!(attempt, Attempt::Missed(_))
    }

    /// The caller's answer, or why there is none yet.
    fn judge(&mut self, attempt: Attempt, place: (Tier, Arc<str>)) -> Result<Served, Cause> {
        let only = self.ask.only;
        match attempt {
            Attempt::Answered(answer) => {
                if answer.is_good() {
                    self.suspects.iter().for_each(|vehicle| self.workload.strike(vehicle));
                }
                Ok(Served { answer, place, failed: false })
            }
            Attempt::Verdict(answer) => {
                self.verdicts += 1;
                let served = Served { answer, place, failed: true };
                if self.verdicts >= MOST_VERDICTS || self.workload.replicas(only) < 2 {
                    return Ok(served);
                }
                self.words = Some(served);
                Err(Cause::Failed)
            }
            Attempt::Elsewhere(answer) => {
                let served = Served { answer, place, failed: false };
                if self.terms.at_most_once {
                    return Ok(served);
                }
                // All cars are much alike, so that a Triton server is asked where the plan has one.
                if self.workload.plans(Tier::Datacenter) {
                    self.want.only = Some(Tier::Datacenter);
                } else if self.words.is_some() || self.workload.replicas(only) < 2 {
                    return Ok(served);
                } else {
                    self.words = Some(served);
                }
                Err(Cause::Unsupported)
            }
            Attempt::Missed(cause) => Err(cause),
        }
    }
}

impl Permit {
    /// How long one attempt may take, so that another place can still answer if this one does not.
    fn limit(&self, target: Duration, left: Duration) -> Duration {
        if left < TOO_SHORT_TO_SPLIT || !self.has_alternative() {
            return left;
        }
        attempt_limit(self.recent_p99(), target, left)
    }
}

fn attempt_limit(recent_p99: Option<Duration>, target: Duration, left: Duration) -> Duration {
    let half = left / 2;
    recent_p99.map_or(half, |p99| (p99 * CAR_PATIENCE).max(CAR_FLOOR).max(target).min(half))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::attempt_limit;

    #[test]
    fn an_attempt_leaves_time_for_another() {
        let ms = Duration::from_millis;
        assert_eq!(attempt_limit(None, ms(100), ms(2000)), ms(1000));
        assert_eq!(attempt_limit(Some(ms(10)), ms(20), ms(2000)), ms(50), "the floor");
        assert_eq!(attempt_limit(Some(ms(10)), ms(150), ms(2000)), ms(150), "the target");
        assert_eq!(attempt_limit(Some(ms(200)), ms(150), ms(2000)), ms(600), "its own p99");
        assert_eq!(attempt_limit(Some(ms(900)), ms(150), ms(2000)), ms(1000), "the cap");
    }
}
