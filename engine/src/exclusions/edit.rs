//! Changes of the exclude list: what may be an entry, and adding and removing some while a store is open.

use std::time::Duration;

use orrery_formats::exclusions::{ENTRIES_MAX, ExclusionKind, REASON_BYTES_MAX, VALUE_BYTES_MAX};
use orrery_links::normalise_target;
use orrery_links::syntax::{Did, Handle};

use super::{Exclusions, NOT_DURABLE, Why};
use crate::store::Store;
use crate::{Error, Result};

/// Something that is excluded, or is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excluded {
    /// What it is.
    pub kind: ExclusionKind,
    /// The DID of an account, or a normalised target.
    pub value: String,
    /// When it was added, microseconds since 1970.
    pub time_us: u64,
    /// Why; may be empty.
    pub reason: String,
}

impl Excluded {
    /// Reads what a person asks for: a DID is an account, unless `is_target`; anything else is a target.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn parse(text: &str, is_target: bool) -> Result<Self, String> {
        let text = text.trim();
        let of = |kind, value: &str| {
            if value.len() > VALUE_BYTES_MAX {
                return Err(format!("it has more than {VALUE_BYTES_MAX} bytes"));
            }
            Ok(Self {
                kind,
                value: value.to_owned(),
                time_us: 0,
                reason: String::new(),
            })
        };
        if text.is_empty() {
            return Err("it is empty; name a DID, an at-uri or a URL".to_owned());
        }
        if text.starts_with("did:") && !is_target {
            return match Did::parse(text) {
                Ok(_) => of(ExclusionKind::Account, text),
                Err(error) => Err(format!("{text} is no DID: {error}")),
            };
        }
        let bare = text.strip_prefix('@').unwrap_or(text);
        let authority = bare.strip_prefix("at://").unwrap_or(bare);
        let authority = authority.split('/').next().unwrap_or_default();
        let is_handle = !bare.contains("://") || bare.starts_with("at://");
        // A link may lead to one all the same, and whoever means that says so.
        if is_handle && !is_target && Handle::parse(authority).is_ok() {
            return Err(format!(
                "{authority} is a handle, which may become another account's: resolve it, as by \
                 /xrpc/com.atproto.identity.resolveHandle?handle={authority}, and name the DID"
            ));
        }
        match normalise_target(text) {
            Some(target) => of(ExclusionKind::Target, &target),
            None => Err(format!(
                "{text} is no DID, no at-uri and no URL that a link could lead to"
            )),
        }
    }

    /// The same with a reason, added at that time.
    ///
    /// # Errors
    /// Where the reason is too long.
    pub fn because(mut self, reason: &str, time_us: u64) -> Result<Self, String> {
        if reason.len() > REASON_BYTES_MAX {
            return Err(format!(
                "the reason has {} bytes; {REASON_BYTES_MAX} are the most",
                reason.len()
            ));
        }
        reason.clone_into(&mut self.reason);
        self.time_us = time_us;
        Ok(self)
    }
}

/// Whether a change of the list holds all the same, until a power cut.
pub(crate) fn is_not_durable(error: &Error) -> bool {
    matches!(error, Error::Io { op, .. } if *op == NOT_DURABLE)
}

fn accounts_of(entries: &[Excluded]) -> Vec<Box<str>> {
    let of_account = |entry: &&Excluded| entry.kind == ExclusionKind::Account;
    let dids = entries.iter().filter(of_account);
    dids.map(|entry| entry.value.as_str().into()).collect()
}

/// What became of a change of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ExcludeReport {
    /// Entries that were added, or removed.
    pub changed: usize,
    /// Those that were there already, or were not there.
    pub unchanged: usize,
    /// Accounts whose links answers still show, or still leave out: nothing is written to the index now
    /// ([`crate::Status`] says why). It is done when writing goes on, or at the next start.
    pub pending: usize,
    /// Of those that were not there to be removed, accounts that answers left out all the same, as an older list said, and show again.
    pub shown: usize,
}

impl Store {
    /// What is excluded from all answers now. O(1).
    #[must_use]
    pub fn exclusions(&self) -> std::sync::Arc<Exclusions> {
        self.shared.exclusions.current()
    }

    /// The same, unless nothing is. Costs one load then, for those who ask about each link.
    #[must_use]
    pub fn exclusions_if_any(&self) -> Option<std::sync::Arc<Exclusions>> {
        self.shared.exclusions.any()
    }

    /// How many accounts wait for the writer to hide or to show their rows.
    #[must_use]
    pub fn exclusions_pending(&self) -> usize {
        self.shared.exclusions.pending_count()
    }

    /// Takes entries into the exclude list. It is durable, and answers leave out what it says, when this returns, but for
    /// [`ExcludeReport::pending`]. An entry that is there already keeps its time and gets the new reason, unless that is
    /// empty. It blocks, for no longer than `wait` on a writer that is in use, which looks at each
    /// [`tick`](crate::Writer::tick).
    ///
    /// # Errors
    /// [`Error::Config`] where the list would have too many entries; otherwise when it cannot be written: nothing has
    /// changed then, unless the error says that only a power cut may undo the change.
    pub fn exclude(&self, entries: &[Excluded], wait: Duration) -> Result<ExcludeReport> {
        let shared = &*self.shared;
        let mut report = ExcludeReport::default();
        let list = &shared.exclusions;
        let changed = list.replace(&*shared.fs, &shared.dir, |old| {
            let mut new = old.clone();
            let mut is_changed = false;
            for entry in entries {
                let (of, leaving) = match entry.kind {
                    ExclusionKind::Account => (&mut new.accounts, Some(&mut new.leaving)),
                    ExclusionKind::Target => (&mut new.targets, None),
                };
                if let Some(why) = of.get_mut(&*entry.value) {
                    report.unchanged += 1;
                    if !entry.reason.is_empty() && *why.reason != *entry.reason {
                        why.reason = entry.reason.as_str().into();
                        is_changed = true;
                    }
                    continue;
                }
                let why = Why {
                    time_us: entry.time_us,
                    reason: entry.reason.as_str().into(),
                };
                of.insert(entry.value.as_str().into(), why);
                leaving.and_then(|leaving| leaving.remove(&*entry.value));
                report.changed += 1;
                is_changed = true;
            }
            if new.len() > ENTRIES_MAX {
                return Err(Error::Config(format!(
                    "the exclude list would have {} entries; {ENTRIES_MAX} are the most",
                    new.len()
                )));
            }
            Ok((is_changed.then_some(new), ()))
        });
        self.note_if_not_durable(entries, changed)?;
        report.pending = self.apply_to(entries, wait);
        Ok(report)
    }

