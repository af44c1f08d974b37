//! One request and its attempts: a credit, a place, an answer or a miss, another place, inside the deadline.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::ask::{Answer, Ask, Attempt};
use crate::errors::{Cause, Refusal};
use crate::queue::{Tier, Want};
use crate::triton::Tritons;
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
/// With less than this left, time is not split for a further attempt.
const TOO_SHORT_TO_SPLIT: Duration = Duration::from_millis(20);

/// An answer and where it came from.
#[derive(Debug)]
pub struct Served {
    /// The answer.
    pub answer: Answer,
    /// Tier and place.
    pub place: (Tier, Arc<str>),
    /// Attempts made.
    pub attempts: u32,
    /// Whether a place failed on the request itself.
    pub failed: bool,
}

/// No answer.
#[derive(Debug)]
pub struct Unserved {
    /// Why.
    pub refusal: Refusal,
    /// Attempts made.
    pub attempts: u32,
}

/// Finds a place that answers before `deadline`.
pub async fn dispatch(
    tritons: &Tritons,
    workload: &Arc<Workload>,
    ask: &Ask,
    deadline: Instant,
) -> Result<Served, Unserved> {
    let begun = Instant::now();
    let target = workload.rules().target;
    let mut want = Want { only: ask.only, prefer: None, avoid: Vec::new() };
    let (mut attempts, mut verdicts, mut last) = (0, 0, None);
    let mut words: Option<Served> = None;
    loop {
        if attempts + 1 >= PREFER_TRITON_FROM {
            want.prefer = Some(Tier::Datacenter);
        }
        let permit = match workload.acquire(want.clone(), deadline).await {
            Ok(permit) if attempts < MOST_ATTEMPTS => permit,
            given_up => {
                let full = matches!(given_up, Err(NoPermit::Full));
                return words.ok_or_else(|| unserved(workload, full, attempts, begun, last));
            }
        };
        attempts += 1;
        let place = permit.place();
        let limit = permit.limit(target, deadline.saturating_duration_since(Instant::now()));
        let cause = match once(tritons, workload, permit, ask, limit, &mut want).await {
            Attempt::Answered(answer) => return Ok(Served { answer, place, attempts, failed: false }),
            Attempt::Verdict(answer) => {
                verdicts += 1;
                words = Some(Served { answer, place, attempts, failed: true });
                let hopeless = verdicts >= MOST_VERDICTS || workload.replicas(ask.only) < 2;
                if hopeless && let Some(served) = words {
                    return Ok(served);
                }
                Cause::Failed
            }
            Attempt::Elsewhere(answer) => {
                // All cars are much alike, so that a Triton server is asked where the plan has one.
                if workload.plans(Tier::Datacenter) {
                    want.only = Some(Tier::Datacenter);
                } else if words.is_some() || workload.replicas(ask.only) < 2 {
                    return Ok(Served { answer, place, attempts, failed: false });
                } else {
                    words = Some(Served { answer, place, attempts, failed: false });
                }
                Cause::Unsupported
            }
            Attempt::Missed(cause) => cause,
        };
        workload.meters.missed(cause);
        last = Some(cause);
        if cause == Cause::Closed {
            // Nothing was sent: the car had left before the request came.
            attempts -= 1;
        }
    }
}

fn unserved(workload: &Workload, full: bool, attempts: u32, begun: Instant, last: Option<Cause>) -> Unserved {
    let key = workload.key.to_string();
    let refusal = if full {
        Refusal::QueueFull(key)
    } else {
        Refusal::NoPlace { workload: key, attempts, waited: begun.elapsed(), last }
    };
    Unserved { refusal, attempts }
}

/// One attempt; afterwards the replica is free again, or closed, or rests.
async fn once(
    tritons: &Tritons,
    workload: &Arc<Workload>,
    mut permit: Permit,
    ask: &Ask,
    limit: Duration,
    want: &mut Want,
) -> Attempt {
    let (_, place) = permit.place();
    match permit.begin() {
        Replica::Car(car) => {
            let vehicle = car.vehicle.clone();
            let attempt = tokio::time::timeout(limit, car.attempt(ask, limit)).await;
            let attempt = attempt.unwrap_or(Attempt::Missed(Cause::Timeout));
            match attempt {
                Attempt::Missed(Cause::Closed) => permit.discard(),
                Attempt::Elsewhere(_) => {
                    permit.finish();
                    want.avoid.push(vehicle);
                }
                Attempt::Missed(cause) => {
                    permit.discard();
                    if cause == Cause::Timeout {
                        // The link may be dead, and then its other connections are as well.
                        workload.withdraw_vehicle(&vehicle);
                    }
                    want.avoid.push(vehicle);
                }
                _ => permit.finish(),
            }
            attempt
        }
        Replica::Server(server) => {
            let server = server.clone();
            let attempt = tokio::time::timeout(limit, tritons.attempt(&server, ask, limit)).await;
            let attempt = attempt.unwrap_or(Attempt::Missed(Cause::Timeout));
            if matches!(attempt, Attempt::Missed(_)) {
                tritons.rest(workload, &place, &server);
            }
            permit.finish();
            attempt
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
