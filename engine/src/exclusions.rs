//! The exclude list: what the operator has taken out of all answers. An account's entry hides its rows, by an event of
//! the log that the writer makes of it ([`crate::Writer::apply_exclusions`]); a target's entry is asked for wherever
//! targets are told. The list is its own file, replaced whole before a change counts, so that no change waits for room in
//! the log, nor for a writer that has stopped.
//!
//! What must hold: an account that the index has excluded is in the file, perhaps as one that was removed. An entry is
//! added to the file before its event is made, and dropped from it after the event of its removal is durable. So
//! whatever a crash leaves, the accounts in the file are all that a start has to compare with the index.

mod edit;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use orrery_formats::exclusions::{ENTRIES_MAX, ExclusionEntry, ExclusionKind, decode, encode};
use parking_lot::{Condvar, Mutex, RwLock};

use crate::io::Fs;
use crate::io::fs::{SYNC_DIRECTORY, write_sealed};
use crate::{Error, Result};

pub(crate) use edit::is_not_durable;
pub use edit::{ExcludeReport, Excluded};

/// The file of the list, within the data directory.
pub(crate) const EXCLUSIONS: &str = "EXCLUSIONS";

/// What fails where a change of the list holds and may be lost.
const NOT_DURABLE: &str = "the exclude list is changed, a power cut may undo that, and links of accounts follow when it can be written again, since this failed: sync directory";

/// When and why something was excluded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Why {
    pub(crate) time_us: u64,
    pub(crate) reason: Box<str>,
}

type Entries = BTreeMap<Box<str>, Why>;

/// The list as it is at one moment.
#[derive(Debug, Clone, Default)]
pub struct Exclusions {
    /// Rises with each change.
    version: u64,
    accounts: Entries,
    targets: Entries,
    /// Accounts that were removed, as long as the log does not say so durably.
    leaving: Entries,
}

impl Exclusions {
    /// Whether nothing is excluded.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty() && self.targets.is_empty()
    }

    /// Whether all that the account with this DID wrote is excluded. O(log entries).
    #[must_use]
    pub fn hides_account(&self, did: &str) -> bool {
        self.accounts.contains_key(did)
    }

    /// Whether links to this target are excluded, as a normalised string. A DID is meant as `at://DID` too. O(log entries).
    #[must_use]
    pub fn hides_target(&self, target: &str) -> bool {
        if self.targets.is_empty() {
            return false;
        }
        let did = || {
            target
                .strip_prefix("at://")
                .filter(|did| !did.contains('/'))
        };
        self.targets.contains_key(target) || did().is_some_and(|did| self.targets.contains_key(did))
    }

    /// Whether a record is excluded: its account is, or it is as a target.
    #[must_use]
    pub fn hides_record(&self, did: &str, collection: &str, rkey: &str) -> bool {
        self.hides_account(did)
            || (!self.targets.is_empty()
                && self.hides_target(&format!("at://{did}/{collection}/{rkey}")))
    }

    /// The same of a record by its at-uri, whose authority is a DID.
    #[must_use]
    pub fn hides_uri(&self, uri: &str) -> bool {
        let did = uri.strip_prefix("at://").unwrap_or(uri).split('/').next();
        did.is_some_and(|did| self.hides_account(did)) || self.hides_target(uri)
    }

    /// All that is excluded, accounts first, each kind by its values.
    pub fn entries(&self) -> impl Iterator<Item = Excluded> + '_ {
        let accounts = self
            .accounts
            .iter()
            .map(|entry| (ExclusionKind::Account, entry));
        let targets = self
            .targets
            .iter()
            .map(|entry| (ExclusionKind::Target, entry));
        accounts
            .chain(targets)
            .map(|(kind, (value, why))| Excluded {
                kind,
                value: value.to_string(),
                time_us: why.time_us,
                reason: why.reason.to_string(),
            })
    }

    /// How many accounts, and how many targets are excluded.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        (self.accounts.len(), self.targets.len())
    }

    pub(crate) const fn version(&self) -> u64 {
        self.version
    }

    pub(crate) fn has_targets(&self) -> bool {
        !self.targets.is_empty()
    }

    fn len(&self) -> usize {
        self.accounts.len() + self.targets.len() + self.leaving.len()
    }

    fn of(entries: Vec<ExclusionEntry>) -> Self {
        let mut list = Self::default();
        for entry in entries {
            let why = Why {
                time_us: entry.time_us,
                reason: entry.reason.into(),
            };
            let of = match (entry.kind, entry.is_leaving) {
                (ExclusionKind::Account, false) => &mut list.accounts,
                (ExclusionKind::Account, true) => &mut list.leaving,
                (ExclusionKind::Target, _) => &mut list.targets,
            };
            of.insert(entry.value.into(), why);
        }
        list
    }

    /// The bytes of the file.
    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
        let of = |kind, is_leaving, entries: &Entries| -> Vec<ExclusionEntry> {
            let entries = entries.iter().map(|(value, why)| ExclusionEntry {
                kind,
                value: value.to_string(),
                time_us: why.time_us,
                reason: why.reason.to_string(),
                is_leaving,
            });
            entries.collect()
        };
        let mut entries = of(ExclusionKind::Account, false, &self.accounts);
        entries.extend(of(ExclusionKind::Account, true, &self.leaving));
        entries.extend(of(ExclusionKind::Target, false, &self.targets));
        entries.sort_unstable_by(|a, b| (a.kind, &a.value).cmp(&(b.kind, &b.value)));
        Ok(encode(&entries)?)
    }
}

