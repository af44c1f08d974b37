//! The reader of problem files: a refusal in one sentence, or a problem that can be solved.
#![no_main]

use libfuzzer_sys::fuzz_target;
use parkade_fuzz::solved;
use parkade_placement::json;

const WORK: u64 = 2_000;

fuzz_target!(|text: &str| {
    match json::read(text) {
        Ok(problem) => drop(solved(&problem, None, WORK)),
        Err(refusal) => assert!(!refusal.to_string().is_empty()),
    }
    let _ = json::read_solution(text);
    let _ = json::read_prices(text);
});
