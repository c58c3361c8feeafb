//! One subscriber as those see it who have something to tell it.

use std::sync::Arc;

use orrery_query::stream::{Change, Filters, Step, write_extended, write_plain};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::options::Form;
use super::queue::Queue;

/// A place among the changes of all events: the seq of an event, and the index of the last of its changes that was told;
/// nothing of the event where there is none.
pub(super) type Told = (u64, Option<u32>);

/// One subscriber.
pub(crate) struct Subscriber {
    pub(super) id: u64,
    pub(super) form: Form,
    pub(super) queue: Queue,
    /// What it wants, until it stands in the index of its dispatcher: that needs no more than hashes.
    pub(super) filters: Mutex<Option<Arc<Filters>>>,
    /// Wakes whoever waits for the first message of options.
    pub(super) hello: Notify,
}

/// Whether a change lies behind a place.
pub(super) fn is_behind(told: Told, seq: u64, index: u32) -> bool {
    seq > told.0 || (seq == told.0 && told.1.is_none_or(|last| index > last))
}

/// The changes of a step that are for clients of this form.
pub(super) fn changes_for(form: Form, step: &Step) -> &[Change] {
    match form {
        Form::Plain => &step.plain,
        Form::Extended(_) => &step.changes,
    }
}

/// Whether the client wants a change, whatever its filters say.
pub(super) fn is_wanted(form: Form, change: &Change) -> bool {
    match form {
        Form::Plain => change.is_within_cap(),
        Form::Extended(wanted) => {
            wanted.operation(change.operation)
                && wanted.origin(change.origin)
                && (wanted.all_links || change.is_within_cap())
        }
    }
}

/// The frame of a change.
pub(super) fn text_of(form: Form, step: &Step, change: &Change) -> String {
    let mut text = String::new();
    match form {
        Form::Plain => write_plain(&mut text, change),
        Form::Extended(_) => write_extended(&mut text, step, change),
    }
    text
}
