//! How many threads an operator cuts its work for.

use std::cell::Cell;

thread_local! {
    /// Works that are done at the same time, this thread's included.
    static WORKS: Cell<usize> = const { Cell::new(1) };
}

/// Does one of so many works that are done at the same time: operators in it cut theirs for as many threads as that leaves to each, and
/// threads that have nothing to do help all the same. What is computed does not change.
pub(in crate::distill) fn one_of<T>(works: usize, work: impl FnOnce() -> T) -> T {
    let before = WORKS.replace(works.max(1));
    let result = work();
    WORKS.set(before);
    result
}

/// Threads that an operator has.
pub(super) fn threads() -> usize {
    rayon::current_num_threads().div_ceil(WORKS.get())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn works_at_the_same_time_share_the_threads() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(4).build().unwrap();
        pool.install(|| {
            assert_eq!(threads(), 4);
            assert_eq!(one_of(2, || (threads(), one_of(9, threads))), (2, 1));
            assert_eq!(threads(), 4, "it is over");
        });
    }
}
