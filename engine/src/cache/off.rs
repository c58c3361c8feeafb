//! What holds once a write has failed: nothing more is written, and what is there is still read. A key that was to be
//! written since has no value, as far as they are remembered; beyond that, none has.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

/// Keys that are remembered.
const HIDDEN_MAX: usize = 65_536;

/// Whether a write has failed, and what is not to be read since.
#[derive(Debug, Default)]
pub(super) struct Off {
    is_off: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    why: Option<String>,
    hidden: HashSet<u64>,
    hides_all: bool,
}

impl Off {
    /// Nothing is written any more. Told once.
    pub(super) fn switch(&self, error: &crate::Error) {
        let mut state = self.state.lock();
        if state.why.is_none() {
            tracing::warn!(
                %error,
                "the cache of fetched values takes no more until the next start; the index and the log are not concerned"
            );
            state.why = Some(error.to_string());
        }
        drop(state);
        self.is_off.store(true, Ordering::Release);
    }

    pub(super) fn is_off(&self) -> bool {
        self.is_off.load(Ordering::Acquire)
    }

    pub(super) fn why(&self) -> Option<String> {
        self.state.lock().why.clone()
    }

    /// What is known of the key is out of date.
    pub(super) fn hide(&self, fingerprint: u64) {
        let mut state = self.state.lock();
        if state.hidden.len() >= HIDDEN_MAX {
            state.hides_all = true;
            state.hidden = HashSet::new();
        }
        if !state.hides_all {
            state.hidden.insert(fingerprint);
        }
    }

    /// Whether what is known of the key is out of date.
    pub(super) fn hides(&self, fingerprint: u64) -> bool {
        if !self.is_off() {
            return false;
        }
        let state = self.state.lock();
        state.hides_all || state.hidden.contains(&fingerprint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_to_be_written_is_hidden_and_at_last_everything() {
        let off = Off::default();
        off.hide(7);
        assert!(!off.hides(7), "writing goes on");
        off.switch(&crate::Error::Config("first".to_owned()));
        off.switch(&crate::Error::Config("second".to_owned()));
        assert_eq!(off.why().as_deref(), Some("first"));
        assert!(off.hides(7) && !off.hides(8));
        for n in 0..HIDDEN_MAX as u64 {
            off.hide(1_000 + n);
        }
        assert!(off.hides(8));
        assert_eq!(off.state.lock().hidden.len(), 0);
    }
}
