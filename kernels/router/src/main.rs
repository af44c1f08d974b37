//! The binary `parkade-router`.

use std::process::ExitCode;

fn main() -> ExitCode {
    parkade_router::main()
}
