//! The rows of one account, which an event of it moves all at once: found, read before the event is accepted, and moved
//! without reading anything again. All that stands in one segment is read together.

use std::ops::Range;
use std::sync::Arc;

use orrery_formats::segment::{LinkRef, Segment};

use super::known_rows::{KnownAccount, KnownRows};
use super::{Place, Writer};
use crate::Result;
use crate::actors::ActorId;
use crate::mask::{Column, LONG_LIST};
use crate::memtable::{DEAD, HIDDEN, Memtable};
use crate::snapshot::Sealed;

/// Rows whose states are fetched together: with so many lines of 64 bytes the processor's second cache is half full.
const FETCHED_MAX: u32 = 1 << 13;

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
struct OfSegment {
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
    segments: Vec<OfSegment>,
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

    fn of(&self, sealed: &OfSegment) -> &[(u32, u8)] {
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

    /// Adds rows of a segment that were read before, but for those that are dead by now. Links of some of them are in `read`.
    fn push_known(
        &mut self,
        part: u32,
        segment: &Segment,
        (known, read): (KnownRows<'_>, &KeptLinks),
        mut states: States<'_>,
        moves: Move,
        kept_max: usize,
    ) -> Result<()> {
        let start = self.rows.len();
        let (mut changed, mut links, mut lists) = (0, 0, Vec::new());
        // The rows whose links are kept, and how many these and those before have.
        let (mut told, mut kept) = (Vec::new(), self.links.links.len());
        // What is looked up row by row lies all over the memtable.
        let mut ahead = FETCHED_MAX;
        known.each(|row, _, _| {
            if ahead > 0 {
                states.memtable.fetch_segment_state(part, row);
                ahead -= 1;
            }
            Ok(())
        })?;
        known.each(|row, row_links, row_lists| {
            let state = states.of_row(row)?;
            if state & DEAD != 0 {
                return Ok(());
            }
            self.rows.push((row, state as u8));
            if moves.masks(state) == 0 {
                return Ok(());
            }
            changed += 1;
            links += u64::from(row_links);
            lists.extend(row_lists.iter().map(|list| (*list, 1)));
            if kept < kept_max {
                kept += row_links.max(1) as usize;
                told.push(row);
            }
            Ok(())
        })?;
        let mut read = read.iter().peekable();
        told.retain(|row| {
            while read.next_if(|((_, of), _)| of < row).is_some() {}
            let links = read.next_if(|((_, of), _)| of == row);
            let links = links.map_or(&[][..], |(_, links)| links);
            links
                .iter()
                .for_each(|link| self.links.push(part, *row, *link));
            links.is_empty()
        });
        segment.links_of_rows(&told, &mut |row, link| self.links.push(part, row, link))?;
        // A popular list has many of an account's rows: it is changed once.
        lists.sort_unstable();
        lists.dedup_by(|(list, _), (kept, links)| {
            let is_same = list == kept;
            *links += u32::from(is_same);
            is_same
        });
        self.push_segment(part, start, (changed, links), lists);
        Ok(())
    }

    /// Adds those of an account's rows of a segment that are not dead, whose links are read.
    fn push_read(
        &mut self,
        part: u32,
        segment: &Segment,
        rows: &[u32],
        mut states: States<'_>,
        moves: Move,
        kept_max: usize,
    ) -> Result<()> {
        let start = self.rows.len();
        let (mut changed, mut lists) = (Vec::new(), Vec::<(u32, u32)>::new());
        for &row in rows {
            let state = states.of_row(row)?;
            if state & DEAD == 0 {
                self.rows.push((row, state as u8));
                if moves.masks(state) != 0 {
                    changed.push(row);
                }
            }
        }
        let each = &mut |list, _| match lists.last_mut() {
            Some((last, links)) if *last == list => *links += 1,
            _ => lists.push((list, 1)),
        };
        let mut last = None;
        // A row is kept whole or not at all.
        let each_link = &mut |row, link| {
            if last == Some(row) || self.links.links.len() < kept_max {
                self.links.push(part, row, link);
                last = Some(row);
            }
        };
        let links = segment.long_lists_of(&changed, LONG_LIST, each, each_link)?;
        // A segment has at most 2^28 rows.
        self.push_segment(part, start, (changed.len() as u32, links), lists);
        Ok(())
    }

    fn push_segment(
        &mut self,
        part: u32,
        start: usize,
        (changed, links): (u32, u64),
        lists: Vec<(u32, u32)>,
    ) {
        let range = start..self.rows.len();
        if !range.is_empty() {
            self.segments.push(OfSegment {
                part,
                range,
                lists,
                changed,
                links,
            });
        }
    }

    /// The links of the first of them.
    pub(super) const fn links(&self) -> &KeptLinks {
        &self.links
    }
}

/// States of rows of one segment as of now.
struct States<'s> {
    memtable: &'s Memtable,
    part: u32,
    column: Column<'s>,
}

impl<'s> States<'s> {
    fn of(memtable: &'s Memtable, part: u32, sealed: &'s Sealed) -> Self {
        let column = sealed.mask.column();
        Self {
            memtable,
            part,
            column,
        }
    }