/// The bytes of the file in a data directory; `None` where there is none.
pub(crate) fn read_file(fs: &dyn Fs, dir: &Path) -> Result<Option<Vec<u8>>> {
    let path = dir.join(EXCLUSIONS);
    let file = match fs.open(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(Error::io("open", &path))?,
    };
    let length = file.len().map_err(Error::io("read the length of", &path))?;
    // Entries at their bounds take less.
    let length = usize::try_from(length).ok().filter(|len| *len <= 1 << 30);
    let Some(length) = length else {
        return Err(Error::Inconsistent {
            path,
            what: "longer than any exclude list".to_owned(),
        });
    };
    let mut bytes = vec![0; length];
    let read = file
        .read_at(0, &mut bytes)
        .map_err(Error::io("read", &path))?;
    bytes.truncate(read);
    Ok(Some(bytes))
}

/// The list of a backup whose log was copied between the two. What was removed meanwhile may be excluded by the copied log,
/// so it is in there as removed; `added` has the accounts, with the times, whose exclusion the log tells since the list
/// before, since some may have been removed again before the list after.
pub(crate) fn joined(
    before: Option<Vec<u8>>,
    after: Option<Vec<u8>>,
    added: Vec<(Box<str>, u64)>,
) -> Result<Option<Vec<u8>>> {
    let list = |bytes: Option<Vec<u8>>| match bytes {
        Some(bytes) => Ok(Exclusions::of(decode(EXCLUSIONS, bytes)?)),
        None => Ok::<_, Error>(Exclusions::default()),
    };
    if before.is_none() && after.is_none() {
        return Ok(None);
    }
    let (before, mut joined) = (list(before)?, list(after)?);
    let added = added.into_iter().map(|(did, time_us)| {
        let reason = Box::default();
        (did, Why { time_us, reason })
    });
    let before = before.accounts.into_iter().chain(before.leaving);
    for (did, why) in before {
        if !joined.accounts.contains_key(&did) {
            joined.leaving.insert(did, why);
        }
    }
    for (did, why) in added {
        // A list that is full is worth more than one that cannot be written.
        if !joined.accounts.contains_key(&did) && joined.len() < ENTRIES_MAX {
            joined.leaving.entry(did).or_insert(why);
        }
    }
    joined.encode().map(Some)
}

/// Puts the list of one directory into another, which is just being made.
pub(crate) fn copy_list(fs: &dyn Fs, from: &Path, to: &Path) -> Result<()> {
    if let Some(bytes) = read_file(fs, from)? {
        decode(EXCLUSIONS, bytes.clone())?;
        write_sealed(fs, to, EXCLUSIONS, &bytes)?;
    }
    Ok(())
}

