//! A data directory made anew out of another one, which is only read: either out of its whole log, event by
//! event, or out of its segments, whose rows, links, accounts and deaths are written again with all that is
//! derived from them. Events keep their seqs.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use orrery_formats::manifest::{Directory, Edit, SegmentEntry, State};
use orrery_formats::segment::{self, MergeInput, SampleRules};

use super::copy;
use super::links::Span;
use super::restore::{claim_empty, settle};
use crate::compaction::workspace::{FileWorkspace, Pace, RoomWatch, SegmentFile, Stopped};
use crate::exclusions::copy_list;
use crate::io::{Fs, OsFs};
use crate::manifest::Manifest;
use crate::recovery::{new_directory, refuse_other_versions};
use crate::store::{LOG, SCRATCH, SEGMENTS};
use crate::{Error, Options, Result, Store};

/// What a rebuild did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RebuildReport {
    /// Events replayed from the log.
    pub events: u64,
    /// Segments written.
    pub segments: u64,
    /// Rows in them.
    pub rows: u64,
    /// Log files copied.
    pub log_files: u64,
    /// The last event.
    pub last_seq: u64,
    /// What is worth knowing: damage that was passed over.
    pub notes: Vec<String>,
}

/// Replays the log of the directory at `from` into `to`, which is empty or not there. Memory: a memtable.
///
/// # Errors
/// [`Error::Config`] where the log does not begin with the first event, or `to` is not empty;
/// [`Error::Locked`]; [`Error::Io`]; [`Error::Format`].
pub fn replay_log(from: &Path, to: &Path, options: Options) -> Result<RebuildReport> {
    replay_log_with_fs(&OsFs::shared(), from, to, options)
}

/// As [`replay_log`], on another file layer.
///
/// # Errors
/// As [`replay_log`].
pub fn replay_log_with_fs(
    fs: &Arc<dyn Fs>,
    from: &Path,
    to: &Path,
    mut options: Options,
) -> Result<RebuildReport> {
    let source = super::Directory::open_with_fs(Arc::clone(fs), from)?;
    let first = source.log_files().first().map(|file| file.first_seq);
    if first != Some(1) {
        let begins = first.map_or("is empty".to_owned(), |seq| format!("begins at seq {seq}"));
        return Err(Error::Config(format!(
            "the log of {} {begins}: it is a window, and events before it are only in segments; \
             replay with the segments as source",
            from.display()
        )));
    }
    let lock = claim_empty(&**fs, to)?;
    // With the same secret, accounts have the same hashes, and the buckets come out the same.
    let directory = Directory {
        secret: source.state().directory.secret,
        ..new_directory()?
    };
    let mut manifest = Manifest::create(Arc::clone(fs), to, directory)?;
    // Events keep their seqs, so that what was selected when stays true.
    manifest.append(&Edit {
        selections: source.state().selections.clone(),
        ..Edit::default()
    })?;
    drop((manifest, lock));
    // The new log is to be as complete as the old one.
    options.log_bytes_max = u64::MAX;
    options.log_age_max = Duration::MAX;
    let store = Store::open_with_fs(Arc::clone(fs), to, options)?;
    // Before the first event that hides rows for it, and behind the start, which would have the log get events of its own
    // for it: the events of the source keep their seqs.
    copy_list(&**fs, from, to)?;
    let mut writer = store.writer()?;
    let mut report = RebuildReport::default();
    let mut notes = Vec::new();
    // Cursors by the seq that they stand behind; frames and events are walked in the same order.
    let mut frames: Vec<(u64, orrery_formats::frame::SourceCursor)> = Vec::new();
    source.each_frame::<Error>(&Span::ALL, &mut |_| {}, &mut |frame| {
        if let Some(cursor) = &frame.cursor {
            frames.push((frame.last_seq, cursor.clone()));
        }
        Ok(())
    })?;
    let mut frames = frames.into_iter().peekable();
    source.each_event::<Error>(
        &Span::ALL,
        &mut |damage| notes.push(format!("passed over: {damage}")),
        &mut |seq, event| {
            while let Some((_, cursor)) = frames.next_if(|(last, _)| *last < seq) {
                writer.set_cursor(cursor);
            }
            writer.rebuild(event, seq, &source.state().gaps)?;
            report.events += 1;
            report.last_seq = seq;
            Ok(())
        },
    )?;
    for (_, cursor) in frames {
        writer.set_cursor(cursor);
    }
    // A commit without events leaves its position in the manifest alone.
    let last = source.state().source_cursor.clone();
    if source.state().sealed_through == report.last_seq
        && let Some(cursor) = last
    {
        writer.set_cursor(cursor);
    }
    writer.seal()?;
    report.notes = notes;
    report.segments = store.status().segments as u64;
    report.rows = store.snapshot().totals().rows;
    Ok(report)
}

/// Writes the segments of the directory at `from` anew into `to`, which is empty or not there, without their dead
/// rows; copies what segments alone do not tell (the directory's identity, the position in the source, the log);
/// and opens the result, which makes masks and key indexes. Memory: as for a merge.
///
/// # Errors
/// [`Error::Config`] where `to` is not empty; [`Error::Format`] for a segment of a version that this build does not read, and
/// [`Error::Inconsistent`] for one that is damaged or set aside, naming it; [`Error::Locked`]; [`Error::Io`].
pub fn replay_segments(from: &Path, to: &Path, options: Options) -> Result<RebuildReport> {
    replay_segments_with_fs(&OsFs::shared(), from, to, options)
}

