//! See bodies/sweeps.rs.
#![no_main]

#[path = "../bodies/mod.rs"]
mod bodies;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| bodies::sweeps::check(bytes));