    fn of_row(&mut self, row: u32) -> Result<u64> {
        match self.memtable.segment_state(self.part, row, u64::MAX) {
            Some(state) => Ok(state),
            None => self.column.state(row),
        }
    }

    /// Dead rows stay so.
    fn drop_dead(&mut self, rows: &mut Vec<u32>) -> Result<()> {
        let mut read = Ok(());
        rows.retain(|row| match self.of_row(*row) {
            Ok(state) => state & DEAD == 0,
            Err(error) => {
                read = Err(error);
                false
            }
        });
        read
    }
}

/// Whether these are the rows of an account in a segment but for dead ones, as far as that can be read. For assertions.
fn are_all(segment: &Segment, actor: ActorId, rows: &[u32], states: &mut States<'_>) -> bool {
    let found: orrery_formats::Result<Vec<u32>> = match segment.actor_rows(actor) {
        Ok(found) => found.collect(),
        Err(error) => Err(error),
    };
    let (Ok(mut found), mut rows) = (found, rows.to_vec()) else {
        return true;
    };
    let live = states
        .drop_dead(&mut found)
        .and_then(|()| states.drop_dead(&mut rows));
    live.is_err() || found == rows
}

/// Rows of one segment as they are kept, and the links of the first of them.
struct ReadRows {
    packed: Vec<u8>,
    links: KeptLinks,
}

/// Reads the links of rows of a part, which rise, and the long lists that they are in. So many links are kept, and the rest of a row.
fn read_known(part: u32, segment: &Segment, rows: &[u32], kept_max: usize) -> Result<ReadRows> {
    let (mut lists, mut kept) = (Vec::new(), KeptLinks::default());
    let mut counted: Vec<(u32, u32)> = rows.iter().map(|row| (*row, 0)).collect();
    let mut counts = counted.iter_mut().peekable();
    let each = &mut |list, row| lists.push((row, list));
    let mut last = None;
    segment.long_lists_of(rows, LONG_LIST, each, &mut |row, link| {
        while counts.next_if(|(of, _)| *of < row).is_some() {}
        if let Some((_, links)) = counts.peek_mut() {
            *links += 1;
        }
        if last == Some(row) || kept.links.len() < kept_max {
            kept.push(part, row, link);
            last = Some(row);
        }
    })?;
    lists.sort_unstable();
    Ok(ReadRows {
        packed: KnownRows::pack(&counted, &lists),
        links: kept,
    })
}

/// What is known of an account whose rows are moved, and what will be.
struct Known<'k> {
    segments: &'k [(u64, KnownRows<'k>)],
    /// All segments that there are by now; nothing where the account is not to be kept, or nothing is new.
    next: Option<KnownAccount>,
}

