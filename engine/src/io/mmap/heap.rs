//! When freed memory goes back to the system.
//!
//! A seal and a merge free buffers of many megabytes at once. The allocator of glibc takes that for a habit: it raises its
//! bounds by the size of each such buffer that is freed, up to 32 MiB, and from then on cuts buffers of that size
//! out of its heaps, of which up to twice as much stays with the process, for each thread that allocates. Fixed bounds let
//! large buffers be mappings of their own, which go when they are freed. Other allocators (musl's) do so anyway.

/// Buffers of at least this size are mappings of their own.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const OWN_MAPPING: libc::c_int = 512 << 10;
/// So much that is free at the end of a heap stays there.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const KEPT_AT_END: libc::c_int = 1 << 20;

/// Makes the allocator give large buffers back to the system as soon as they are freed, for all of the process and as long
/// as it lives. To be called by programs before they start threads. Tells whether the allocator heard.
pub fn give_back_freed_memory() -> bool {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // SAFETY: `mallopt` takes two integers and no pointer, and may be called at any time, by any thread: it takes the
        // allocator's own lock. No bound makes memory that is in use go away; a value that the allocator does not
        // take changes nothing, and is told.
        let set = |option, value| unsafe { libc::mallopt(option, value) } == 1;
        set(libc::M_MMAP_THRESHOLD, OWN_MAPPING) && set(libc::M_TRIM_THRESHOLD, KEPT_AT_END)
    }
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    true
}
