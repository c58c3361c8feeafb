//! What makes events durable and recognises repeats, kept in step for the writer: the log, its key
//! window, and the manifest.

mod window;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use orrery_formats::effect::Effect;
use orrery_formats::event::Event;
use orrery_formats::frame::SourceCursor;
use orrery_formats::manifest::{Counts, Edit, GapEntry, SegmentEntry, SelectionEntry, State};

use crate::io::Fs;
use crate::log::keys::{Kept, KeyHasher, KeyOf, KeyWindow};
use crate::log::{LogOptions, LogWriter, Position, Recovery, is_known_loss, log_name};
use crate::manifest::Manifest;
use crate::quarantine;
use crate::store::Durable;
use crate::{Error, Options, Result};
pub(crate) use window::key_write;

/// An edit of the manifest without the state's length.
const MANIFEST_EDIT_BYTES: u64 = 16 << 10;

/// The parts that exist once the log has been recovered.
struct Open {
    writer: LogWriter,
    window: KeyWindow,
}

/// See the module's description.
pub(crate) struct Journal {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    manifest: Manifest,
    hasher: KeyHasher,
    options: LogOptions,
    /// Bytes that the window may always keep.
    window_bytes_kept: u64,
    open: Option<Open>,
    /// The last appended event's seq, and where it stands.
    position: Option<(u64, Position)>,
    /// The source's position behind the last applied event.
    cursor: Option<SourceCursor>,
    durable_cursor: Option<SourceCursor>,
    last_time_us: u64,
    /// Losses found at recovery that the manifest does not know yet.
    new_gaps: Vec<GapEntry>,
    /// Whether the source is asked again from before a loss, which frames behind it must not overrule.
    is_rewound: bool,
}

impl Journal {
    /// A journal on `manifest`, for the log in `dir`. It takes events after [`open_log`](Self::open_log).
    pub(crate) fn new(fs: Arc<dyn Fs>, dir: &Path, manifest: Manifest, options: &Options) -> Self {
        let state = manifest.state();
        Self {
            hasher: KeyHasher::new(&state.directory.secret),
            cursor: state.source_cursor.clone(),
            durable_cursor: state.source_cursor.clone(),
            last_time_us: state.last_time_us,
            fs,
            dir: dir.to_owned(),
            manifest,
            options: LogOptions {
                commit_interval: options.commit_interval,
                commit_bytes: options.commit_bytes,
                ..LogOptions::default()
            },
            window_bytes_kept: if options.log_keeps_bytes { u64::MAX } else { 0 },
            open: None,
            position: None,
            new_gaps: Vec::new(),
            is_rewound: false,
        }
    }

    pub(crate) fn hasher(&self) -> KeyHasher {
        self.hasher
    }

    /// Takes over what recovery has found so far. Where events are lost, the source is asked again from before
    /// them; what comes twice by that is recognised.
    pub(crate) fn take_over(&mut self, found: &Recovery) {
        let state = self.manifest.state();
        let gaps = found.gaps.iter().map(|gap| GapEntry {
            first_seq: gap.first_seq,
            last_seq: Some(gap.last_seq),
            file: gap.file.clone(),
            offset: gap.offset,
        });
        let gaps: Vec<GapEntry> = gaps
            .filter(|gap| !state.gaps.iter().any(|known| known.is_same(gap)))
            .collect();
        // A manifest that is behind frames which are sealed was told to ask the source again, by a start that did not
        // come to its end: no other seal falls amid a file.
        self.is_rewound |= match (&state.source_cursor, &found.sealed_cursor) {
            (Some(manifest), Some(sealed)) => is_later(sealed, manifest),
            _ => false,
        };
        if !self.is_rewound {
            if let Some(found) = &found.cursor {
                // A commit without events leaves its position in the manifest; of one source, the later holds.
                let manifest = self.cursor.as_ref();
                if !manifest.is_some_and(|known| is_later(known, found)) {
                    self.cursor = Some(found.clone());
                }
            }
            if let (Some(gap), false) = (found.gaps.first(), gaps.is_empty()) {
                // Without a frame before the gap, the position at the last seal is the one before it.
                let before = gap.cursor_before.clone();
                self.cursor = before.or_else(|| state.source_cursor.clone());
                self.is_rewound = true;
            }
        }
        self.durable_cursor.clone_from(&self.cursor);
        self.new_gaps = gaps;
    }

    /// Goes on where the recovered log ends.
    pub(crate) fn open_log(&mut self, found: Recovery, key_of: &mut KeyOf<'_>) -> Result<()> {
        self.take_over(&found);
        let state = self.manifest.state();
        let id = state.directory.id;
        // Seqs of a loss are not given again, also where nothing came behind it.
        let lost = state.gaps.iter().filter_map(|gap| gap.last_seq).max();
        let next_seq = lost.map_or(0, |lost| lost.saturating_add(1));
        let next_seq = next_seq.max(found.next_seq);
        let kept = Kept {
            complete: state.window_complete,
            floor: state.log_floor,
            next_seq,
            losses: state.gaps.iter().chain(&self.new_gaps).cloned().collect(),
        };
        let window = KeyWindow::open(
            Arc::clone(&self.fs),
            &self.dir,
            id,
            kept,
            &found.files,
            key_of,
        )?;
        self.window_bytes_kept = self.window_bytes_kept.min(window.bytes());
        let writer = LogWriter::new(Arc::clone(&self.fs), &self.dir, id, next_seq, self.options)?;
        self.open = Some(Open { writer, window });
        Ok(())
    }

