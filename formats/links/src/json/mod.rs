//! JSON records: `scan.rs` validates the text in one pass and lays it out on a flat tape, `strings.rs`
//! reads strings, `tape.rs` holds the tape and shows it to the walk.

mod scan;
mod strings;
mod tape;

pub(crate) use scan::JsonScratch;
