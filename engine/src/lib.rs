//! The storage engine of orrery: the only crate that opens files of a data directory.
#![deny(unsafe_code)]

mod error;
pub mod io;
pub mod lock;
pub mod log;
pub mod manifest;

pub use error::{Error, Result};
