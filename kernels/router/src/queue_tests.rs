use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Dialled, Grant, PlannedPlace, Queue, Tier, Want};

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
    queue.wait(any(), now + Duration::from_secs(2), "late").unwrap();
    queue.wait(any(), now + Duration::from_secs(1), "soon").unwrap();
    assert!(queue.next_handoff().is_none());
    queue.release(grant, true);
    let (waker, _) = queue.next_handoff().unwrap();
    assert_eq!(waker, "soon");
    assert!(queue.next_handoff().is_none());
    assert_eq!(queue.waiting(), 1);
}

#[test]
fn a_credit_passes_by_those_who_may_not_use_it() {
    let now = Instant::now();
    let mut queue = queue(&[cell("cell", 100), pool(0, &[("s", 0)])]);
    let large = Want { only: Some(Tier::Datacenter), ..Want::default() };
    queue.wait(large, now, "large").unwrap();
    queue.wait(any(), now + Duration::from_secs(1), "small").unwrap();
    queue.offer("cell", car(1, "a")).unwrap();
    assert_eq!(queue.next_handoff().unwrap().0, "small");
    assert_eq!(queue.waiting(), 1);
    assert!(queue.follow(&[pool(0, &[("s", 1)])]).is_empty());
    assert_eq!(queue.next_handoff().unwrap().0, "large", "what it may use survived being passed by");
}

#[test]
fn a_forgotten_request_gets_nothing_and_the_queue_is_bounded() {
    let now = Instant::now();
    let mut queue = queue(&[pool(100, &[("s", 1)])]);
    let grant = queue.take(&any()).unwrap();
    let tickets: Vec<_> = ["a", "b", "c", "d"].map(|name| queue.wait(any(), now, name).unwrap()).into();
    assert_eq!(queue.wait(any(), now, "e"), Err("e"));
    queue.forget(tickets[0]);
    queue.release(grant, true);
    assert_eq!(queue.next_handoff().unwrap().0, "b");
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
    assert_eq!(queue.withdraw_vehicle("a"), [car(1, "a"), car(3, "a")]);
    assert_eq!(queue.withdraw(2), Some(car(2, "b")));
    assert_eq!(queue.withdraw(2), None);
    assert_eq!(queue.replicas(None), 0);
}

#[test]
fn the_plans_order_decides_where_no_place_has_a_share() {
    let mut queue = queue(&[cell("one", 0), pool(0, &[("s", 1)])]);
    queue.offer("one", car(1, "a")).unwrap();
    assert_eq!(place(&queue.take(&any()).unwrap()), "a");
    assert_eq!(place(&queue.take(&any()).unwrap()), "s");
}
