//! What is known of tokens, for a while: who showed one, or that it proves nothing. Tokens are kept as digests only.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use tokio::sync::Semaphore;

use crate::callers::Identity;

/// A good token is believed this long, if it lives that long.
const POSITIVE: Duration = Duration::from_secs(300);
/// While nobody can be asked, a good token is believed this much longer.
const GRACE: Duration = Duration::from_secs(3600);
/// A bad token is refused this long without asking.
const NEGATIVE: Duration = Duration::from_secs(10);
/// When nobody could be asked, it is tried again after this time for a token that was good before...
const TRY_AGAIN: Duration = Duration::from_secs(5);
/// ...and after this time for one that was never seen.
const TRY_AGAIN_UNKNOWN: Duration = Duration::from_secs(1);
/// One check may take this long...
const CHECK: Duration = Duration::from_secs(2);
/// ...and this long if the token was good before, whose requests should hardly notice.
const CHECK_AGAIN: Duration = Duration::from_millis(500);
/// Checks at a time, so that a flood of bad tokens is no flood for who checks them.
const CHECKS: usize = 16;
/// Tokens known at most.
const MOST: usize = 8192;

/// What a check said.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Who showed the token, and how long it lives, where that is known.
    Good(Arc<Identity>, Option<Duration>),
    /// It proves nothing; a sentence says why.
    Bad(&'static str),
    /// Nobody could be asked.
    Away,
}

/// What is believed of a token now.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// Who showed it.
    Good(Arc<Identity>),
    /// It proves nothing; a sentence says why.
    Bad(&'static str),
    /// Nobody could be asked.
    Away,
}

#[derive(Debug)]
struct Known {
    verdict: Verdict,
    /// Believed without asking.
    fresh_until: Instant,
    /// Believed while nobody can be asked.
    usable_until: Instant,
}

#[derive(Debug, Default)]
struct Slot {
    known: Mutex<Option<Known>>,
    /// Held by the one request that asks.
    turn: tokio::sync::Mutex<()>,
}

/// What is known of each token.
#[derive(Debug)]
pub struct Verdicts {
    slots: Mutex<HashMap<[u8; SHA256_OUTPUT_LEN], Arc<Slot>>>,
    checks: Semaphore,
}

impl Slot {
    fn known(&self) -> MutexGuard<'_, Option<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fresh(&self, now: Instant) -> Option<Verdict> {
        self.known().as_ref().filter(|known| now < known.fresh_until).map(|known| known.verdict.clone())
    }

    /// Until when the token is believed while nobody can be asked; `None` if it is not believed.
    fn good_until(&self, now: Instant) -> Option<Instant> {
        let known = self.known();
        let good = known.as_ref().filter(|known| matches!(known.verdict, Verdict::Good(_)))?;
        Some(good.usable_until).filter(|until| now < *until)
    }

    fn learn(&self, answer: Answer, now: Instant) -> Verdict {
        let good_until = self.good_until(now);
        let mut known = self.known();
        match (answer, good_until, &mut *known) {
            (Answer::Away, Some(until), Some(known)) => {
                known.fresh_until = (now + TRY_AGAIN).min(until);
                known.verdict.clone()
            }
            (answer, ..) => {
                let next = Known::new(answer, now);
                let verdict = next.verdict.clone();
                *known = Some(next);
                verdict
            }
        }
    }
}

impl Known {
    fn new(answer: Answer, now: Instant) -> Self {
        let (verdict, fresh, usable) = match answer {
            Answer::Good(identity, lives) => {
                let bounded = |time: Duration| lives.map_or(time, |lives| lives.min(time));
                (Verdict::Good(identity), bounded(POSITIVE), bounded(POSITIVE + GRACE))
            }
            Answer::Bad(why) => (Verdict::Bad(why), NEGATIVE, NEGATIVE),
            Answer::Away => (Verdict::Away, TRY_AGAIN_UNKNOWN, TRY_AGAIN_UNKNOWN),
        };
        Self { verdict, fresh_until: now + fresh, usable_until: now + usable }
    }
}

impl Verdicts {
    /// Nothing known yet.
    pub fn new() -> Self {
        Self { slots: Mutex::default(), checks: Semaphore::new(CHECKS) }
    }

    /// What is believed of a token; `check` is awaited if nothing is, by one request at a time.
    pub async fn of<F: Future<Output = Answer>>(&self, token: &str, check: impl FnOnce() -> F) -> Verdict {
        let now = Instant::now();
        let slot = self.slot(token, now);
        if let Some(verdict) = slot.fresh(now) {
            return verdict;
        }
        let _turn = slot.turn.lock().await;
        let now = Instant::now();
        if let Some(verdict) = slot.fresh(now) {
            return verdict;
        }
        let limit = if slot.good_until(now).is_some() { CHECK_AGAIN } else { CHECK };
        let checked = tokio::time::timeout(limit, async {
            match self.checks.acquire().await {
                Ok(_held) => check().await,
                Err(_) => Answer::Away,
            }
        });
        let answer = checked.await.unwrap_or(Answer::Away);
        slot.learn(answer, Instant::now())
    }

