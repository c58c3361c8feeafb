//! The key indexes as readers see them: one immutable list of closed files, and the keys of the file being written.
//! The writer publishes a new view by a pointer whenever files come or go; a reader keeps the one it took, whose indexes
//! stay mapped as long.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use orrery_formats::keys::{FRAME_UNIT, KeyEntry, KeysFile};
use parking_lot::RwLock;

use super::active::{ActiveKeys, ActivePlace};
use crate::Error;
use crate::log::LogFile;

/// The index of a closed file.
#[derive(Debug)]
pub(crate) struct ClosedKeys {
    pub(crate) log: LogFile,
    pub(super) keys: KeysFile,
}

/// See the module's description.
#[derive(Debug)]
pub(crate) struct KeyView {
    /// Oldest first.
    pub(super) files: Vec<Arc<ClosedKeys>>,
    pub(super) active: Arc<ActiveKeys>,
    /// No event from this seq on is missing: not trimmed, not damaged when its key was read, and not lost before that.
    pub(crate) whole_from: u64,
}

/// Where the newest event of a key stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// The first seq of its file.
    pub(crate) file: u64,
    /// No event of the file has a higher seq; that of the event where it is in the file being written.
    pub(crate) last_seq: u64,
    /// Offset of its frame.
    pub(crate) frame: u64,
    pub(crate) within: Within,
}

/// Which event of a frame is meant. Of one file, places rise with seqs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Within {
    Seq(u64),
    Ordinal(u32),
}

impl Place {
    fn active(file: u64, place: ActivePlace) -> Self {
        let seq = file.saturating_add(u64::from(place.seq));
        Self {
            file,
            last_seq: seq,
            frame: u64::from(place.frame) * FRAME_UNIT,
            within: Within::Seq(seq),
        }
    }

    fn closed(log: &LogFile, entry: &KeyEntry) -> Self {
        Self {
            file: log.first_seq,
            last_seq: log.last_seq,
            frame: u64::from(entry.frame) * FRAME_UNIT,
            within: Within::Ordinal(entry.ordinal),
        }
    }

    /// Whether an event stands behind another.
    pub(crate) fn is_behind(&self, other: &Self) -> bool {
        (self.file, self.frame, self.within) > (other.file, other.frame, other.within)
    }
}

/// What the index of one file knows of some keys.
pub(crate) struct OfFile<const N: usize> {
    /// No event of the file has a higher seq.
    pub(crate) last_seq: u64,
    /// The newest event of each, where the index can be read.
    pub(crate) places: Result<[Option<Place>; N], Error>,
}

impl KeyView {
    /// What each file knows of the keys with these fingerprints, the newest file first.
    pub(crate) fn newest_first<const N: usize>(
        &self,
        fingerprints: [u64; N],
    ) -> impl Iterator<Item = OfFile<N>> + '_ {
        let active = fingerprints.map(|fingerprint| {
            let place = self.active.place(fingerprint)?;
            Some(Place::active(self.active.file(), place))
        });
        let active = OfFile {
            last_seq: u64::MAX,
            places: Ok(active),
        };
        let closed = self.files.iter().rev().map(move |file| {
            let mut places = [None; N];
            for (place, fingerprint) in places.iter_mut().zip(fingerprints) {
                match file.keys.find(fingerprint) {
                    Ok(entry) => *place = entry.map(|entry| Place::closed(&file.log, &entry)),
                    Err(error) => {
                        return OfFile {
                            last_seq: file.log.last_seq,
                            places: Err(error.into()),
                        };
                    }
                }
            }
            OfFile {
                last_seq: file.log.last_seq,
                places: Ok(places),
            }
        });
        std::iter::once(active).chain(closed)
    }
}

/// What the writer's window and readers share.
#[derive(Debug)]
pub(crate) struct SharedKeys {
    /// Held for the time of a pointer's copy.
    view: RwLock<Arc<KeyView>>,
    /// Whether a reader met a damaged index.
    is_damaged: AtomicBool,
    /// Whether one that is cannot be made anew.
    is_given_up: AtomicBool,
}

impl SharedKeys {
    pub(super) fn new(view: KeyView) -> Self {
        Self {
            view: RwLock::new(Arc::new(view)),
            is_damaged: AtomicBool::new(false),
            is_given_up: AtomicBool::new(false),
        }
    }

    pub(crate) fn view(&self) -> Arc<KeyView> {
        Arc::clone(&self.view.read())
    }

    pub(super) fn publish(&self, view: KeyView) {
        let old = std::mem::replace(&mut *self.view.write(), Arc::new(view));
        // Unmaps files, outside of the lock.
        drop(old);
    }

    /// Tells the writer that an index is to be made anew, unless that has failed. Gives whether it is.
    pub(crate) fn report_damage(&self) -> bool {
        let is_hopeful = !self.is_given_up.load(Ordering::Relaxed);
        if is_hopeful {
            self.is_damaged.store(true, Ordering::Relaxed);
        }
        is_hopeful
    }

    /// No index is made anew for a reader any more.
    pub(crate) fn give_up(&self) {
        self.is_given_up.store(true, Ordering::Relaxed);
    }

    pub(crate) fn take_damage(&self) -> bool {
        self.is_damaged.load(Ordering::Relaxed) && self.is_damaged.swap(false, Ordering::Relaxed)
    }
}