/// The list, and what of it the index does not show yet.
pub(crate) struct ExclusionList {
    /// Held for the time of a pointer's copy.
    current: RwLock<Arc<Exclusions>>,
    /// Whether the list is not empty, for those who ask often.
    has_any: AtomicBool,
    has_targets: AtomicBool,
    /// Held over a change of the file. Whether the file was replaced, and that is not known to be durable.
    editing: Mutex<bool>,
    /// Accounts of which the index may say something else than the list.
    pending: Mutex<BTreeSet<Box<str>>>,
    /// The same, without a lock.
    has_pending: AtomicBool,
    /// Accounts whose removal is being waited for, and that were in no list: whether the index had them excluded all the same, and shows
    /// them again. No more than what is asked for now.
    unlisted: Mutex<BTreeMap<Box<str>, bool>>,
    applied: Condvar,
}

impl ExclusionList {
    /// The list in the file of a data directory.
    ///
    /// # Errors
    /// Where it cannot be read, or is damaged: to go on without it would show what was taken down.
    pub(crate) fn open(fs: &dyn Fs, dir: &Path) -> Result<Self> {
        Ok(match read_file(fs, dir)? {
            Some(bytes) => Self::new(Exclusions::of(decode(EXCLUSIONS, bytes)?)),
            None => Self::empty(),
        })
    }

    /// An empty list, for who makes segments and answers nothing.
    pub(crate) fn empty() -> Self {
        Self::new(Exclusions::default())
    }

    fn new(list: Exclusions) -> Self {
        let pending = list.accounts.keys().chain(list.leaving.keys()).cloned();
        let pending: BTreeSet<Box<str>> = pending.collect();
        let this = Self {
            current: RwLock::default(),
            has_any: AtomicBool::new(false),
            has_targets: AtomicBool::new(false),
            editing: Mutex::new(false),
            has_pending: AtomicBool::new(!pending.is_empty()),
            pending: Mutex::new(pending),
            unlisted: Mutex::default(),
            applied: Condvar::new(),
        };
        this.publish(Exclusions { version: 1, ..list });
        this
    }

    /// The list now.
    pub(crate) fn current(&self) -> Arc<Exclusions> {
        Arc::clone(&self.current.read())
    }

    /// The list now, unless it is empty. Costs a load where it is.
    pub(crate) fn any(&self) -> Option<Arc<Exclusions>> {
        self.has_any.load(Ordering::Acquire).then(|| self.current())
    }

    /// The list now, where it has targets.
    pub(crate) fn of_targets(&self) -> Option<Arc<Exclusions>> {
        self.has_targets
            .load(Ordering::Acquire)
            .then(|| self.current())
    }

    fn publish(&self, list: Exclusions) {
        let (has_any, has_targets) = (!list.is_empty(), list.has_targets());
        *self.current.write() = Arc::new(list);
        self.has_any.store(has_any, Ordering::Release);
        self.has_targets.store(has_targets, Ordering::Release);
    }

    /// Replaces the list by what `change` makes of it: in the file first, then for all who ask. `None` from `change`
    /// leaves all as it is. Where the file was replaced and only its directory could not be synced, the list is the new one
    /// for all, as it would be after a restart, and [`settle`](Self::settle) has to write it again.
    fn replace<T>(
        &self,
        fs: &dyn Fs,
        dir: &Path,
        change: impl FnOnce(&Exclusions) -> Result<(Option<Exclusions>, T)>,
    ) -> Result<T> {
        let mut is_unsynced = self.editing.lock();
        let old = self.current();
        let (new, told) = change(&old)?;
        if let Some(mut new) = new {
            new.version = old.version.saturating_add(1);
            self.write(fs, dir, new, &mut is_unsynced)?;
        } else if *is_unsynced {
            self.write(fs, dir, Exclusions::clone(&old), &mut is_unsynced)?;
        }
        Ok(told)
    }

    /// Writes the list again as a whole where it may not be durable: after a sync that failed, one that succeeds says nothing of what
    /// was written before the first. Nothing that the log tells for the list may be logged before this.
    ///
    /// # Errors
    /// When that fails: the list is still not known to be durable.
    pub(crate) fn settle(&self, fs: &dyn Fs, dir: &Path) -> Result<()> {
        self.replace(fs, dir, |_| Ok((None, ())))
    }

    fn write(
        &self,
        fs: &dyn Fs,
        dir: &Path,
        list: Exclusions,
        is_unsynced: &mut bool,
    ) -> Result<()> {
        let written = write_sealed(fs, dir, EXCLUSIONS, &list.encode()?);
        let synced = match written {
            // The last step.
            Err(Error::Io { op, source, .. }) if op == SYNC_DIRECTORY => Err(source),
            written => Ok(written?),
        };
        self.publish(list);
        *is_unsynced = synced.is_err();
        synced.map(drop).map_err(Error::io(NOT_DURABLE, dir))
    }

