use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Dialled, Grant, PlannedPlace, Queue, Tier, Turn, Want};
use crate::waiting::{Admitted, Refused, Shed, Standing, Ticket};

#[derive(Clone, Debug, PartialEq)]
struct Car {
    id: u64,
    vehicle: Arc<str>,
}

impl Dialled for Car {
    fn id(&self) -> u64 {
        self.id
    }
    fn vehicle(&self) -> &Arc<str> {
        &self.vehicle
    }
}

type TestQueue = Queue<Car, &'static str, &'static str>;

fn car(id: u64, vehicle: &str) -> Car {
    Car { id, vehicle: vehicle.into() }
}

fn cell(name: &str, share: u32) -> PlannedPlace<&'static str> {
    PlannedPlace { name: name.into(), tier: Tier::Vehicle, share, servers: vec![] }
}

fn pool(share: u32, servers: &[(&'static str, u32)]) -> PlannedPlace<&'static str> {
    PlannedPlace { name: "pool".into(), tier: Tier::Datacenter, share, servers: servers.to_vec() }
}

fn queue(plan: &[PlannedPlace<&'static str>]) -> TestQueue {
    let mut queue = Queue::new(4);
    assert!(queue.follow(plan).is_empty());
    queue
}

fn place(grant: &Grant<Car, &'static str>) -> String {
    match grant {
        Grant::Car { car, .. } => car.vehicle.to_string(),
        Grant::Server { server, .. } => (*server).to_owned(),
    }
}

fn any() -> Want {
    Want::default()
}

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Lets a request of the usual priority wait.
fn wait(queue: &mut TestQueue, want: Want, deadline: Instant, name: &'static str) -> Ticket {
    let now = deadline.checked_sub(Duration::from_secs(60)).unwrap();
    let admitted = queue.wait(want, Standing { priority: 100, deadline }, now, name).unwrap();
    assert_eq!(admitted.shed, None);
    admitted.ticket
}

fn served(queue: &mut TestQueue, now: Instant) -> Option<&'static str> {
    match queue.next_turn(now)? {
        Turn::Serve(name, _) => Some(name),
        Turn::Shed(shed) => panic!("{shed:?}"),
    }
}

/// One server with one slot, which is busy, and of which it is known that it answers in 100 ms.
fn busy_queue() -> TestQueue {
    let mut queue = queue(&[pool(100, &[("s", 1)])]);
    (0..8).for_each(|_| queue.answered(Tier::Datacenter, ms(100)));
    assert!(queue.take(&any()).is_some());
    queue
}

/// Waits with this priority and this much time left.
fn enter(queue: &mut TestQueue, priority: u8, left: u64, name: &'static str) -> Result<Option<&'static str>, Refused> {
    // One moment for all, so that the tests are exact.
    static NOW: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    let now = *NOW.get_or_init(Instant::now);
    let standing = Standing { priority, deadline: now + ms(left) };
    queue.wait(any(), standing, now, name).map(|Admitted { shed, .. }| shed.map(|shed| shed.waker))
}

#[test]
fn nothing_planned_gives_nothing() {
    let mut queue = queue(&[]);
    assert!(queue.take(&any()).is_none());
    assert_eq!(queue.offer("cell", car(1, "a")), Err(car(1, "a")));
}

#[test]
fn an_idle_car_is_used_once() {
    let mut queue = queue(&[cell("cell", 100)]);
    queue.offer("cell", car(1, "a")).unwrap();
    assert_eq!(queue.credits(Tier::Vehicle), 1);
    let grant = queue.take(&any()).unwrap();
    assert!(queue.take(&any()).is_none());
    assert!(queue.release(grant, true).is_none());
    assert!(queue.take(&any()).is_some());
}

#[test]
fn a_missed_car_comes_back_to_be_closed() {
    let mut queue = queue(&[cell("cell", 100)]);
    queue.offer("cell", car(1, "a")).unwrap();
    let grant = queue.take(&any()).unwrap();
    assert_eq!(queue.release(grant, false), Some(car(1, "a")));
    assert!(queue.take(&any()).is_none());
    assert_eq!(queue.replicas(None), 0);
}

#[test]
fn a_server_has_as_many_credits_as_slots() {
    let mut queue = queue(&[pool(100, &[("s", 2)])]);
    let first = queue.take(&any()).unwrap();
    let _second = queue.take(&any()).unwrap();
    assert!(queue.take(&any()).is_none());
    queue.release(first, true);
    assert!(queue.take(&any()).is_some());
}

#[test]
fn servers_take_turns() {
    let mut queue = queue(&[pool(100, &[("s", 4), ("t", 4)])]);
    let seen: Vec<String> = (0..4).map(|_| place(&queue.take(&any()).unwrap())).collect();
    assert_eq!(seen, ["s", "t", "s", "t"]);
}

#[test]
fn requests_follow_the_shares_when_all_have_credits() {
    let mut queue = queue(&[cell("cell", 75), pool(25, &[("s", 8)])]);
    queue.offer("cell", car(1, "a")).unwrap();
    let mut cars = 0;
    for _ in 0..100 {
        let grant = queue.take(&any()).unwrap();
        cars += u32::from(matches!(grant, Grant::Car { .. }));
        queue.release(grant, true);
    }
    assert_eq!(cars, 75);
}

#[test]
fn a_busy_place_overflows_to_another() {
    let mut queue = queue(&[cell("cell", 100), pool(0, &[("s", 1)])]);
    queue.offer("cell", car(1, "a")).unwrap();
    assert_eq!(place(&queue.take(&any()).unwrap()), "a");
    assert_eq!(place(&queue.take(&any()).unwrap()), "s");
    assert!(queue.take(&any()).is_none());
}

#[test]
fn a_place_without_share_waits_for_the_others_to_be_busy() {
    let mut queue = queue(&[pool(0, &[("s", 9)]), cell("cell", 1)]);
    queue.offer("cell", car(1, "a")).unwrap();
    for _ in 0..10 {
        let grant = queue.take(&any()).unwrap();
        assert_eq!(place(&grant), "a");
        queue.release(grant, true);
    }
}

#[test]
fn a_car_that_missed_is_avoided_and_the_next_is_another() {
    let mut queue = queue(&[cell("cell", 100)]);
    queue.offer("cell", car(1, "a")).unwrap();
    queue.offer("cell", car(2, "a")).unwrap();
    queue.offer("cell", car(3, "b")).unwrap();
    let want = Want { avoid: vec!["a".into()], ..Want::default() };
    assert_eq!(place(&queue.take(&want).unwrap()), "b");
    assert!(queue.take(&want).is_none());
}

#[test]
fn the_third_attempt_prefers_a_server_but_takes_a_car() {
    let mut queue = queue(&[cell("cell", 100), pool(0, &[("s", 1)])]);
    queue.offer("cell", car(1, "a")).unwrap();
    let want = Want { prefer: Some(Tier::Datacenter), ..Want::default() };
    assert_eq!(place(&queue.take(&want).unwrap()), "s");
    assert_eq!(place(&queue.take(&want).unwrap()), "a");
}

#[test]
fn only_is_a_hard_limit() {
    let mut queue = queue(&[cell("cell", 100), pool(0, &[("s", 1)])]);
    queue.offer("cell", car(1, "a")).unwrap();
    let want = Want { only: Some(Tier::Datacenter), ..Want::default() };
    assert_eq!(place(&queue.take(&want).unwrap()), "s");
    assert!(queue.take(&want).is_none());
}

#[test]
fn the_earliest_deadline_gets_the_freed_credit() {
    let now = Instant::now();
    let mut queue = queue(&[pool(100, &[("s", 1)])]);
    let grant = queue.take(&any()).unwrap();
    wait(&mut queue, any(), now + ms(2000), "late");
    wait(&mut queue, any(), now + ms(1000), "soon");
    assert!(served(&mut queue, now).is_none());
    queue.release(grant, true);
    assert_eq!(served(&mut queue, now), Some("soon"));
    assert_eq!(served(&mut queue, now), None);
    assert_eq!(queue.waiting(), 1);
}

#[test]
fn a_higher_priority_comes_before_an_earlier_deadline() {
    let now = Instant::now();
    let mut queue = queue(&[pool(100, &[("s", 3)])]);
    let grants: Vec<_> = (0..3).map(|_| queue.take(&any()).unwrap()).collect();
    for (priority, left, name) in [(7, 100, "low"), (255, 900, "high and late"), (255, 800, "high and soon")] {
        queue.wait(any(), Standing { priority, deadline: now + ms(left) }, now, name).unwrap();
    }
    for grant in grants {
        queue.release(grant, true);
    }
    let order: Vec<_> = (0..3).map(|_| served(&mut queue, now).unwrap()).collect();
    assert_eq!(order, ["high and soon", "high and late", "low"]);
}

#[test]
fn a_credit_passes_by_those_who_may_not_use_it() {
    let now = Instant::now();
    let mut queue = queue(&[cell("cell", 100), pool(0, &[("s", 0)])]);
    let large = Want { only: Some(Tier::Datacenter), ..Want::default() };
    wait(&mut queue, large, now, "large");
    wait(&mut queue, any(), now + ms(1000), "small");
    queue.offer("cell", car(1, "a")).unwrap();
    assert_eq!(served(&mut queue, now), Some("small"));
    assert_eq!(queue.waiting(), 1);
    assert!(queue.follow(&[pool(0, &[("s", 1)])]).is_empty());
    assert_eq!(served(&mut queue, now), Some("large"), "what it may use survived being passed by");
}

#[test]
fn a_forgotten_request_gets_nothing_and_the_queue_is_bounded() {
    let now = Instant::now();
    let mut queue = queue(&[pool(100, &[("s", 1)])]);
    let grant = queue.take(&any()).unwrap();
    let tickets: Vec<_> = ["a", "b", "c", "d"].map(|name| wait(&mut queue, any(), now, name)).into();
    let standing = Standing { priority: 100, deadline: now };
    assert_eq!(queue.wait(any(), standing, now, "e").unwrap_err(), Refused::Full(None));
    queue.forget(tickets[0]);
    queue.forget(tickets[0]);
    queue.release(grant, true);
    assert_eq!(served(&mut queue, now), Some("b"));
}

#[test]
fn where_nothing_is_known_or_no_replica_is_there_a_request_is_held() {
    let mut empty = queue(&[cell("cell", 100)]);
    assert_eq!(enter(&mut empty, 100, 1, "first"), Ok(None));
    (0..8).for_each(|_| empty.answered(Tier::Vehicle, ms(1000)));
    assert_eq!(enter(&mut empty, 100, 1, "second"), Ok(None), "a car may come any moment");
    let mut unknown = queue(&[pool(100, &[("s", 1)])]);
    unknown.take(&any()).unwrap();
    assert_eq!(enter(&mut unknown, 100, 1, "third"), Ok(None));
}

#[test]
fn a_deadline_that_clearly_cannot_be_met_is_refused_at_once() {
    let mut queue = busy_queue();
    // Half an answer time until the server is free and one for the answer: 150 ms, or 1.25 times 120 ms.
    assert_eq!(enter(&mut queue, 100, 119, "hopeless"), Err(Refused::TooLate(ms(50))));
    assert_eq!(enter(&mut queue, 100, 121, "tight"), Ok(None));
    // Behind one more: 250 ms, or 1.25 times 200 ms.
    assert_eq!(enter(&mut queue, 100, 199, "second"), Err(Refused::TooLate(ms(150))));
    assert_eq!(enter(&mut queue, 100, 201, "second"), Ok(None));
    assert_eq!(queue.waiting(), 2);
}

#[test]
fn later_deadlines_and_lower_priorities_are_not_ahead() {
    let mut queue = busy_queue();
    for name in ["a", "b", "c"] {
        assert_eq!(enter(&mut queue, 100, 9_000, name), Ok(None));
    }
    assert_eq!(enter(&mut queue, 100, 150, "sooner"), Ok(None));
    let mut queue = busy_queue();
    for name in ["a", "b", "c"] {
        assert_eq!(enter(&mut queue, 10, 1_000, name), Ok(None));
    }
    assert_eq!(enter(&mut queue, 11, 150, "higher"), Ok(None));
}

#[test]
fn who_waits_for_other_replicas_is_not_ahead() {
    let mut queue = queue(&[cell("cell", 100), pool(0, &[("s", 1)])]);
    queue.offer("cell", car(1, "a")).unwrap();
    for tier in [Tier::Vehicle, Tier::Datacenter] {
        (0..8).for_each(|_| queue.answered(tier, ms(100)));
        queue.take(&Want { only: Some(tier), ..Want::default() }).unwrap();
    }
    let now = Instant::now();
    for name in ["large", "larger", "largest"] {
        wait(&mut queue, Want { only: Some(Tier::Datacenter), ..Want::default() }, now, name);
    }
    // Two replicas: 25 ms until one is free, and 100 ms for the answer.
    assert_eq!(enter(&mut queue, 1, 110, "small"), Ok(None));
}

#[test]
fn the_lowest_priority_whose_deadline_cannot_be_met_makes_room() {
    let mut queue = busy_queue();
    assert_eq!(enter(&mut queue, 10, 5_000, "low and patient"), Ok(None));
    assert_eq!(enter(&mut queue, 50, 125, "middle"), Ok(None));
    assert_eq!(enter(&mut queue, 100, 121, "high"), Ok(Some("middle")), "behind one more it would be too late");
    assert_eq!(enter(&mut queue, 5, 5_000, "lowest"), Ok(None));
    assert_eq!(queue.waiting(), 3);
    let mut queue = busy_queue();
    assert_eq!(enter(&mut queue, 100, 121, "first"), Ok(None));
    assert_eq!(enter(&mut queue, 100, 121, "equal"), Err(Refused::TooLate(ms(150))), "equals keep their place");
}

#[test]
fn a_full_queue_keeps_the_higher_priorities() {
    let mut queue = busy_queue();
    for (priority, name) in [(20, "c"), (10, "d"), (30, "b"), (40, "a")] {
        assert_eq!(enter(&mut queue, priority, 60_000, name), Ok(None));
    }
    assert_eq!(enter(&mut queue, 10, 60_000, "no higher"), Err(Refused::Full(Some(ms(450)))));
    assert_eq!(enter(&mut queue, 25, 60_000, "higher"), Ok(Some("d")));
    assert_eq!(enter(&mut queue, 25, 60_000, "again"), Ok(Some("c")));
    assert_eq!(queue.waiting(), 4);
}

#[test]
fn a_free_credit_is_not_spent_on_what_is_too_late_while_others_wait() {
    let now = Instant::now();
    let mut queue = busy_queue();
    wait(&mut queue, any(), now + ms(500), "first");
    wait(&mut queue, any(), now + ms(900), "second");
    queue.release(Grant::Server { place: "pool".into(), server: "s" }, true);
    let turn = queue.next_turn(now + ms(450));
    assert!(matches!(turn, Some(Turn::Shed(Shed { waker: "first", wait: Some(_) }))), "{turn:?}");
    assert_eq!(served(&mut queue, now + ms(450)), Some("second"));
    wait(&mut queue, any(), now + ms(900), "alone");
    queue.release(Grant::Server { place: "pool".into(), server: "s" }, true);
    assert_eq!(served(&mut queue, now + ms(899)), Some("alone"), "nobody else wants the credit");
}

#[test]
fn a_closed_server_gets_nothing_until_it_is_open() {
    let mut queue = queue(&[pool(100, &[("s", 1)])]);
    assert!(queue.close_server("pool", &"s"));
    assert!(!queue.close_server("pool", &"s"), "one prober is enough");
    assert!(queue.take(&any()).is_none());
    assert_eq!(queue.replicas(None), 0);
    assert!(queue.open_server("pool", &"s"));
    assert!(queue.take(&any()).is_some());
    assert!(!queue.open_server("pool", &"gone"));
}

#[test]
fn a_new_plan_keeps_what_stays_and_gives_back_what_goes() {
    let mut queue = queue(&[cell("one", 50), cell("two", 50), pool(0, &[("s", 2)])]);
    queue.offer("one", car(1, "a")).unwrap();
    queue.offer("two", car(2, "b")).unwrap();
    let want = Want { only: Some(Tier::Datacenter), ..Want::default() };
    let slot = queue.take(&want).unwrap();
    let gone = queue.follow(&[cell("two", 100), pool(0, &[("s", 2), ("t", 1)])]);
    assert_eq!(gone, [car(1, "a")]);
    assert_eq!(queue.credits(Tier::Datacenter), 2, "one of two slots is still busy, and a server came");
    queue.release(slot, true);
    assert_eq!(queue.credits(Tier::Datacenter), 3);
    assert_eq!(place(&queue.take(&any()).unwrap()), "b");
}

#[test]
fn a_busy_car_of_a_place_that_went_is_closed_after_its_answer() {
    let mut queue = queue(&[cell("one", 100)]);
    queue.offer("one", car(1, "a")).unwrap();
    let grant = queue.take(&any()).unwrap();
    assert!(queue.follow(&[cell("two", 100)]).is_empty());
    assert_eq!(queue.release(grant, true), Some(car(1, "a")));
}

#[test]
fn a_dead_link_withdraws_every_idle_connection_of_that_car() {
    let mut queue = queue(&[cell("cell", 100)]);
    for (id, vehicle) in [(1, "a"), (2, "b"), (3, "a")] {
        queue.offer("cell", car(id, vehicle)).unwrap();
    }
    assert_eq!(queue.withdraw_vehicles(|vehicle| vehicle == "a"), [car(1, "a"), car(3, "a")]);
    assert_eq!(queue.withdraw(2), Some(car(2, "b")));
    assert_eq!(queue.withdraw(2), None);
    assert_eq!(queue.replicas(None), 0);
}

#[test]
fn the_first_cars_after_a_dead_link_do_not_stand_for_all() {
    let mut queue = queue(&[cell("cell", 100)]);
    (0..8).for_each(|_| queue.answered(Tier::Vehicle, ms(100)));
    for id in 0..10 {
        queue.offer("cell", car(id, "a")).unwrap();
    }
    assert_eq!(queue.withdraw_vehicles(|_| true).len(), 10);
    queue.offer("cell", car(10, "a")).unwrap();
    queue.take(&any()).unwrap();
    // One car needs 50 ms for those before and 100 ms; ten at a time need a tenth of the wait.
    let (now, soon) = (Instant::now(), |now| Standing { priority: 100, deadline: now + ms(115) });
    assert!(queue.wait(any(), soon(now), now, "at once").is_ok());
    let later = now + Duration::from_secs(60);
    let known = queue.wait(any(), Standing { priority: 101, ..soon(later) }, later, "much later");
    assert!(matches!(known, Err(Refused::TooLate(_))), "who is away for long is not expected");
}

#[test]
fn the_plans_order_decides_where_no_place_has_a_share() {
    let mut queue = queue(&[cell("one", 0), pool(0, &[("s", 1)])]);
    queue.offer("one", car(1, "a")).unwrap();
    assert_eq!(place(&queue.take(&any()).unwrap()), "a");
    assert_eq!(place(&queue.take(&any()).unwrap()), "s");
}
