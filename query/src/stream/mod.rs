//! The link stream: what each accepted event says about links, who wants to hear of it, and in which form.
//!
//! - `types.rs` a change of one link, and the step that one event is
//! - `steps.rs` an accepted event as a step
//! - `survivors.rs` what the index still has of events that the log no longer has, as steps
//! - `reader.rs` all steps from a place on: survivors, then the log
//! - `hold.rs` the delay: steps wait, and what is undone meanwhile is never told
//! - `filter.rs` what one subscriber wants; `index.rs` whom of many a link concerns
//! - `start.rs` where a subscriber begins, as text; `frame.rs` a change as the text of a frame

mod filter;
mod frame;
mod hold;
mod index;
mod reader;
mod start;
mod steps;
mod survivors;
mod types;

pub use filter::{DIDS_MAX, Filters, PREFIX_BYTES_MAX, PREFIXES_MAX, SOURCES_MAX, SUBJECTS_MAX};
pub use frame::{write_extended, write_info, write_plain};
pub use hold::{DELAY_US, HELD_BYTES_MAX, HELD_LINKS_MAX, Hold};
pub use index::{ENTRIES_MAX, FilterIndex, Prepared};
pub use reader::{Read, Reader};
pub use start::{Start, TIME_MIN};
pub use steps::Forms;
pub use types::{Cause, Change, Info, LINKS_PER_COMMIT, Operation, Origin, Step};

use std::hash::{BuildHasher, RandomState};

/// A seed that nobody outside knows, so that nobody can make strings whose hashes are equal.
fn secret_seed() -> u64 {
    RandomState::new().hash_one(0_u8)
}
