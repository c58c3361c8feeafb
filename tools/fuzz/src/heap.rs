//! What a decoder may allocate. A length in damaged or hostile bytes must not decide how much memory is taken.

/// Runs `read` and gives what it gives.
///
/// # Panics
/// When this thread held more than `bytes_max` bytes of new heap at a time. What C code allocates is not seen.
#[track_caller]
pub(crate) fn at_most<T>(bytes_max: usize, read: impl FnOnce() -> T) -> T {
    let mut value = None;
    let info = allocation_counter::measure(|| value = Some(read()));
    assert!(
        info.bytes_max <= bytes_max as u64,
        "{} bytes of heap at a time, more than {bytes_max}",
        info.bytes_max
    );
    value.expect("the measured closure ran")
}
