//! Posting lists, target by target. The list of a (target, source) is those of the parts, one behind the
//! other: their rows are numbered in the order of the parts.

use super::columns::MonotoneColumn;
use super::output::Output;
use super::part::{GONE, Part};
use crate::monotone::{self, Monotone};
use crate::segment::layout::{Section, SegmentInfo};
use crate::segment::links::{HotSet, HotTargets};
use crate::segment::list::List;
use crate::segment::lists::{ListScan, ListsWriter};
use crate::segment::workspace::{Env, Workspace};
use crate::sink::Sink;
use crate::{Error, Result};

/// The used targets of a part, in order, with their lists.
struct TargetCursor<'p, 'a, W: Workspace> {
    part: &'p Part<'a, W>,
    new: monotone::Iter<'p>,
    starts: monotone::Iter<'a>,
    scan: ListScan<'a>,
    /// The ordinal behind that of the head.
    next: u32,
    /// Where the lists of the target to come begin.
    start: u32,
    /// The new ordinal of the head, whose lists are the next of `scan`, and how many it has.
    head: Option<(u32, u32)>,
    scratch: Vec<u32>,
}

impl<W: Workspace> TargetCursor<'_, '_, W> {
    fn advance(&mut self, env: &mut Env<'_, W>) -> Result<(), W::Error> {
        self.head = None;
        while self.head.is_none() {
            env.stepped(1)?;
            let (Some(new), Some(end)) = (self.new.next(), self.starts.next()) else {
                return Ok(());
            };
            let (new, end) = (new?, end?);
            let count = end.saturating_sub(self.start);
            self.start = end;
            let is_used = self.part.used_targets.contains(self.next);
            self.next += 1;
            if is_used {
                self.head = Some((new, count));
                continue;
            }
            for _ in 0..count {
                self.scratch.clear();
                self.scan.read(&mut self.scratch)?;
                env.stepped(1)?;
            }
        }
        Ok(())
    }
}

/// What a part adds to a list.
struct Piece<'a> {
    source: u32,
    part: usize,
    rows: Rows<'a>,
}

enum Rows<'a> {
    /// New numbers, from one place to another among those of all pieces.
    Short(usize, usize),
    /// Old numbers.
    Long(List<'a>),
}

/// Makes the sections of lists. Gives the hot targets.
pub(super) fn merge<W: Workspace, O: Sink<Error = W::Error>>(
    env: &mut Env<'_, W>,
    parts: &[Part<'_, W>],
    info: &mut SegmentInfo,
    out: &mut Output<O>,
) -> Result<HotSet, W::Error> {
    let mut cursors = Vec::with_capacity(parts.len());
    for part in parts {
        let starts = Monotone::open(part.segment.section(Section::ListStarts)?)?;
        let mut starts = starts.iter_from(0);
        let start = starts.next().transpose()?.unwrap_or(0);
        let mut cursor = TargetCursor {
            part,
            new: part.new_targets()?.iter_from(0),
            starts,
            scan: ListScan::new(part.segment.postings()?),
            next: 0,
            start,
            head: None,
            scratch: Vec::new(),
        };
        cursor.advance(env)?;
        cursors.push(cursor);
    }
    let mut writer = ListsWriter::new(info.rows, info.sources);
    let mut starts = MonotoneColumn::new();
    let mut hot = HotTargets::default();
    let (mut pieces, mut rows) = (Vec::new(), Vec::new());
    out.begin(Section::Lists)?;
    for target in 0..info.targets {
        starts.push(env, writer.count())?;
        let rows_before = writer.rows_written();
        pieces.clear();
        rows.clear();
        for (part, cursor) in cursors.iter_mut().enumerate() {
            match cursor.head {
                Some((new, count)) if new == target => {
                    for _ in 0..count {
                        gather(cursor, part, &mut pieces, &mut rows)?;
                    }
                    cursor.advance(env)?;
                }
                _ => {}
            }
        }
        if !pieces.is_sorted_by_key(|piece| piece.source) {
            pieces.sort_by_key(|piece| (piece.source, piece.part));
        }
        let (mut source, mut last_part) = (None, None);
        for piece in &pieces {
            if let Some(before) = source
                && before != piece.source
            {
                writer.end(env, before)?;
            }
            // A part has one list of a source, and parts come in order.
            if source == Some(piece.source) && last_part >= Some(piece.part) {
                return Err(unordered(parts, piece.part).into());
            }
            (source, last_part) = (Some(piece.source), Some(piece.part));
            match piece.rows {
                Rows::Short(start, end) => {
                    for &row in rows.get(start..end).unwrap_or_default() {
                        writer.row(env, row)?;
                    }
                }
                Rows::Long(list) => {
                    let live = parts.get(piece.part).map(|part| &part.live);
                    let mut before = None;
                    for row in list.iter_from(0) {
                        let row = row?;
                        if before >= Some(row) {
                            return Err(unordered(parts, piece.part).into());
                        }
                        before = Some(row);
                        if let Some(row) = live.and_then(|live| live.number(row)) {
                            writer.row(env, row)?;
                        }
                        env.stepped(1)?;
                    }
                }
            }
        }
        if let Some(source) = source {
            writer.end(env, source)?;
        }
        hot.push(target, writer.rows_written() - rows_before);
        out.settle(env, &mut writer.blocks)?;
    }
    starts.push(env, writer.count())?;
    writer.flush_last(env)?;
    out.drain(env, &mut writer.blocks)?;
    let written = writer.finish(env)?;
    info.lists = written.count;
    info.long_lists = written.long_count;
    out.section(env, Section::ListDirectory, written.directory.bytes())?;
    starts.section(env, Section::ListStarts, out)?;
    out.section(env, Section::LongDirectory, written.long_directory.bytes())?;
    out.section(env, Section::LongLists, written.long.bytes())?;
    let hot = hot.finish(info.targets);
    info.hot_targets = hot.len();
    info.hot_widths = hot.widths();
    Ok(hot)
}

#[cold]
fn unordered<W: Workspace>(parts: &[Part<'_, W>], part: usize) -> Error {
    let region = parts
        .get(part)
        .map(|part| part.segment.section(Section::Lists));
    match region {
        Some(Ok(region)) => region.corrupt(0, "rising rows", "others"),
        _ => Error::corrupt(Section::Lists.name(), 0, "rising rows", "others"),
    }
}

/// Reads the next list of a part.
fn gather<'a, W: Workspace>(
    cursor: &mut TargetCursor<'_, 'a, W>,
    part: usize,
    pieces: &mut Vec<Piece<'a>>,
    rows: &mut Vec<u32>,
) -> Result<()> {
    cursor.scratch.clear();
    let (source, long) = cursor.scan.read(&mut cursor.scratch)?;
    let source = cursor.part.sources.get(source as usize);
    // A source that is gone had only dead rows.
    let source = source.copied().filter(|source| *source != GONE);
    let Some(source) = source else {
        return Ok(());
    };
    let rows = match long {
        Some(list) => Rows::Long(list),
        None => {
            if !cursor.scratch.is_sorted_by(|a, b| a < b) {
                let region = cursor.part.segment.section(Section::Lists)?;
                return Err(region.corrupt(0, "rising rows", "others"));
            }
            let start = rows.len();
            let live = &cursor.part.live;
            rows.extend(cursor.scratch.iter().filter_map(|row| live.number(*row)));
            if rows.len() == start {
                return Ok(());
            }
            Rows::Short(start, rows.len())
        }
    };
    pieces.push(Piece { source, part, rows });
    Ok(())
}