    /// Takes entries out of the list: answers show again what they hid, as it is by now, when this returns, but for
    /// [`ExcludeReport::pending`]. It blocks, as [`exclude`](Self::exclude) does.
    ///
    /// # Errors
    /// When the list cannot be written: nothing has changed then, unless the error says that only a power cut may undo the
    /// change.
    pub fn include(&self, entries: &[Excluded], wait: Duration) -> Result<ExcludeReport> {
        let shared = &*self.shared;
        let mut report = ExcludeReport::default();
        let list = &shared.exclusions;
        let mut unlisted = Vec::new();
        let changed = list.replace(&*shared.fs, &shared.dir, |old| {
            let mut new = old.clone();
            for entry in entries {
                let found = match entry.kind {
                    ExclusionKind::Account => {
                        let found = new.accounts.remove_entry(&*entry.value);
                        found.map(|(did, why)| new.leaving.insert(did, why))
                    }
                    ExclusionKind::Target => new.targets.remove(&*entry.value).map(|_| None),
                };
                match found {
                    Some(_) => report.changed += 1,
                    None => {
                        report.unchanged += 1;
                        // One that was removed before is hidden by that entry, until the index follows.
                        let is_account = entry.kind == ExclusionKind::Account;
                        if is_account && !new.leaving.contains_key(&*entry.value) {
                            unlisted.push(Box::from(&*entry.value));
                        }
                    }
                }
            }
            Ok(((report.changed > 0).then_some(new), ()))
        });
        self.note_if_not_durable(entries, changed)?;
        list.watch_unlisted(&unlisted);
        report.pending = self.apply_to(entries, wait);
        report.shown = list.shown_again(&unlisted);
        Ok(report)
    }

    /// A change that holds and may not be durable is left to the writer, which writes the list again before it hides or shows any rows for
    /// it.
    fn note_if_not_durable(&self, entries: &[Excluded], changed: Result<()>) -> Result<()> {
        if changed.as_ref().is_err_and(is_not_durable) {
            self.shared.exclusions.note_pending(accounts_of(entries));
        }
        changed
    }

    /// Has the writer hide or show the rows of the accounts among `entries`, and waits for it. Accounts that are not in the
    /// list are looked at too: a repair may have brought back what an older list says. Gives how many are left, also where that fails:
    /// the list is written, and the writer or the next start goes on from it.
    fn apply_to(&self, entries: &[Excluded], wait: Duration) -> usize {
        let dids = accounts_of(entries);
        if dids.is_empty() {
            return 0;
        }
        let list = &self.shared.exclusions;
        list.note_pending(dids.iter().cloned());
        let mut writer = self.writer.lock();
        if let Some(writer) = &mut *writer {
            // Nobody uses it.
            if let Err(error) = writer.apply_exclusions()
                && !error.is_pause()
                && !matches!(error, Error::Poisoned { .. })
            {
                tracing::error!(%error, "the exclude list is changed, and the index cannot follow it yet");
            }
            return list.wait(&dids, Duration::ZERO);
        }
        drop(writer);
        if self.shared.durable.lock().poisoned.is_some() {
            return list.wait(&dids, Duration::ZERO);
        }
        list.wait(&dids, wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_did_is_an_account_and_everything_else_a_target() {
        let kind = |text, is_target| Excluded::parse(text, is_target).map(|e| (e.kind, e.value));
        let account = |value: &str| Ok((ExclusionKind::Account, value.to_owned()));
        let target = |value: &str| Ok((ExclusionKind::Target, value.to_owned()));
        assert_eq!(kind(" did:plc:abc ", false), account("did:plc:abc"));
        assert_eq!(kind("did:plc:abc", true), target("did:plc:abc"));
        let post = "at://did:plc:abc/app.bsky.feed.post/3k";
        assert_eq!(kind(post, false), target(post));
        assert_eq!(
            kind("https://example.org/a", false),
            target("https://example.org/a")
        );
    }

    #[test]
    fn what_is_wrong_with_an_entry_is_said() {
        let wrong = |text| Excluded::parse(text, false).unwrap_err();
        for handle in [
            "alice.example.org",
            "@alice.example.org",
            "at://alice.example.org/a.b.c/d",
        ] {
            let error = wrong(handle);
            assert!(
                error.contains("is a handle") && error.contains("resolveHandle"),
                "{error}"
            );
        }
        assert!(wrong("did:plc:").contains("no DID"));
        assert!(wrong("").contains("empty"));
        assert!(wrong("just words").contains("no at-uri"));
        let long = "x".repeat(REASON_BYTES_MAX + 1);
        let entry = Excluded::parse("did:plc:abc", false).unwrap();
        assert!(entry.because(&long, 1).unwrap_err().contains("reason"));
    }
}
