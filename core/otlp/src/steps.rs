//! A count of the work done, by which tests hold that work grows no faster than its input.
//!
//! Loops over what a sender chose say here how many bytes or fields they look at, or move. Only with the feature `steps`, which
//! tests turn on, is anything counted, by thread; without it these calls are nothing. Time would depend on the machine, a count
//! does not.
//!
//! A test runs a family of inputs at n, 2n, 4n … and asserts that the count at most doubles each time. A new loop on a hot path
//! calls [`add`] and gets a family in its crate's `tests/linear.rs`.

#[cfg(feature = "steps")]
thread_local! {
    static STEPS: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// Counts so many steps.
#[inline(always)]
pub fn add(steps: usize) {
    #[cfg(feature = "steps")]
    STEPS.set(STEPS.get() + steps as u64);
    #[cfg(not(feature = "steps"))]
    let _ = steps;
}

/// How many steps some work took on this thread.
#[cfg(feature = "steps")]
pub fn of(work: impl FnOnce()) -> u64 {
    let before = STEPS.get();
    work();
    STEPS.get() - before
}

/// Asserts that the work on a family of inputs is linear: twice the input takes about twice the steps. `work` is given a
/// size, makes the input and says how many steps it took.
///
/// # Panics
/// If it is not, with the counts.
#[cfg(feature = "steps")]
pub fn assert_linear(family: &str, smallest: usize, work: impl Fn(usize) -> u64) {
    let steps = [1, 2, 4, 8].map(|times| work(smallest * times));
    let linear = steps.windows(2).all(|pair| pair[1] <= pair[0] * 11 / 5 + 256);
    assert!(linear, "{family}: {steps:?} steps at {smallest}, twice, four and eight times as much");
}
