//! The reader of named arrays: a refusal in one sentence, or a problem that can be solved.
#![no_main]

use libfuzzer_sys::arbitrary::Result;
use libfuzzer_sys::fuzz_target;
use parkade_fuzz::{Draw, Sizes, damage, shape, solved};
use parkade_placement::flat;

const SIZES: Sizes = Sizes {
    demands: 3,
    supplies: 3,
    arcs: (0, 5),
    limits: 2,
};
const WORK: u64 = 2_000;

fn run(bytes: &[u8]) -> Result<()> {
    let mut draw = Draw::new(bytes)?;
    let mut arrays = shape(&mut draw, SIZES)?;
    for _ in 0..=draw.count(3)? {
        damage(&mut draw, &mut arrays)?;
    }
    match flat::read(&mut arrays) {
        Ok(problem) => drop(solved(&problem, None, WORK)),
        Err(refusal) => assert!(!refusal.to_string().is_empty()),
    }
    Ok(())
}

fuzz_target!(|bytes: &[u8]| {
    let _ = run(bytes);
});
