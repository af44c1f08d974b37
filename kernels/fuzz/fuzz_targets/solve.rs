//! Small problems: feasible plans, and bounds below the cheapest of all plans.
#![no_main]

use libfuzzer_sys::arbitrary::Result;
use libfuzzer_sys::fuzz_target;
use parkade_fuzz::{Draw, Sizes, interrupted, read, shape, solved};

const SIZES: Sizes = Sizes {
    demands: 4,
    supplies: 3,
    arcs: (0, 6),
    limits: 2,
};

fn run(bytes: &[u8]) -> Result<()> {
    let mut draw = Draw::new(bytes)?;
    let work = [20_000, 0, 1, 300][draw.count(3)?];
    let asks = draw.count(4)?;
    let problem = read(&shape(&mut draw, SIZES)?);
    drop(solved(&problem, None, work));
    interrupted(&problem, None, 50_000, asks as u64);
    Ok(())
}

fuzz_target!(|bytes: &[u8]| {
    let _ = run(bytes);
});