/// As [`replay_segments`], on another file layer.
///
/// # Errors
/// As [`replay_segments`].
pub fn replay_segments_with_fs(
    fs: &Arc<dyn Fs>,
    from: &Path,
    to: &Path,
    options: Options,
) -> Result<RebuildReport> {
    let source = super::Directory::open_with_fs(Arc::clone(fs), from)?;
    refuse_other_versions(&**fs, from, source.state())?;
    refuse_set_aside(&source)?;
    let lock = claim_empty(&**fs, to)?;
    let scratch = to.join(SCRATCH);
    fs.create_dir_all(&scratch)
        .map_err(Error::io("create", &scratch))?;
    let mut report = RebuildReport::default();
    let mut state = source.state().clone();
    let mut entries = Vec::with_capacity(state.segments.len());
    for (place, file) in source.segments().iter().enumerate() {
        let segment = match file.segment() {
            Ok(segment) => segment,
            Err(error) => {
                return Err(Error::Inconsistent {
                    path: from.join(SEGMENTS).join(&file.name),
                    what: format!("damaged, and nothing was replayed: {error}"),
                });
            }
        };
        entries.push(rewrite(fs, &source, place, to)?);
        report.segments += 1;
        report.rows += u64::from(segment.info().rows);
        report.last_seq = segment.info().last_seq;
    }
    state.segments = entries;
    copy_log(fs, &source, to, &mut state, &mut report)?;
    let manifest = {
        let mut bytes = orrery_formats::manifest::encode_header(1);
        let at = bytes.len() as u64;
        orrery_formats::manifest::encode_edit(&state.as_first(), 1, at, &mut bytes)?;
        bytes
    };
    copy_list(&**fs, from, to)?;
    settle(&**fs, to, &crate::manifest::name(1), &manifest)?;
    drop(lock);
    let store = Store::open_with_fs(Arc::clone(fs), to, options)?;
    report.rows = store.snapshot().totals().rows;
    report.last_seq = store.snapshot().last_seq();
    Ok(report)
}

/// A segment that is set aside lacks what was applied without it, and the others lack it: neither with nor without it
/// would the result be what was so, and nothing would mark it.
fn refuse_set_aside(source: &super::Directory) -> Result<()> {
    let Some(known) = source.quarantined().first() else {
        return Ok(());
    };
    let mut files = source.segments().iter();
    let file = files.find(|file| file.entry.id == known.id);
    Err(Error::Inconsistent {
        path: source
            .path
            .join(SEGMENTS)
            .join(file.map_or("", |file| &file.name)),
        what: format!(
            "set aside, and nothing was replayed; run `orrery repair` first, with a backup that has it: {}",
            known.why
        ),
    })
}

/// Writes one segment anew.
fn rewrite(
    fs: &Arc<dyn Fs>,
    source: &super::Directory,
    place: usize,
    to: &Path,
) -> Result<SegmentEntry> {
    let Some(file) = source.segments().get(place) else {
        return Err(Error::Internal(format!("no segment {place}")));
    };
    let Ok(opened) = file.segment() else {
        return Err(Error::Internal(format!("{} is not open", file.name)));
    };
    let dead = source.dead_rows(place)?;
    let never = AtomicBool::new(false);
    let pace = Pace::new(1.0, &|| true, &never);
    // No writer waits for room in a directory that is just being made.
    let room = RoomWatch {
        look: &|| Ok(()),
        is_asked: &never,
    };
    let mut workspace = FileWorkspace::new(Arc::clone(fs), &to.join(SCRATCH), pace, room);
    let dir = to.join(SEGMENTS);
    let merged = SegmentFile::create(Arc::clone(fs), &dir, file.name.clone())
        .map_err(Stopped::from)
        .and_then(|mut out| {
            let input = MergeInput {
                segment: opened,
                is_dropped: &|row| dead.contains(row),
            };
            // Every dead row is left out of its segment, so no kill has anything to name.
            let merged = segment::merge(
                &[input],
                &|_| false,
                &SampleRules::ALL,
                &mut out,
                &mut workspace,
            )?;
            out.finish()?;
            Ok(merged)
        });
    match merged {
        Ok(merged) => Ok(SegmentEntry {
            bytes: merged.bytes,
            checksum: merged.checksum,
            first_time_us: merged.info.first_time_us,
            last_time_us: merged.info.last_time_us,
            ..file.entry.clone()
        }),
        Err(Stopped::Failed(error)) => Err(error),
        Err(Stopped::Cancelled) => Err(Error::Internal("nobody cancels a replay".to_owned())),
    }
}

/// Copies the log as it is.
fn copy_log(
    fs: &Arc<dyn Fs>,
    source: &super::Directory,
    to: &Path,
    state: &mut State,
    report: &mut RebuildReport,
) -> Result<()> {
    let dir = to.join(LOG);
    for file in source.log_files() {
        let path = source.path.join(LOG).join(&file.name);
        let opened = fs.open(&path).map_err(Error::io("open", &path))?;
        let from = (opened.as_ref(), path.as_path());
        copy::copy_sealed(&**fs, from, file.bytes, None, (&dir, &file.name))?;
        report.log_files += 1;
    }
    let first = source.log_files().first().map(|file| file.first_seq);
    let floor = first.unwrap_or(state.sealed_through.saturating_add(1));
    if floor > 1 {
        state.log_floor = state.log_floor.max(floor);
        state.window_complete = false;
    }
    Ok(())
}