    /// Has the writer compare these accounts with the index.
    fn note_pending(&self, dids: impl IntoIterator<Item = Box<str>>) {
        let mut pending = self.pending.lock();
        pending.extend(dids);
        self.has_pending
            .store(!pending.is_empty(), Ordering::Release);
    }

    /// Has the writer note of these accounts, which are in no list, whether the index shows them again. To be taken back by
    /// [`shown_again`](Self::shown_again).
    fn watch_unlisted(&self, dids: &[Box<str>]) {
        let mut unlisted = self.unlisted.lock();
        for did in dids {
            // Another removal may wait for the same one.
            unlisted.entry(did.clone()).or_insert(false);
        }
    }

    /// How many of these accounts the index shows again since they are [watched](Self::watch_unlisted).
    fn shown_again(&self, dids: &[Box<str>]) -> usize {
        let mut unlisted = self.unlisted.lock();
        let were_shown = dids.iter().filter_map(|did| unlisted.remove(did));
        were_shown.filter(|was_shown| *was_shown).count()
    }

    /// The index shows an account again.
    pub(crate) fn note_shown(&self, did: &str) {
        if let Some(was_shown) = self.unlisted.lock().get_mut(did) {
            *was_shown = true;
        }
    }

    /// Has the writer compare all accounts of the list with the index, as a start does.
    pub(crate) fn compare_again(&self) {
        let list = self.current();
        self.note_pending(list.accounts.keys().chain(list.leaving.keys()).cloned());
    }

    /// How many accounts may have to be changed. Costs a load where none do.
    pub(crate) fn pending_count(&self) -> usize {
        match self.has_pending.load(Ordering::Acquire) {
            true => self.pending.lock().len(),
            false => 0,
        }
    }

    /// The accounts that may have to be changed. They stay noted until [`done`](Self::done).
    pub(crate) fn pending(&self) -> Vec<Box<str>> {
        if !self.has_pending.load(Ordering::Acquire) {
            return Vec::new();
        }
        self.pending.lock().iter().cloned().collect()
    }

    /// The index durably says of `dids` what the list said when they were looked at: those that were removed are dropped
    /// from the file, unless the index may come to say something else by itself (`may_change`) or the file cannot be written: the
    /// next start looks at them again. Beside each it says whether it was excluded then.
    pub(crate) fn done(
        &self,
        fs: &dyn Fs,
        dir: &Path,
        looked_at: &[(Box<str>, bool)],
        may_change: bool,
    ) -> Result<()> {
        let list = self.current();
        let is_gone = |did: &str, was_hidden: bool| !was_hidden && list.leaving.contains_key(did);
        let mut dropped = Ok(());
        if !may_change && looked_at.iter().any(|(did, hid)| is_gone(did, *hid)) {
            dropped = self.replace(fs, dir, |list| {
                let mut new = list.clone();
                for (did, _) in looked_at.iter().filter(|(_, hid)| !hid) {
                    new.leaving.remove(did);
                }
                Ok((Some(new), ()))
            });
        }
        let mut pending = self.pending.lock();
        // Under the lock: what is noted behind it was put on the list before, and what is noted later stays.
        let list = self.current();
        for (did, was_hidden) in looked_at {
            // One that changed meanwhile is looked at again.
            if list.hides_account(did) == *was_hidden {
                pending.remove(did);
            }
        }
        self.has_pending
            .store(!pending.is_empty(), Ordering::Release);
        drop(pending);
        self.applied.notify_all();
        dropped
    }

    /// Waits until the index says of `dids` what the list does, but no longer than `most`. Gives how many are left.
    fn wait(&self, dids: &[Box<str>], most: Duration) -> usize {
        let deadline = Instant::now() + most;
        let mut pending = self.pending.lock();
        loop {
            let left = dids.iter().filter(|did| pending.contains(*did)).count();
            if left == 0 || self.applied.wait_until(&mut pending, deadline).timed_out() {
                return dids.iter().filter(|did| pending.contains(*did)).count();
            }
        }
    }
}
