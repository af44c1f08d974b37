//! Spot checks of cars: some of their good answers are computed again by Triton, off the request path, and compared.
//!
//! A check takes a Triton slot only while it is free and nobody waits for it, and what cannot be checked at once is not
//! checked: callers see nothing of it. A car is kept away only when Triton gave one answer twice and the car another, so
//! that a model whose answers vary accuses nobody.

use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout};
use tracing::debug;

use crate::answers::{Tensor, Unreadable, of_grpc, of_http};
use crate::ask::{Answer, Ask, Attempt, Form};
use crate::car::JSON_LENGTH;
use crate::chance::Chance;
use crate::compare::compare;
use crate::queue::{Tier, Want};
use crate::triton::Tritons;
use crate::workload::{Permit, Replica, Workload};

/// Checks under way or waiting, of all workloads together; with bodies and answers of 8 MiB they hold 512 MiB.
const UNDER_WAY: usize = 32;
/// How long a check waits for a free Triton slot.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often it looks for one.
const LOOK: Duration = Duration::from_millis(20);
/// Time for one answer of Triton to a check: nobody waits for it.
const ANSWER: Duration = Duration::from_secs(10);

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verification {
    /// Triton's answer is the same.
    Agreed,
    /// Triton answered twice, alike, and the car otherwise.
    Disagreed,
    /// Not compared: compressed, no Triton in the plan, no free slot in time, or too many checks under way.
    Skipped,
    /// Triton gave no answer, or not the same one twice.
    Failed,
}

impl Verification {
    /// All of them, in the order of their declaration.
    pub const ALL: [Self; 4] = [Self::Agreed, Self::Disagreed, Self::Skipped, Self::Failed];

    /// The label in metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Agreed => "agreed",
            Self::Disagreed => "disagreed",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
        }
    }
}

/// What bounds the checks of all workloads together.
#[derive(Clone, Debug)]
pub struct Bound(Arc<Semaphore>);

impl Default for Bound {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(UNDER_WAY)))
    }
}

/// Which answers of one workload's cars are checked.
#[derive(Debug)]
pub struct Verifier {
    chance: Chance,
    bound: Bound,
    /// Held by the one check that looks for a slot.
    turn: Mutex<()>,
}

impl Verifier {
    /// Checks nothing until `follow` says how much.
    pub fn new(bound: Bound) -> Self {
        Self { chance: Chance::default(), bound, turn: Mutex::const_new(()) }
    }

    /// From now on this share of answers is checked.
    pub fn follow(&self, percent: u32) {
        self.chance.follow(f64::from(percent));
    }
}

/// A car answered well: its answer is checked now and then.
pub fn consider(tritons: &Tritons, workload: &Arc<Workload>, ask: &Ask, vehicle: &Arc<str>, answer: &Answer) {
    if !workload.verifier.chance.has_come() {
        return;
    }
    let place = workload.verifier.bound.0.clone().try_acquire_owned();
    match (place, question(ask)) {
        (Ok(place), Some(ask)) if is_plain(answer) && workload.plans(Tier::Datacenter) => {
            let check = Check {
                tritons: tritons.clone(),
                workload: workload.clone(),
                ask,
                vehicle: vehicle.clone(),
                said: Said::of(answer),
                _place: place,
            };
            tokio::spawn(check.run());
        }
        _ => workload.meters.verified(Verification::Skipped),
    }
}

/// The request as Triton gets it for a check; `None` if it cannot be asked again.
fn question(ask: &Ask) -> Option<Ask> {
    let form = match &ask.form {
        Form::Http { headers, .. } if headers.contains_key(CONTENT_ENCODING) => return None,
        Form::Http { path, headers } => {
            let mut headers = headers.clone();
            headers.remove(ACCEPT_ENCODING);
            Form::Http { path: path.clone(), headers }
        }
        Form::Grpc { metadata } => Form::Grpc { metadata: metadata.clone() },
    };
    Some(Ask {
        model: ask.model.clone(),
        form,
        body: ask.body.clone(),
        only: Some(Tier::Datacenter),
        versioned: false,
        guest: false,
        trace: None,
    })
}

fn is_plain(answer: &Answer) -> bool {
    !answer.headers.contains_key(CONTENT_ENCODING)
}

/// An answer as far as it is compared.
#[derive(Clone, Debug)]
struct Said {
    body: crate::body::Chunks,
    /// Over HTTP, the length of the JSON part.
    json_length: Option<usize>,
    http: bool,
}

