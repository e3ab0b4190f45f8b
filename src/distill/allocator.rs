//! The allocator of programs that train.
//!
//! A step of training frees what the next one asks for again. The C library's allocator gives megabytes back to the system each
//! time, and having them set to zero anew costs more than BatchNorm itself.

/// To be the program's `#[global_allocator]`.
pub use mimalloc::MiMalloc;

/// Milliseconds that freed memory is kept for the next step.
const DELAY: std::ffi::c_long = 1000;

/// Lets the allocator keep freed memory for a second, which is longer than a step takes, and not for its usual 10 ms. Without
/// effect on programs with another allocator.
pub fn keep_freed_memory() {
    /// `mi_option_purge_delay` of the version of mimalloc that Cargo.toml names.
    const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;
    // SAFETY: sets a number under a lock-free option of mimalloc's, which may be done at any time.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, DELAY) }
}
