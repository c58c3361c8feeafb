//! The links of the segments, in order of seq.

use super::Directory;
use crate::actors::ActorId;
use crate::{Error, Result};

/// Which events or rows are meant. All ends are included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first seq.
    pub from_seq: u64,
    /// The last seq.
    pub to_seq: u64,
    /// The earliest event time, microseconds.
    pub since_us: u64,
    /// The latest event time, microseconds.
    pub until_us: u64,
}

impl Span {
    /// Everything.
    pub const ALL: Self = Self {
        from_seq: 0,
        to_seq: u64::MAX,
        since_us: 0,
        until_us: u64::MAX,
    };

    /// Whether an event of that seq and time is meant.
    #[must_use]
    pub const fn holds(&self, seq: u64, time_us: u64) -> bool {
        self.from_seq <= seq
            && seq <= self.to_seq
            && self.since_us <= time_us
            && time_us <= self.until_us
    }
}

/// One link of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link<'a> {
    /// The seq of the event that wrote the record.
    pub seq: u64,
    /// Its time, microseconds, exact to the millisecond.
    pub time_us: u64,
    /// The author.
    pub did: &'a str,
    /// The record's collection.
    pub collection: &'a str,
    /// The record's key.
    pub rkey: &'a str,
    /// Where in the record the link is, with its leading dot.
    pub path: &'a str,
    /// What it links to.
    pub target: &'a str,
    /// Whether a later event replaced or deleted the record.
    pub dead: bool,
    /// Whether the author's records are not shown.
    pub hidden: bool,
}

/// One row of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActorRow {
    /// The segment's file.
    pub segment: String,
    /// The seq of the event that wrote the record.
    pub seq: u64,
    /// Its time, microseconds, exact to the millisecond.
    pub time_us: u64,
    /// The record's collection.
    pub collection: String,
    /// The record's key.
    pub rkey: String,
    /// Its links.
    pub links: u32,
    /// Whether a later event replaced or deleted it.
    pub dead: bool,
}

/// What the segments know of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActorInfo {
    /// Its id.
    pub id: ActorId,
    /// Its newest revision, as a number, rounded up to the last of its second; 0 for none.
    pub last_rev: u64,
    /// Whether the network hides its records.
    pub hidden: bool,
    /// Whether the operator has excluded it.
    pub excluded: bool,
}

impl Directory {
    /// Calls `each` with every link within `span`, in order of seq, as of the last seal. Segments that do not
    /// open are left out. Memory: one bit for each row of a segment, and one entry for each hidden account.
    ///
    /// # Errors
    /// When a segment cannot be read, or as `each` does.
    pub fn each_link<E: From<Error>>(
        &self,
        span: &Span,
        each: &mut dyn FnMut(&Link<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let hidden = self.hidden_actors()?;
        let (mut did, mut target) = (String::new(), String::new());
        for (place, file) in self.segments.iter().enumerate() {
            let Ok(segment) = file.segment() else {
                continue;
            };
            let info = segment.info();
            let is_apart = info.last_seq < span.from_seq
                || info.first_seq > span.to_seq
                || info.last_time_us < span.since_us
                || info.first_time_us > span.until_us;
            if is_apart {
                continue;
            }
            let dead = self.dead_rows(place)?;
            let first = segment
                .lower_bound_seq(span.from_seq)
                .map_err(Error::from)?;
            for row in first..info.rows {
                let seq = segment.seq(row).map_err(Error::from)?;
                if seq > span.to_seq {
                    break;
                }
                let time_us = segment.time_us(row).map_err(Error::from)?;
                if !span.holds(seq, time_us) {
                    continue;
                }
                let actor = segment.actor(row).map_err(Error::from)?;
                self.with_did(actor, |text| {
                    did.clear();
                    did.push_str(text);
                })?;
                let rkey = segment.rkey(row).map_err(Error::from)?;
                let mut link = Link {
                    seq,
                    time_us,
                    did: &did,
                    collection: segment.collection(row).map_err(Error::from)?,
                    rkey: &rkey.text(),
                    path: "",
                    target: "",
                    dead: dead.contains(row),
                    hidden: hidden.contains(&actor),
                };
                for found in segment.links(row).map_err(Error::from)? {
                    let found = found.map_err(Error::from)?;
                    let read = segment.target(found.target).map_err(Error::from)?;
                    self.target_text(&read, &mut target)?;
                    link.path = segment.path(found.path).map_err(Error::from)?;
                    each(&Link {
                        target: &target,
                        ..link
                    })?;
                }
            }
        }
        Ok(())
    }

    /// What the segments know of an account; `None` where they do not know it.
    ///
    /// # Errors
    /// When a segment cannot be read.
    pub fn actor(&self, did: &str) -> Result<Option<ActorInfo>> {
        let Some(id) = self.find_actor(did)? else {
            return Ok(None);
        };
        let mut info = ActorInfo {
            id,
            last_rev: 0,
            hidden: false,
            excluded: false,
        };
        for (_, segment) in self.sound_segments().rev() {
            if let Some(state) = segment.state(id)? {
                info.last_rev = state.last_rev;
                info.hidden = crate::actors::is_hidden(&state);
                info.excluded = crate::actors::is_excluded(&state);
                break;
            }
        }
        Ok(Some(info))
    }

    /// Calls `each` with the rows of an account, in order of seq, as of the last seal.
    ///
    /// # Errors
    /// When a segment cannot be read, or as `each` does.
    pub fn each_actor_row<E: From<Error>>(
        &self,
        actor: ActorId,
        each: &mut dyn FnMut(&ActorRow) -> Result<(), E>,
    ) -> Result<(), E> {
        for (place, file) in self.segments.iter().enumerate() {
            let Ok(segment) = file.segment() else {
                continue;
            };
            let mut dead = None;
            for row in segment.actor_rows(actor).map_err(Error::from)? {
                let row = row.map_err(Error::from)?;
                if dead.is_none() {
                    dead = Some(self.dead_rows(place)?);
                }
                let links = segment.links(row).map_err(Error::from)?.count();
                each(&ActorRow {
                    segment: file.name.clone(),
                    seq: segment.seq(row).map_err(Error::from)?,
                    time_us: segment.time_us(row).map_err(Error::from)?,
                    collection: segment.collection(row).map_err(Error::from)?.to_owned(),
                    rkey: segment.rkey(row).map_err(Error::from)?.to_string(),
                    links: u32::try_from(links).unwrap_or(u32::MAX),
                    dead: dead.as_ref().is_some_and(|dead| dead.contains(row)),
                })?;
            }
        }
        Ok(())
    }
}