impl<'k> Known<'k> {
    fn of(&self, segment: u64) -> Option<KnownRows<'k>> {
        let found = self.segments.iter().find(|(id, _)| *id == segment);
        found.map(|(_, rows)| *rows)
    }

    /// Whether so many rows of a segment are to be kept.
    fn has_room_for(&self, rows: usize) -> bool {
        let next = self.next.as_ref();
        next.is_some_and(|next| next.has_room_for(rows))
    }

    fn keep(&mut self, segment: u64, rows: KnownRows<'_>) {
        if let Some(next) = &mut self.next {
            next.push(segment, rows);
        }
    }
}

impl Writer {
    /// The rows of an actor that are not dead, with all that moving them reads. The links of the first rows that
    /// become masked or shown are kept, up to `kept_max` of them and the rest of a row.
    pub(super) fn own_rows(
        &mut self,
        actor: ActorId,
        moves: Move,
        kept_max: usize,
    ) -> Result<OwnRows> {
        let mut own = OwnRows::default();
        let generation = Arc::clone(&self.generation);
        let before = self.known_rows.take(actor);
        let segments = before.segments()?;
        let is_known = |sealed: &Sealed| segments.iter().any(|(id, _)| *id == sealed.id);
        let is_all_known =
            segments.len() == generation.segments.len() && generation.segments.iter().all(is_known);
        // What is to be deleted does not come again.
        let is_kept = moves != Move::Delete;
        let mut known = Known {
            segments: &segments,
            next: (is_kept && !is_all_known).then(|| self.known_rows.unknown()),
        };
        for (part, sealed) in generation.numbered() {
            let start = own.rows.len();
            self.read_sealed(actor, part, sealed, moves, kept_max, &mut known, &mut own)?;
            if moves == Move::Delete && own.rows.len() > start {
                let mut column = sealed.segment.seq_column()?;
                for &(row, _) in own.rows.iter().skip(start) {
                    own.seqs.push(column.get(row)?);
                }
            }
        }
        let next = known.next;
        if is_kept {
            self.known_rows.put(actor, next.unwrap_or(before));
        }
        let memtable = self.memtable();
        let rows = memtable.actor_rows_back(actor, memtable.row_count());
        own.memtable
            .extend(rows.filter(|row| memtable.state(*row, u64::MAX) & DEAD == 0));
        own.memtable.reverse();
        Ok(own)
    }

    /// Adds the rows of one segment: those that are known, or those that are read.
    #[expect(clippy::too_many_arguments, reason = "one place calls it")]
    fn read_sealed(
        &self,
        actor: ActorId,
        part: u32,
        sealed: &Sealed,
        moves: Move,
        kept_max: usize,
        known: &mut Known<'_>,
        own: &mut OwnRows,
    ) -> Result<()> {
        let segment = &sealed.segment;
        let mut states = States::of(self.memtable(), part, sealed);
        // What is empty for being set aside may come back under its id.
        let is_whole = sealed.degraded.is_none();
        if let Some(rows) = known.of(sealed.id) {
            known.keep(sealed.id, rows);
            if is_whole {
                let read = KeptLinks::default();
                return own.push_known(part, segment, (rows, &read), states, moves, kept_max);
            }
        }
        let (mut rows, told) = match is_whole {
            true => self
                .merged_rows
                .rows_of(sealed.id, &|input| known.of(input))?,
            false => (Vec::new(), 0),
        };
        if told < segment.info().rows {
            for row in segment.actor_rows_from(actor, told)? {
                rows.push(row?);
            }
        }
        debug_assert!(
            are_all(segment, actor, &rows, &mut states),
            "what is known of merged segments is as it is found"
        );
        if !is_whole || !known.has_room_for(rows.len()) {
            return own.push_read(part, segment, &rows, states, moves, kept_max);
        }
        states.drop_dead(&mut rows)?;
        let left = kept_max.saturating_sub(own.links.links.len());
        let read = read_known(part, segment, &rows, left)?;
        let rows = KnownRows::of(&read.packed);
        known.keep(sealed.id, rows);
        own.push_known(part, segment, (rows, &read.links), states, moves, kept_max)
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
