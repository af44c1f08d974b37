//! Random problems from a fuzzer's bytes, and the laws that every answer of the kernel keeps; unruly callers and cars, and the
//! laws that the router keeps whatever they send.

mod answer;
mod arrays;
mod call;
mod clock;
mod damage;
mod draw;
mod laws;
mod least;
mod shape;
mod tensors;
mod wire;
mod world;

use parkade_placement::{Budget, Problem, Solution, State, flat, solve_from};
use rayon::ThreadPool;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

pub use answer::{Answer, answers};
pub use arrays::Arrays;
pub use call::{Call, Called, INFER};
pub use clock::run;
pub use damage::damage;
pub use draw::{Draw, noise};
pub use laws::check;
pub use shape::{Sizes, redraw, shape, state};
pub use tensors::{over_grpc, over_http};
pub use wire::{Script, line, talk};
pub use world::{nowhere, one_cell};

static POOLS: LazyLock<[ThreadPool; 2]> = LazyLock::new(|| {
    [1, 2].map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        pool.build().expect("threads start")
    })
});

/// The problem that the arrays are.
///
/// # Panics
/// When it is refused.
#[must_use]
pub fn read(arrays: &Arrays) -> Problem {
    flat::read(&mut arrays.clone()).expect("drawn problems are valid")
}

/// Solve on one thread and on two, and check what comes back: the laws, and that both are equal.
///
/// # Panics
/// When a law is broken.
#[must_use]
pub fn solved(problem: &Problem, last: Option<&State>, work: u64) -> (Solution, State) {
    let never = || false;
    let solve = || solve_from(problem, last, &mut Budget::new(work, &never));
    let [one, two] = POOLS.each_ref().map(|pool| pool.install(solve));
    check(problem, &one.0);
    assert_eq!(one.0, two.0, "one thread and two differ");
    // NaN is not equal to itself, but it prints alike.
    let [first, second] = [&one.1, &two.1].map(|state| format!("{state:?}"));
    assert_eq!(first, second, "one thread and two end differently");
    one
}

/// Solve until the clock, asked once more than `asks` times, says stop.
///
/// # Panics
/// When a law is broken.
pub fn interrupted(problem: &Problem, last: Option<&State>, work: u64, asks: u64) {
    let asked = AtomicU64::new(0);
    let stop = || asked.fetch_add(1, Ordering::Relaxed) >= asks;
    let solve = || solve_from(problem, last, &mut Budget::new(work, &stop));
    check(problem, &POOLS[0].install(solve).0);
}