    /// Whether recovery found losses that the manifest does not know yet. A seal makes them known; without events to
    /// seal, [`record_gaps`](Self::record_gaps) does. Everything must be sealed by then: frames behind the gap carry later positions, and would win over
    /// the one before it at the next start.
    pub(crate) const fn has_new_gaps(&self) -> bool {
        !self.new_gaps.is_empty()
    }

    /// Whether recovery is over: before, what is replayed stands in the log already.
    pub(crate) const fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Whether the source is asked again from before a loss: everything that recovery found is to be sealed, as frames
    /// behind the loss carry later positions.
    pub(crate) const fn is_rewound(&self) -> bool {
        self.is_rewound
    }

    /// Makes the losses known, and the position before them durable.
    pub(crate) fn record_gaps(&mut self) -> Result<()> {
        self.manifest.append(&Edit {
            source_cursor: self.durable_cursor.clone(),
            gaps: std::mem::take(&mut self.new_gaps),
            ..Edit::default()
        })
    }

    /// The newest time of an event; 0 before the first.
    pub(crate) const fn last_time_us(&self) -> u64 {
        self.last_time_us
    }

    /// Notes the time of a replayed event.
    pub(crate) fn note_time(&mut self, time_us: u64) {
        self.last_time_us = self.last_time_us.max(time_us);
    }

    /// Bytes of the open batch, before compression.
    pub(crate) fn batch_bytes(&self) -> usize {
        let open = self.open.as_ref();
        open.map_or(0, |open| open.writer.batch_bytes())
    }

    /// The most that the manifest's next edits take: now and then it is written anew.
    pub(crate) fn manifest_need(&self) -> u64 {
        2 * self.manifest.bytes() + MANIFEST_EDIT_BYTES
    }

    /// Lets the log reserve room ahead only where `spare` bytes are left beside what is needed: a
    /// reservation must not take the room of what it is for.
    pub(crate) fn reserve_ahead(&mut self, spare: u64) {
        let bytes = LogOptions::default().preallocate_bytes;
        let fits = spare / 4 > bytes;
        if let Some(open) = &mut self.open {
            open.writer.set_preallocate(if fits { bytes } else { 0 });
        }
    }

    /// Whether the open batch has reached the size at which it is committed.
    pub(crate) fn batch_is_full(&self) -> bool {
        let open = self.open.as_ref();
        open.is_some_and(|open| open.writer.batch_bytes() >= self.options.commit_bytes)
    }

    pub(crate) fn state(&self) -> &State {
        self.manifest.state()
    }

    fn open_mut(&mut self) -> Result<&mut Open> {
        self.open.as_mut().ok_or_else(not_open)
    }

    fn open_ref(&self) -> Result<&Open> {
        self.open.as_ref().ok_or_else(not_open)
    }

    /// The seq that the next event gets.
    pub(crate) fn next_seq(&self) -> Result<u64> {
        Ok(self.open_ref()?.writer.next_seq())
    }

    /// Makes it known that the seqs before `seq` that no event has yet are lost, and lets the log go on with
    /// `seq`, in a new file. The loss counts as accepted where losses among `known` that are cover it. Everything must be
    /// sealed before.
    pub(crate) fn skip_to(&mut self, seq: u64, known: &[GapEntry]) -> Result<()> {
        let first_seq = self.next_seq()?;
        let gap = GapEntry {
            first_seq,
            last_seq: Some(seq.saturating_sub(1)),
            file: log_name(first_seq),
            offset: 0,
        };
        let accepted: Vec<&GapEntry> = known.iter().filter(|gap| gap.is_accepted()).collect();
        let is_accepted = is_known_loss(accepted, first_seq, seq);
        let gap = if is_accepted { gap.accepted() } else { gap };
        self.manifest.append(&Edit {
            gaps: vec![gap],
            ..Edit::default()
        })?;
        self.open_mut()?.writer.skip_to(seq)
    }

    /// Puts the event into the log's open batch with what it undoes, and gives its seq.
    pub(crate) fn append(&mut self, event: &Event<'_>, effect: &Effect<'_>) -> Result<u64> {
        let appended = self.open_mut()?.writer.append_with_effect(event, effect)?;
        self.position = Some((appended.seq, appended.position));
        self.last_time_us = self.last_time_us.max(event.time_us);
        Ok(appended.seq)
    }