    fn slot(&self, token: &str, now: Instant) -> Arc<Slot> {
        let mut key = [0; SHA256_OUTPUT_LEN];
        key.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get(&key) {
            return slot.clone();
        }
        if slots.len() >= MOST {
            make_room(&mut slots, now);
        }
        slots.entry(key).or_default().clone()
    }
}

/// Forgets every token that proves nothing (now); where that frees no room, the good one that ends first.
fn make_room(slots: &mut HashMap<[u8; SHA256_OUTPUT_LEN], Arc<Slot>>, now: Instant) {
    slots.retain(|_, slot| slot.good_until(now).is_some());
    if slots.len() >= MOST
        && let Some(first) = slots.iter().min_by_key(|(_, slot)| slot.good_until(now)).map(|(key, _)| *key)
    {
        slots.remove(&first);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::{Duration, Instant};

    use super::{Answer, GRACE, MOST, NEGATIVE, POSITIVE, Slot, TRY_AGAIN, TRY_AGAIN_UNKNOWN, Verdict, Verdicts};
    use crate::callers::Identity;

    fn good(lives: Option<Duration>) -> Answer {
        Answer::Good(Arc::new(Identity::of(["a"])), lives)
    }

    fn name(verdict: Option<&Verdict>) -> &'static str {
        match verdict {
            Some(Verdict::Good(_)) => "good",
            Some(Verdict::Bad(_)) => "bad",
            Some(Verdict::Away) => "away",
            None => "unknown",
        }
    }

    #[test]
    fn verdicts_are_believed_for_a_while() {
        let now = Instant::now();
        let tick = Duration::from_millis(1);
        for (answer, held, said) in [
            (good(None), POSITIVE, "good"),
            (good(Some(Duration::from_secs(7))), Duration::from_secs(7), "good"),
            (Answer::Bad("no"), NEGATIVE, "bad"),
            (Answer::Away, TRY_AGAIN_UNKNOWN, "away"),
        ] {
            let slot = Slot::default();
            assert_eq!(name(Some(&slot.learn(answer, now))), said);
            assert_eq!(name(slot.fresh(now + held.saturating_sub(tick)).as_ref()), said);
            assert_eq!(name(slot.fresh(now + held).as_ref()), "unknown");
        }
    }

    #[test]
    fn a_good_token_outlives_an_outage_by_the_grace_and_never_itself() {
        let now = Instant::now();
        let slot = Slot::default();
        slot.learn(good(None), now);
        let later = now + POSITIVE;
        assert_eq!(name(Some(&slot.learn(Answer::Away, later))), "good");
        assert!(slot.fresh(later + TRY_AGAIN).is_none(), "it is tried again soon");
        assert_eq!(name(Some(&slot.learn(Answer::Away, now + POSITIVE + GRACE))), "away");
        let short = Slot::default();
        short.learn(good(Some(POSITIVE + TRY_AGAIN / 2)), now);
        short.learn(Answer::Away, later);
        assert!(short.fresh(later + TRY_AGAIN / 2).is_none());
        assert_eq!(name(Some(&short.learn(Answer::Away, later + TRY_AGAIN))), "away");
        slot.learn(good(None), later);
        assert_eq!(name(Some(&slot.learn(Answer::Bad("revoked"), later))), "bad");
        assert_eq!(name(Some(&slot.learn(Answer::Away, later + NEGATIVE))), "away");
    }

    #[tokio::test]
    async fn many_requests_with_one_token_ask_once() {
        let (verdicts, asked) = (Verdicts::new(), AtomicUsize::new(0));
        let one = || {
            verdicts.of("t", || async {
                asked.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
                good(None)
            })
        };
        let (first, second, third) = tokio::join!(one(), one(), one());
        assert!([first, second, third].iter().all(|verdict| matches!(verdict, Verdict::Good(_))));
        assert_eq!(asked.into_inner(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_without_an_end_ends() {
        let verdicts = Verdicts::new();
        assert_eq!(name(Some(&verdicts.of("t", std::future::pending).await)), "away");
    }

    #[tokio::test]
    async fn bad_tokens_without_end_push_out_no_good_one() {
        let verdicts = Verdicts::new();
        verdicts.of("good", || async { good(None) }).await;
        for index in 0..2 * MOST {
            verdicts.of(&format!("{index}"), || async { Answer::Bad("no") }).await;
        }
        assert!(verdicts.slots.lock().unwrap().len() <= MOST);
        let again = verdicts.of("good", || async { Answer::Bad("asked again") }).await;
        assert_eq!(name(Some(&again)), "good");
    }
}
