//! Rows anywhere in the current generation: finding the one of a key, and changing the state of one, with
//! the masked counts of its lists.

use std::sync::atomic::Ordering;

use orrery_formats::segment::Segment;

use super::{Place, Writer};
use crate::actors::ActorId;
use crate::mask::{LONG_LIST, Mask};
use crate::memtable::DEAD;
use crate::{Error, Result};

impl Writer {
    pub(super) fn segment(&self, part: u32) -> Result<&Segment> {
        self.generation
            .segments
            .get(part as usize)
            .map(|sealed| &*sealed.segment)
            .ok_or_else(|| Error::Internal(format!("segment {part} is not in this generation")))
    }

    pub(super) fn mask(&self, part: u32) -> Result<&Mask> {
        self.generation
            .segments
            .get(part as usize)
            .map(|sealed| &*sealed.mask)
            .ok_or_else(|| Error::Internal(format!("segment {part} is not in this generation")))
    }

    pub(super) fn state(&self, place: Place) -> Result<u64> {
        Ok(match place {
            Place::Memtable(row) => self.memtable().state(row, u64::MAX),
            Place::Sealed { part, row } => {
                match self.memtable().segment_state(part, row, u64::MAX) {
                    Some(state) => state,
                    None => self.mask(part)?.state(row)?,
                }
            }
        })
    }

    /// The row of a key that is not dead. At most one is: whatever adds a row kills the one before.
    pub(super) fn find_live(
        &self,
        actor: ActorId,
        collection: &str,
        rkey: &str,
        key_hash: u64,
    ) -> Result<Option<Place>> {
        let Some(place) = self.find_newest(actor, collection, rkey, key_hash)? else {
            return Ok(None);
        };
        Ok((self.state(place)? & DEAD == 0).then_some(place))
    }

    /// The newest row of a key, dead or not.
    pub(super) fn find_newest(
        &self,
        actor: ActorId,
        collection: &str,
        rkey: &str,
        key_hash: u64,
    ) -> Result<Option<Place>> {
        let memtable = self.memtable();
        if let Some(row) = self.keys.get(&(actor, key_hash)) {
            let same = memtable.collection(*row) == collection && memtable.rkey(*row) == *rkey;
            if same {
                // A row of this memtable has killed whatever older segments held.
                return Ok(Some(Place::Memtable(*row)));
            }
        }
        for (part, sealed) in self.generation.numbered().rev() {
            if !sealed.segment.may_hold_key(actor, collection, rkey)? {
                continue;
            }
            let mut newest = None;
            sealed
                .segment
                .find_rows(actor, collection, rkey, &mut |row| newest = Some(row))?;
            if let Some(row) = newest {
                return Ok(Some(Place::Sealed { part, row }));
            }
        }
        Ok(None)
    }

    /// Reads all that killing or moving a row reads, and comparing its links where it `compares`: what is damaged is
    /// met here, before anything has changed. Chunks that were checked once are sound.
    pub(super) fn read_row(&self, place: Place, compares: bool) -> Result<()> {
        self.state(place)?;
        let Place::Sealed { part, row } = place else {
            return Ok(());
        };
        let segment = self.segment(part)?;
        segment.seq(row)?;
        for link in segment.links(row)? {
            let link = link?;
            segment.list(segment.list_id(row, link.path, link.target)?)?;
            if compares {
                segment.path(link.path)?;
                segment.target(link.target)?;
            }
        }
        if compares {
            segment.collection(row)?;
        }
        Ok(())
    }

    pub(super) fn count_live(&self, rows: i64, links: i64) {
        let counters = &self.generation.counters;
        counters
            .live_rows
            .fetch_add(rows.cast_unsigned(), Ordering::Relaxed);
        counters
            .live_links
            .fetch_add(links.cast_unsigned(), Ordering::Relaxed);
    }

    /// Makes a row dead from `seq` on.
    pub(super) fn kill(&mut self, place: Place, seq: u64) -> Result<()> {
        let state = self.state(place)?;
        let killed = match place {
            Place::Memtable(row) => self.memtable().seq(row),
            Place::Sealed { part, row } => self.segment(part)?.seq(row)?,
        };
        self.move_row(place, seq, state | DEAD)?;
        self.kills.push(killed);
        Ok(())
    }

    /// Changes the state of a row from `seq` on, and moves the masked counts of its lists with it.
    pub(super) fn move_row(&self, place: Place, seq: u64, state: u64) -> Result<()> {
        let before = self.state(place)?;
        let change = i64::from(state != 0) - i64::from(before != 0);
        let memtable = self.memtable();
        let mut links = 0_i64;
        match place {
            Place::Memtable(row) => {
                memtable.set_state(row, seq, state);
                if change != 0 {
                    for (_, _, list) in memtable.row_links(row) {
                        memtable.add_masked(list, seq, change);
                        links += 1;
                    }
                }
            }
            Place::Sealed { part, row } => {
                memtable.set_segment_state(part, row, seq, state);
                if change != 0 {
                    let segment = self.segment(part)?;
                    for link in segment.links(row)? {
                        let link = link?;
                        let list = segment.list_id(row, link.path, link.target)?;
                        if segment.list(list)?.len() > LONG_LIST {
                            memtable.add_segment_masked(part, list, seq, change);
                        }
                        links += 1;
                    }
                }
            }
        }
        self.count_live(-change, -change * links);
        Ok(())
    }
}
