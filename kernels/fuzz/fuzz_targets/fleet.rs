//! Problems of more than 20,000 arcs, which take the way of fleets: random ones, cold and warm.
#![no_main]

use libfuzzer_sys::arbitrary::Result;
use libfuzzer_sys::fuzz_target;
use parkade_fuzz::{Draw, Sizes, interrupted, noise, read, redraw, shape, solved};

const SIZES: Sizes = Sizes {
    demands: 800,
    supplies: 60,
    arcs: (20_001, 30_000),
    limits: 3,
};
/// Enough for shape and numbers; what is missing is drawn as the least there is.
const BYTES: usize = 2_000_000;

fn run(seed: u64, asks: u64) -> Result<()> {
    let noise = noise(seed, BYTES);
    let mut draw = Draw::new(&noise)?;
    let mut arrays = shape(&mut draw, SIZES)?;
    let first = read(&arrays);
    let (_, left) = solved(&first, None, u64::MAX);
    interrupted(&first, None, u64::MAX, asks);
    redraw(&mut draw, &mut arrays)?;
    drop(solved(&read(&arrays), Some(&left), u64::MAX));
    Ok(())
}

fuzz_target!(|choice: (u64, u8)| {
    let _ = run(choice.0, choice.1.into());
});
