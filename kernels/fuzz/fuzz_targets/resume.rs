//! Solves that start from the end of another, from states that mean nothing, and from suggested plans and prices.
#![no_main]

use libfuzzer_sys::arbitrary::Result;
use libfuzzer_sys::fuzz_target;
use parkade_fuzz::{Draw, Sizes, check, read, redraw, shape, solved, state};
use parkade_placement::{Budget, Prices, Problem, Solution, improve};

const SIZES: Sizes = Sizes {
    demands: 4,
    supplies: 3,
    arcs: (0, 6),
    limits: 2,
};
const WORK: u64 = 5_000;

/// The other solution's plan and prices fit by their shape alone.
fn suggest(problem: &Problem, own: &Solution, replicas: &[i64], prices: &Prices) {
    let never = || false;
    let improved = improve(
        problem,
        own,
        replicas,
        prices,
        &mut Budget::new(WORK, &never),
    );
    let improved = improved.expect("the shapes are equal");
    check(problem, &improved);
    assert!(improved.objective <= own.objective * (1.0 + 1e-9) + 1e-9 || own.objective < 0.0);
}

fn run(bytes: &[u8]) -> Result<()> {
    let mut draw = Draw::new(bytes)?;
    let mut arrays = shape(&mut draw, SIZES)?;
    let first = read(&arrays);
    let (before, left) = solved(&first, None, WORK);
    let wild = draw
        .chance(1, 2)?
        .then(|| state(&mut draw, &first))
        .transpose()?;
    redraw(&mut draw, &mut arrays)?;
    let second = read(&arrays);
    let (after, _) = solved(&second, Some(wild.as_ref().unwrap_or(&left)), WORK);
    let wished = wild.map(|wild| wild.replicas.into_iter().map(|entry| entry.1));
    let mut replicas: Vec<i64> = wished.map_or(before.replicas, Iterator::collect);
    replicas.resize(second.arcs(), 1);
    suggest(&second, &after, &replicas, &before.prices);
    Ok(())
}

fuzz_target!(|bytes: &[u8]| {
    let _ = run(bytes);
});
