//! Where the engine meets the operating system. Every system call on the data directory goes through
//! [`fs::Fs`], so that tests can take the disk away at any of them; [`mmap`] is the only module of the
//! project that holds `unsafe` code.

#[cfg(any(test, feature = "fault"))]
pub mod fault;
pub mod fs;
#[allow(unsafe_code)]
pub mod mmap;

pub use fs::{Entry, File, Fs, LockGuard, OsFs};
pub use mmap::Mapped;
