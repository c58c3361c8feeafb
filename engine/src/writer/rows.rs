//! Rows anywhere in the current generation: finding the one of a key, and changing the state of one, with
//! the masked counts of its lists.

use std::sync::atomic::Ordering;

use orrery_formats::segment::{KeyProbe, LinkRef, Segment};

use super::{Place, Writer};
use crate::actors::ActorId;
use crate::mask::{LONG_LIST, Mask};
use crate::memtable::DEAD;
use crate::{Error, Result};

/// What a commit reads of the row at its key before it is accepted, so that killing it reads nothing again. Its
/// buffers are kept from event to event.
#[derive(Debug, Default)]
pub(super) struct OldRow {
    /// Whose row it is; none where that stands in the memtable, or there is none.
    place: Option<(u32, u32)>,
    seq: u64,
    state: u64,
    links: Vec<LinkRef>,
    /// The long lists that it is in, once for each link.
    long: Vec<u32>,
}

impl OldRow {
    /// To be called before each event: places and states change between them.
    pub(super) const fn forget(&mut self) {
        self.place = None;
    }

    /// The links of a row, if it is that which was read.
    pub(super) fn links_of(&self, part: u32, row: u32) -> Option<&[LinkRef]> {
        (self.place == Some((part, row))).then_some(&self.links)
    }
}

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
        let key = KeyProbe::new(actor, collection, rkey);
        for (part, sealed) in self.generation.numbered().rev() {
            if !sealed.segment.may_hold(&key)? {
                continue;
            }
            let mut newest = None;
            sealed
                .segment
                .find_key(&key, &mut |row| newest = Some(row))?;
            if let Some(row) = newest {
                return Ok(Some(Place::Sealed { part, row }));
            }
        }
        Ok(None)
    }

    /// Reads all that killing the row at a commit's key reads, and comparing its links where it `compares`: what is
    /// damaged is met here, before anything has changed. Chunks that were checked once are sound.
    pub(super) fn read_old_row(&mut self, place: Place, compares: bool) -> Result<()> {
        let mut old = std::mem::take(&mut self.old_row);
        let read = self.read_row(place, compares, &mut old);
        self.old_row = old;
        read
    }

    /// Reads all that moving a row reads.
    pub(super) fn read_row(&self, place: Place, compares: bool, old: &mut OldRow) -> Result<()> {
        old.place = None;
        old.state = self.state(place)?;
        let Place::Sealed { part, row } = place else {
            return Ok(());
        };
        let OldRow { links, long, .. } = &mut *old;
        links.clear();
        long.clear();
        let segment = self.segment(part)?;
        segment.each_list(row, &mut |link, list, rows| {
            links.push(link);
            if rows > LONG_LIST {
                long.push(list);
            }
        })?;
        if compares {
            for link in links.iter() {
                segment.path(link.path)?;
                segment.target(link.target)?;
            }
            segment.collection(row)?;
        }
        old.seq = segment.seq(row)?;
        old.place = Some((part, row));
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
        let mut old = std::mem::take(&mut self.old_row);
        let killed = self.kill_unread(place, seq, &mut old);
        self.old_row = old;
        self.kills.push(killed?);
        Ok(())
    }

    fn kill_unread(&self, place: Place, seq: u64, old: &mut OldRow) -> Result<u64> {
        let known = match place {
            Place::Memtable(_) => None,
            Place::Sealed { part, row } => Some((part, row)),
        };
        if known.is_none() || old.place != known {
            self.read_row(place, false, old)?;
        }
        self.move_read_row(place, seq, old.state | DEAD, old);
        // The state that was read holds no longer.
        old.place = None;
        Ok(match place {
            Place::Memtable(row) => self.memtable().seq(row),
            Place::Sealed { .. } => old.seq,
        })
    }

    /// Changes the state of a row from `seq` on, and moves the masked counts of its lists with it.
    pub(super) fn move_row(&self, place: Place, seq: u64, state: u64) -> Result<()> {
        let mut old = OldRow::default();
        self.read_row(place, false, &mut old)?;
        self.move_read_row(place, seq, state, &old);
        Ok(())
    }

    /// The same for a row that was read, and did not change since.
    fn move_read_row(&self, place: Place, seq: u64, state: u64, old: &OldRow) {
        let change = i64::from(state != 0) - i64::from(old.state != 0);
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
                    for list in &old.long {
                        memtable.add_segment_masked(part, *list, seq, change);
                    }
                    links = old.links.len() as i64;
                    memtable.add_segment_links(part, change * links);
                }
            }
        }
        self.count_live(-change, -change * links);
    }
}