impl Said {
    fn of(answer: &Answer) -> Self {
        let length = answer.headers.get(JSON_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        // An answer over gRPC says so in its content type; it is one frame.
        let http = answer.headers.get(http::header::CONTENT_TYPE) != Some(&crate::ask::GRPC);
        Self { body: answer.body.clone(), json_length: length, http }
    }

    fn tensors(mut self) -> Result<Vec<Tensor>, Unreadable> {
        if self.http {
            let body = self.body.head(self.body.len());
            let json_length = self.json_length.unwrap_or(body.len());
            return of_http(body, json_length);
        }
        self.body.split_to(5);
        of_grpc(self.body.head(self.body.len()))
    }
}

/// One answer on its way to be compared.
struct Check {
    tritons: Tritons,
    workload: Arc<Workload>,
    ask: Ask,
    vehicle: Arc<str>,
    said: Said,
    _place: OwnedSemaphorePermit,
}

impl Check {
    async fn run(self) {
        let ended = self.verify().await.unwrap_or_else(|ended| ended);
        self.workload.meters.verified(ended);
        if ended == Verification::Disagreed {
            self.workload.condemn(&self.vehicle);
        }
    }

    /// `Err` where it ended before there was anything to compare.
    async fn verify(&self) -> Result<Verification, Verification> {
        let first = self.second_opinion().await?;
        if self.is_alike(&self.said, &first).await? {
            return Ok(Verification::Agreed);
        }
        let second = self.second_opinion().await?;
        if self.is_alike(&self.said, &second).await? {
            return Ok(Verification::Agreed);
        }
        let steady = self.is_alike(&first, &second).await?;
        Ok(if steady { Verification::Disagreed } else { Verification::Failed })
    }

    /// What Triton says to the same request.
    async fn second_opinion(&self) -> Result<Said, Verification> {
        let mut permit = self.slot().await.ok_or(Verification::Skipped)?;
        let Replica::Server(server) = permit.begin() else { return Err(Verification::Failed) };
        let server = server.clone();
        let asked = timeout(ANSWER, self.tritons.attempt(&server, &self.ask, ANSWER, None)).await;
        permit.finish(None);
        match asked {
            Ok(Attempt::Answered(answer)) if answer.is_good() && is_plain(&answer) => Ok(Said::of(&answer)),
            _ => Err(Verification::Failed),
        }
    }

    /// A Triton slot that is free now or soon, and that nobody waits for.
    async fn slot(&self) -> Option<Permit> {
        let want = Want { only: Some(Tier::Datacenter), ..Want::default() };
        let until = Instant::now() + PATIENCE;
        let _turn = timeout(PATIENCE, self.workload.verifier.turn.lock()).await.ok()?;
        loop {
            if let Some(permit) = self.workload.try_acquire(&want) {
                return Some(permit);
            }
            if Instant::now() >= until {
                return None;
            }
            sleep(LOOK).await;
        }
    }

    /// Compares on a thread of its own: large answers would keep requests waiting. An answer of the car that cannot be read
    /// is not alike; one of Triton's, no answer.
    async fn is_alike(&self, said: &Said, right: &Said) -> Result<bool, Verification> {
        let tolerance = self.workload.rules().tolerance;
        let (said, right) = (said.clone(), right.clone());
        let compared = tokio::task::spawn_blocking(move || {
            let right = right.tensors()?;
            Ok::<_, Unreadable>(said.tensors().map(|said| compare(&said, &right, tolerance)))
        });
        match compared.await {
            Ok(Ok(Ok(Err(difference)))) => {
                debug!(workload = &*self.workload.key, "two answers to one request differ in their {difference:?}");
                Ok(false)
            }
            Ok(Ok(alike)) => Ok(alike.is_ok()),
            _ => Err(Verification::Failed),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING};
    use http::{HeaderMap, HeaderValue};

    use super::question;
    use crate::ask::{Ask, Form};
    use crate::body::Chunks;

    #[test]
    fn triton_is_asked_for_plain_answers_to_plain_requests() {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        let asked = question(&Ask::http("m", "/v2/models/m/infer", headers.clone(), Chunks::default())).unwrap();
        let Form::Http { headers: sent, .. } = asked.form else { panic!("over another protocol") };
        assert!(!sent.contains_key(ACCEPT_ENCODING));
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        assert!(question(&Ask::http("m", "/v2/models/m/infer", headers, Chunks::default())).is_none());
    }
}
