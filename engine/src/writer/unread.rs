//! What cannot be told from the index while a segment is set aside that may come back: whether an event was applied
//! that the segment may hold. Once it is back, events are taken as they stand in the log, so none may be accepted
//! twice meanwhile; and none is called a repeat that may be new.
//!
//! An event within the time of such a segment is told by the log's window: commits by the window's keys, as always,
//! and account events by a look through the segment's range of the log, made once it is needed. Where the log does
//! not reach back that far, the event waits for a repair. Events behind that time, which are those that a source
//! gives as they happen, go on.
//!
//! Where the damaged file still gives its accounts, account events are told as always, and so are commits that their
//! actor's last rev proves new.
//!
//! What a repair has written off is lost, and what comes of it again counts as new. Accounts that its file still gives
//! are known as before.

use std::collections::HashMap;

use orrery_formats::event::Body;
use xxhash_rust::xxh3::Xxh3Builder;

use super::Writer;
use super::repeats::OUT_OF_ORDER_MAX_US;
use crate::actors::ActorId;
use crate::snapshot::Generation;
use crate::{Error, Result};

/// A segment that may come back.
#[derive(Debug)]
struct Segment {
    file: Box<str>,
    first_seq: u64,
    last_seq: u64,
    last_time_us: u64,
    /// Whether the states of its accounts are read all the same: only what became of its keys is not known.
    has_accounts: bool,
    /// Set where the log has lost events of it.
    is_out_of_the_log: bool,
}

/// What segments that are set aside said of an account.
#[derive(Debug, Default, Clone, Copy)]
struct Account {
    /// The newest seq of an account event plus one.
    seq: u64,
    /// The time of the newest deletion.
    deleted_us: u64,
}

/// The segments that are not read. See the module's description.
#[derive(Debug, Default)]
pub(crate) struct Unread {
    /// Events up to here may be repeats though their revision is above their actor's newest, with room for sources
    /// that tell other times of the same event. 0 where the states of all segments are read.
    until_us: u64,
    /// Those that may come back.
    segments: Vec<Segment>,
    /// By the hash of the DID, once somebody asked.
    accounts: Option<HashMap<u64, Account, Xxh3Builder>>,
}

impl Unread {
    pub(crate) fn of(generation: &Generation) -> Self {
        let mut unread = Self::default();
        let all = generation.segments.iter();
        for degraded in all.filter_map(|sealed| sealed.degraded.as_deref()) {
            if !degraded.has_accounts {
                let until_us = degraded.last_time_us.saturating_add(OUT_OF_ORDER_MAX_US);
                unread.until_us = unread.until_us.max(until_us);
            }
            if !degraded.is_written_off {
                unread.segments.push(Segment {
                    file: degraded.file.as_str().into(),
                    first_seq: degraded.first_seq,
                    last_seq: degraded.last_seq,
                    last_time_us: degraded.last_time_us,
                    has_accounts: degraded.has_accounts,
                    is_out_of_the_log: false,
                });
            }
        }
        unread
    }

    /// Whether an event of that time may be of a segment that is not read.
    #[inline]
    pub(super) const fn reaches(&self, time_us: u64) -> bool {
        time_us <= self.until_us
    }

    /// Whether a segment that may come back may have rows of an account, which has that id or none.
    pub(super) fn may_have_rows(&self, known: Option<ActorId>) -> bool {
        let mut segments = self.segments.iter();
        segments.any(|segment| known.is_some() || !segment.has_accounts)
    }

    /// Whether a segment that may come back may have the state of an account.
    pub(super) fn may_have_states(&self) -> bool {
        self.segments.iter().any(|segment| !segment.has_accounts)
    }

    pub(super) const fn may_come_back(&self) -> bool {
        !self.segments.is_empty()
    }
}

impl Writer {
    /// Whether a segment that may come back holds a deletion that makes an event of the account void which the window
    /// does not know.
    ///
    /// # Errors
    /// [`Error::LostEvents`] where nothing tells.
    pub(super) fn is_void_unread(&mut self, did: &str, time_us: u64) -> Result<bool> {
        if !self.unread.may_come_back() || !self.unread.reaches(time_us) {
            return Ok(false);
        }
        if time_us <= self.unread_account(did)?.deleted_us {
            return Ok(true);
        }
        self.check_log(time_us).map(|()| false)
    }

    /// Whether an account event was applied that a segment holds which may come back.
    ///
    /// # Errors
    /// [`Error::LostEvents`] where nothing tells; otherwise when the log cannot be read.
    pub(super) fn is_repeat_unread(
        &mut self,
        did: &str,
        account_seq: u64,
        time_us: u64,
    ) -> Result<bool> {
        if !self.unread.may_come_back() || !self.unread.reaches(time_us) {
            return Ok(false);
        }
        if account_seq < self.unread_account(did)?.seq {
            return Ok(true);
        }
        self.check_log(time_us).map(|()| false)
    }

    /// Refuses an event that a segment may hold of which the log does not have all. After the log was asked.
    fn check_log(&self, time_us: u64) -> Result<()> {
        let mut lost = self.unread.segments.iter();
        match lost.find(|segment| segment.is_out_of_the_log && time_us <= segment.last_time_us) {
            Some(segment) => Err(self.refuse_lost_events(segment)),
            None => Ok(()),
        }
    }

    /// Refuses a commit that the window would not know and of which no evidence is found, where a segment that may
    /// come back may have it.
    pub(super) fn check_evidence(&self, time_us: u64) -> Result<()> {
        let mut segments = self.unread.segments.iter();
        match segments.find(|segment| time_us <= segment.last_time_us) {
            Some(segment) => Err(self.refuse_lost_events(segment)),
            None => Ok(()),
        }
    }

    fn refuse_lost_events(&self, segment: &Segment) -> Error {
        let error = Error::LostEvents {
            file: segment.file.to_string(),
        };
        self.shared.durable.lock().blocked = Some(error.to_string());
        error
    }

    /// What the log has of an account within the segments that may come back. Reads their ranges of the log when
    /// first called since one was set aside; memory: 24 bytes for each account with an account event.
    fn unread_account(&mut self, did: &str) -> Result<Account> {
        let hash = self.generation.dids.hash(did);
        if let Some(accounts) = &self.unread.accounts {
            return Ok(accounts.get(&hash).copied().unwrap_or_default());
        }
        let mut accounts: HashMap<u64, Account, Xxh3Builder> = HashMap::default();
        let dids = &self.generation.dids;
        let segments = self.unread.segments.iter_mut();
        for segment in segments.filter(|segment| !segment.has_accounts) {
            let seqs = segment.first_seq..=segment.last_seq;
            let is_whole = self.journal.each_closed(seqs, &mut |replayed| {
                let event = &replayed.event;
                if let Body::Account {
                    seq,
                    active,
                    status,
                } = event.body
                {
                    let known = accounts.entry(dids.hash(event.did)).or_default();
                    known.seq = known.seq.max(seq.saturating_add(1));
                    if !active && status == Some("deleted") {
                        known.deleted_us = known.deleted_us.max(event.time_us);
                    }
                }
            })?;
            segment.is_out_of_the_log = !is_whole;
        }
        let found = accounts.get(&hash).copied().unwrap_or_default();
        self.unread.accounts = Some(accounts);
        Ok(found)
    }
}
