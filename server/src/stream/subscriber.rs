//! One subscriber as those see it who have something to tell it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use orrery_query::stream::{Change, ENTRIES_MAX, Prepared, Step, write_extended, write_plain};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::closing::Closing;
use super::options::{Form, Wanted};
use super::queue::Queue;

/// A place among the changes of all events: the seq of an event, and the index of the last of its changes that was told;
/// nothing of the event where there is none.
pub(super) type Told = (u64, Option<u32>);

/// One subscriber.
pub(crate) struct Subscriber {
    pub(super) id: u64,
    pub(super) form: Form,
    pub(super) queue: Queue,
    /// What it wants, until it stands in the index of its dispatcher.
    pub(super) wants: Mutex<Option<Arc<Wants>>>,
    /// Wakes whoever waits for the first message of options.
    pub(super) hello: Notify,
}

/// The entries of all who do not stand in the index of a dispatcher yet; they are bounded as that is.
#[derive(Default)]
pub(super) struct Unlisted(AtomicUsize);

/// What a subscriber wants, counted.
pub(super) struct Wants {
    pub(super) filters: Prepared,
    of: Arc<Unlisted>,
}

impl Wants {
    pub(super) fn new(filters: Prepared, of: &Arc<Unlisted>) -> Result<Self, Closing> {
        let entries = filters.entries();
        let before = of.0.fetch_add(entries, Ordering::Relaxed);
        let wants = Self {
            filters,
            of: Arc::clone(of),
        };
        if before.saturating_add(entries) > ENTRIES_MAX {
            return Err(Closing::filters_full());
        }
        Ok(wants)
    }
}

impl Drop for Wants {
    fn drop(&mut self) {
        let entries = self.filters.entries();
        self.of.0.fetch_sub(entries, Ordering::Relaxed);
    }
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
    let is_wanted = |wanted: Wanted| wanted.origin(change.origin);
    is_in_form(form, change) && wanted_of(form).is_none_or(is_wanted)
}

/// Whether the client wants a change, whatever its filters and its origin say.
pub(super) fn is_in_form(form: Form, change: &Change) -> bool {
    wanted_of(form).map_or_else(
        || change.is_within_cap(),
        |wanted| wanted.operation(change.operation) && (wanted.all_links || change.is_within_cap()),
    )
}

fn wanted_of(form: Form) -> Option<Wanted> {
    match form {
        Form::Plain => None,
        Form::Extended(wanted) => Some(wanted),
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

#[cfg(test)]
mod tests {
    use super::*;
    use orrery_query::stream::Filters;

    #[test]
    fn what_those_want_who_do_not_listen_yet_is_bounded_and_given_back() {
        let of = Arc::<Unlisted>::default();
        let subjects = (0..50_000).map(|n| n.to_string()).collect();
        let filters = Filters {
            subjects,
            ..Filters::default()
        };
        let filters = Prepared::new(&filters).unwrap();
        let all: Vec<_> = (0..100)
            .map_while(|_| Wants::new(filters.clone(), &of).ok())
            .collect();
        assert_eq!(all.len(), ENTRIES_MAX / filters.entries());
        drop(all);
        assert_eq!(of.0.load(Ordering::Relaxed), 0);
    }
}
