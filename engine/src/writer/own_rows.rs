//! The rows of one account, which an event of it moves all at once: found, read before the event is accepted, and moved
//! without reading anything again. All that stands in one segment is read together.

use std::ops::Range;

use orrery_formats::segment::LinkRef;

use super::{Place, Writer};
use crate::Result;
use crate::actors::ActorId;
use crate::mask::LONG_LIST;
use crate::memtable::{DEAD, HIDDEN};

/// What becomes of the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Move {
    Hide,
    Show,
    Delete,
}

impl Move {
    const fn of(self, state: u64) -> u64 {
        match self {
            Self::Hide => state | HIDDEN,
            Self::Show => state & !HIDDEN,
            Self::Delete => state | DEAD,
        }
    }

    /// By how much the masked links of a row's lists change. All rows that change any go the same way.
    fn masks(self, state: u64) -> i64 {
        i64::from(self.of(state) != 0) - i64::from(state != 0)
    }
}

/// Rows of one segment.
#[derive(Debug)]
struct Sealed {
    part: u32,
    /// Of the rows together.
    range: Range<usize>,
    /// The long lists whose masked links change, and by how many; one may stand here several times.
    lists: Vec<(u32, u32)>,
    /// Rows that become masked or shown, and their links.
    changed: u32,
    links: u64,
}

/// Rows that are not dead, rising by seq.
#[derive(Debug, Default)]
pub(super) struct OwnRows {
    segments: Vec<Sealed>,
    /// Those of segments, with their states, of two bits each.
    rows: Vec<(u32, u8)>,
    /// Their seqs, where they are to die.
    seqs: Vec<u64>,
    memtable: Vec<u32>,
    /// The links of the first rows of segments whose links are told.
    links: KeptLinks,
}

/// Links of rows of segments, as they were read: whoever tells them reads no row twice.
#[derive(Debug, Default)]
pub(super) struct KeptLinks {
    links: Vec<LinkRef>,
    /// Part and row, and where its links end.
    rows: Vec<(u32, u32, usize)>,
}

impl KeptLinks {
    fn push(&mut self, part: u32, row: u32, link: LinkRef) {
        self.links.push(link);
        let end = self.links.len();
        match self.rows.last_mut() {
            Some((of_part, of_row, of_end)) if (*of_part, *of_row) == (part, row) => *of_end = end,
            _ => self.rows.push((part, row, end)),
        }
    }

    /// The rows in order, with their links.
    pub(super) fn iter(&self) -> impl Iterator<Item = ((u32, u32), &[LinkRef])> {
        let mut start = 0;
        self.rows.iter().map(move |&(part, row, end)| {
            let links = self.links.get(start..end).unwrap_or_default();
            start = end;
            ((part, row), links)
        })
    }
}

impl OwnRows {
    pub(super) fn len(&self) -> usize {
        self.rows.len() + self.memtable.len()
    }

    fn of(&self, sealed: &Sealed) -> &[(u32, u8)] {
        self.rows.get(sealed.range.clone()).unwrap_or_default()
    }

    /// All of them, rising by seq.
    pub(super) fn places(&self) -> impl Iterator<Item = Place> {
        let sealed = self.segments.iter().flat_map(|sealed| {
            let part = sealed.part;
            let rows = self.of(sealed).iter();
            rows.map(move |(row, _)| Place::Sealed { part, row: *row })
        });
        sealed.chain(self.memtable.iter().map(|row| Place::Memtable(*row)))
    }

    /// The links of the first of them.
    pub(super) const fn links(&self) -> &KeptLinks {
        &self.links
    }
}

impl Writer {
    /// The rows of an actor that are not dead.
    pub(super) fn rows_of(&self, actor: ActorId) -> Result<OwnRows> {
        let memtable = self.memtable();
        let mut own = OwnRows::default();
        for (part, sealed) in self.generation.numbered() {
            let start = own.rows.len();
            let mut states = sealed.mask.column();
            for row in sealed.segment.actor_rows(actor)? {
                let row = row?;
                let state = match memtable.segment_state(part, row, u64::MAX) {
                    Some(state) => state,
                    None => states.state(row)?,
                };
                if state & DEAD == 0 {
                    own.rows.push((row, state as u8));
                }
            }
            let range = start..own.rows.len();
            if !range.is_empty() {
                own.segments.push(Sealed {
                    part,
                    range,
                    lists: Vec::new(),
                    changed: 0,
                    links: 0,
                });
            }
        }
        let rows = memtable.actor_rows_back(actor, memtable.row_count());
        own.memtable
            .extend(rows.filter(|row| memtable.state(*row, u64::MAX) & DEAD == 0));
        own.memtable.reverse();
        Ok(own)
    }

    /// Reads all that moving them reads. The links of the first rows that become masked or shown are kept, up to
    /// `kept_max` of them and the rest of a row.
    pub(super) fn read_own_rows(
        &self,
        own: &mut OwnRows,
        moves: Move,
        kept_max: usize,
    ) -> Result<()> {
        let mut kept = KeptLinks::default();
        let mut segments = std::mem::take(&mut own.segments);
        let mut changed = Vec::new();
        for sealed in &mut segments {
            let segment = self.segment(sealed.part)?;
            changed.clear();
            for &(row, state) in own.of(sealed) {
                if moves.masks(state.into()) != 0 {
                    changed.push(row);
                }
            }
            let lists = &mut sealed.lists;
            let each = &mut |list, links| lists.push((list, links));
            // A row is kept whole or not at all.
            let part = sealed.part;
            let mut last = kept.rows.last().map(|(part, row, _)| (*part, *row));
            let each_link = &mut |row, link| {
                if last == Some((part, row)) || kept.links.len() < kept_max {
                    kept.push(part, row, link);
                    last = Some((part, row));
                }
            };
            sealed.links = segment.long_lists_of(&changed, LONG_LIST, each, each_link)?;
            // A segment has at most 2^28 rows.
            sealed.changed = changed.len() as u32;
            if moves == Move::Delete {
                let rows = own.rows.get(sealed.range.clone()).unwrap_or_default();
                let mut column = segment.seq_column()?;
                for &(row, _) in rows {
                    own.seqs.push(column.get(row)?);
                }
            }
        }
        own.segments = segments;
        own.links = kept;
        Ok(())
    }

    /// Moves rows that were read for just that, from `seq` on.
    pub(super) fn move_own_rows(&mut self, own: OwnRows, moves: Move, seq: u64) -> Result<()> {
        self.unmeasured_bytes += 128 * own.len();
        let memtable = self.memtable();
        for sealed in &own.segments {
            for &(row, state) in own.of(sealed) {
                memtable.set_segment_state(sealed.part, row, seq, moves.of(state.into()));
            }
            let change = match moves {
                Move::Hide | Move::Delete => 1,
                Move::Show => -1,
            };
            for &(list, links) in &sealed.lists {
                memtable.add_segment_masked(sealed.part, list, seq, change * i64::from(links));
            }
            let links = i64::try_from(sealed.links).unwrap_or(i64::MAX);
            memtable.add_segment_links(sealed.part, change * links);
            self.count_live(-change * i64::from(sealed.changed), -change * links);
        }
        self.kills.extend(own.seqs);
        for row in own.memtable {
            let place = Place::Memtable(row);
            if moves == Move::Delete {
                self.kill(place, seq)?;
            } else {
                self.move_row(place, seq, moves.of(self.state(place)?))?;
            }
        }
        Ok(())
    }
}
