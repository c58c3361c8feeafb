//! A client for the Jetstream v1 event stream.
#![forbid(unsafe_code)]

mod cursor;
mod decode;
mod diagnose;
mod event;
mod malformed;
mod position;

pub use cursor::{Cursor, TIME_CURSOR_MIN};
pub use decode::{DICTIONARY, DICTIONARY_ID, Decoder, Undecodable};
pub use event::{Account, Commit, Event, Identity, Kind, Operation};
pub use malformed::Malformed;
pub use position::Position;