    /// The encoded bytes of the event appended last, and the time from which they tell its time.
    pub(crate) fn last_event(&self) -> Option<(&[u8], u64)> {
        self.open.as_ref().map(|open| open.writer.last_event())
    }

    /// The first seq that the log has; the next one where it has none.
    pub(crate) fn first_seq(&self) -> u64 {
        let Some(open) = &self.open else { return 0 };
        let closed = open.window.files().next().map(|file| file.first_seq);
        let first = closed.or_else(|| open.writer.first_seq());
        first.unwrap_or_else(|| open.writer.durable_seq().saturating_add(1))
    }

    pub(crate) fn set_cursor(&mut self, cursor: SourceCursor) {
        self.cursor = Some(cursor);
    }

    pub(crate) fn should_commit(&self) -> bool {
        let Some(open) = &self.open else {
            return false;
        };
        // Until a first position is durable, a restart would begin at the source's present and lose what
        // came before: the first batch does not wait.
        let is_first = self.durable_cursor.is_none()
            && self.cursor.is_some()
            && open.writer.batch_events() > 0;
        is_first || open.writer.should_commit(Instant::now())
    }

    /// Makes everything appended durable, with the cursor.
    pub(crate) fn commit(&mut self) -> Result<()> {
        let cursor = self.cursor.clone();
        let open = self.open_mut()?;
        if open.writer.batch_events() == 0 {
            // While a source repeats what came before the durable position, that position stays.
            let is_behind = match (&self.durable_cursor, &cursor) {
                (Some(durable), Some(cursor)) => is_later(durable, cursor) || durable == cursor,
                (_, None) => true,
                (None, Some(_)) => false,
            };
            if !is_behind {
                self.manifest.append(&Edit {
                    source_cursor: cursor.clone(),
                    ..Edit::default()
                })?;
                self.durable_cursor = cursor;
            }
            return Ok(());
        }
        open.writer.commit(cursor.as_ref())?;
        self.durable_cursor = cursor;
        Ok(())
    }

    pub(crate) fn durable_cursor(&self) -> Option<&SourceCursor> {
        self.durable_cursor.as_ref()
    }

    /// Makes it durable that segments are not read any more, by their ids, with the reasons.
    pub(crate) fn quarantine(&mut self, segments: quarantine::Reasons) -> Result<()> {
        let sealed_through = self.manifest.state().sealed_through;
        self.manifest
            .append(&quarantine::edit(segments, sealed_through))
    }

    /// Makes it durable that segments are read again, by their ids.
    pub(crate) fn release(&mut self, release: Vec<u64>) -> Result<()> {
        self.manifest.append(&Edit {
            release,
            ..Edit::default()
        })
    }

    /// Makes it durable what is taken from here on.
    pub(crate) fn record_selections(&mut self, selections: Vec<SelectionEntry>) -> Result<()> {
        self.manifest.append(&Edit {
            selections,
            ..Edit::default()
        })
    }

    /// Makes it durable that all events up to the segment's last are in segments, with the cursor there and
    /// what the index then holds. Everything must be committed before. Losses found at recovery become known by the
    /// same edit: from here on nothing finds them, as what is sealed is not missed.
    pub(crate) fn record_seal(&mut self, segment: SegmentEntry, counts: Counts) -> Result<()> {
        let edit = Edit {
            sealed_through: Some(segment.last_seq),
            source_cursor: self.durable_cursor.clone(),
            last_time_us: Some(self.last_time_us),
            add: vec![segment],
            counts: Some(counts),
            gaps: self.new_gaps.clone(),
            ..Edit::default()
        };
        self.manifest.append(&edit)?;
        self.new_gaps.clear();
        Ok(())
    }

    /// Makes it durable that a merged segment is in the place of those it was made of.
    pub(crate) fn record_compaction(
        &mut self,
        inputs: Vec<u64>,
        merged: SegmentEntry,
    ) -> Result<()> {
        self.manifest.append(&Edit {
            add: vec![merged],
            remove: inputs,
            ..Edit::default()
        })
    }

    /// Tells what is durable.
    pub(crate) fn tell(&self, durable: &mut Durable) {
        durable.cursor.clone_from(&self.durable_cursor);
        // Those that were accepted are no news.
        let gaps = self.state().gaps.iter().chain(&self.new_gaps);
        durable.gaps = gaps.filter(|gap| !gap.is_accepted()).cloned().collect();
        durable.manifest_bytes = self.manifest.bytes();
        if *durable.selections != *self.state().selections {
            durable.selections = self.state().selections.as_slice().into();
        }
        if let Some(open) = &self.open {
            durable.seq = open.writer.durable_seq();
            durable.log_bytes = open.window.bytes() + open.writer.file_bytes();
        }
    }
}

/// Whether `a` is a later place than `b` in the same source.
fn is_later(a: &SourceCursor, b: &SourceCursor) -> bool {
    a.kind == b.kind && a.endpoint == b.endpoint && a.value > b.value
}

fn not_open() -> Error {
    Error::Internal("the log is used before it was recovered".to_owned())
}
