//! What makes events durable and recognises repeats, kept in step for the writer: the log, its key
//! window, and the manifest.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use orrery_formats::effect::Effect;
use orrery_formats::event::{Body, Event};
use orrery_formats::frame::SourceCursor;
use orrery_formats::manifest::{Counts, Edit, GapEntry, SegmentEntry, SelectionEntry, State};

use crate::actors::is_deletion;
use crate::io::Fs;
use crate::log::keys::{Kept, KeyHasher, KeyOf, KeyWindow, KeyWrite, Meaning, SharedKeys};
use crate::log::{
    LogOptions, LogWriter, Position, Recovery, Replayed, is_known_loss, log_name, read_closed,
};
use crate::manifest::Manifest;
use crate::quarantine;
use crate::store::Durable;
use crate::{ActorId, Error, Options, Result};

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

/// What a replayed event means for the key window.
pub(crate) fn key_write(
    hasher: &KeyHasher,
    replayed: &Replayed<'_>,
    find_actor: &dyn Fn(&str) -> Result<Option<ActorId>>,
) -> Result<Meaning> {
    let (hash, rev) = match replayed.event.body {
        Body::Commit {
            rev,
            collection,
            rkey,
            ..
        } => (hasher.hash(collection, rkey), rev),
        Body::Account {
            seq,
            active,
            status,
        } => (hasher.account_hash(is_deletion(active, status)), seq),
        Body::Identity { .. } | Body::Exclusion { .. } => return Ok(Meaning::Nothing),
    };
    let actor = find_actor(replayed.event.did)?;
    Ok(actor.map_or(Meaning::Lost, |actor| {
        Meaning::Write(KeyWrite { actor, hash, rev })
    }))
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

    /// Makes key indexes anew that are damaged.
    pub(crate) fn rebuild_keys(
        &mut self,
        find_actor: &dyn Fn(&str) -> Result<Option<ActorId>>,
    ) -> Result<()> {
        let hasher = self.hasher;
        let window = &mut self.open_mut()?.window;
        window
            .rebuild(&mut |replayed| key_write(&hasher, replayed, find_actor))
            .map(drop)
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

    pub(crate) fn key_hash(&self, collection: &str, rkey: &str) -> u64 {
        self.hasher.hash(collection, rkey)
    }

    /// The revision last applied to a key within the window.
    pub(crate) fn last_rev(&self, actor: ActorId, key_hash: u64) -> Result<Option<u64>> {
        self.open_ref()?.window.last_rev(actor, key_hash)
    }

    /// Whether that revision of a key, or a higher one, was applied within the window.
    pub(crate) fn has_reached(&self, actor: ActorId, key_hash: u64, rev: u64) -> Result<bool> {
        self.open_ref()?.window.has_reached(actor, key_hash, rev)
    }

    /// Events with lower seqs are not in the key window, or not all; `None` where all that there ever were are.
    pub(crate) fn window_floor(&self) -> Option<u64> {
        let window = self.open.as_ref().map(|open| &open.window);
        let known_from = window.map_or(0, KeyWindow::known_from);
        let is_whole = known_from == 0 && window.is_some_and(KeyWindow::complete);
        (!is_whole).then(|| self.state().log_floor.max(known_from))
    }

    /// Whether events within the window are missing from it, so that a later revision of a key may have been applied
    /// than the one that it knows.
    pub(crate) fn window_is_broken(&self) -> bool {
        let window = self.open.as_ref().map(|open| &open.window);
        window.is_some_and(|window| window.known_from() > self.state().log_floor.max(1))
    }

    /// Gives the events with those seqs, which are sealed, as far as the window has them, and tells whether it has all.
    /// What cannot be read of a file, for whatever reason, it does not have.
    pub(crate) fn each_closed(
        &self,
        seqs: RangeInclusive<u64>,
        each: &mut dyn FnMut(&Replayed<'_>),
    ) -> Result<bool> {
        let mut each = |replayed: &Replayed<'_>| -> Result<()> {
            each(replayed);
            Ok(())
        };
        let state = self.state();
        // What is known to be lost was not sealed.
        let mut next = *seqs.start();
        let mut is_whole = true;
        for log in self.open_ref()?.window.files() {
            if log.last_seq < next || log.first_seq > *seqs.end() {
                continue;
            }
            let (fs, id, losses) = (&*self.fs, state.directory.id, &state.gaps);
            let read = read_closed(fs, &self.dir, id, log, seqs.clone(), losses, &mut each);
            if let Err(error) = &read {
                tracing::warn!(file = log_name(log.first_seq), %error, "a closed log file cannot be read whole");
            }
            is_whole &= matches!(read, Ok(0))
                && (log.first_seq <= next || is_known_loss(losses, next, log.first_seq));
            next = log.last_seq.saturating_add(1);
        }
        let end = seqs.end().saturating_add(1);
        Ok(is_whole && (next >= end || is_known_loss(&state.gaps, next, end)))
    }

    /// Notes that the event appended last was applied to a key.
    pub(crate) fn note_key(&mut self, actor: ActorId, hash: u64, rev: u64) -> Result<()> {
        let Some((seq, position)) = self.position else {
            return Ok(());
        };
        let key = KeyWrite { actor, hash, rev };
        self.open_mut()?.window.insert(key, seq, position)
    }

    /// As [`note_key`](Self::note_key), for an event of the account itself.
    pub(crate) fn note_account(
        &mut self,
        actor: ActorId,
        account_seq: u64,
        deletes: bool,
    ) -> Result<()> {
        let hash = self.hasher.account_hash(deletes);
        self.note_key(actor, hash, account_seq)
    }

    /// What readers share with the key window, once the log is open.
    pub(crate) fn shared_keys(&self) -> Result<Arc<SharedKeys>> {
        Ok(Arc::clone(self.open_ref()?.window.shared()))
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

    /// Lets the log go on in a new file, and trims its window. Does nothing while it is still replayed.
    pub(crate) fn rotate(&mut self, options: &Options) -> Result<()> {
        if self.open.is_none() {
            return Ok(());
        }
        let cursor = self.durable_cursor.clone();
        let age_us = u64::try_from(options.log_age_max.as_micros()).unwrap_or(u64::MAX);
        // An event's time is a claim: one from the future must not empty the window.
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now_us = now.map_or(u64::MAX, |now| {
            u64::try_from(now.as_micros()).unwrap_or(u64::MAX)
        });
        let older_than_us = self.last_time_us.min(now_us).saturating_sub(age_us);
        let open = self.open_mut()?;
        if let Some(file) = open.writer.rotate(cursor.as_ref())? {
            open.window.seal(&file)?;
        }
        self.position = None;
        let sealed_through = self.state().sealed_through;
        let kept = self.window_bytes_kept;
        let bytes_max = options.log_bytes_max.max(kept);
        let older_than_us = if kept > 0 { 0 } else { older_than_us };
        let window = &self.open_ref()?.window;
        if let Some(floor) = window.plan_trim(bytes_max, kept, older_than_us, sealed_through) {
            self.trim(floor)?;
        }
        Ok(())
    }

    /// Removes the closed log files with only seqs below `floor`.
    fn trim(&mut self, floor: u64) -> Result<()> {
        self.manifest.append(&Edit {
            log_floor: Some(floor),
            window_complete: Some(false),
            ..Edit::default()
        })?;
        self.open_mut()?.window.trim_below(floor)?;
        Ok(())
    }

    /// Whether the window has closed files whose events are sealed, which [`give_up_window`](Self::give_up_window)
    /// would remove.
    pub(crate) fn has_window(&self) -> bool {
        let sealed_through = self.state().sealed_through;
        let open = self.open.as_ref();
        open.is_some_and(|open| open.window.plan_trim(0, 0, 0, sealed_through).is_some())
    }

    /// Makes the log's window smaller by about `bytes`, as far as it has closed files whose events are
    /// sealed; tells whether it did. What is given up no longer recognises repeats by itself.
    pub(crate) fn give_up_window(&mut self, bytes: u64) -> Result<bool> {
        let Some(open) = &self.open else {
            return Ok(false);
        };
        let left = open.window.bytes().saturating_sub(bytes);
        let sealed_through = self.state().sealed_through;
        match open.window.plan_trim(left, 0, 0, sealed_through) {
            Some(floor) => self.trim(floor).map(|()| true),
            None => Ok(false),
        }
    }

    /// As [`give_up_window`](Self::give_up_window), where at least `bytes` come free by it, and at least `bytes_min` and
    /// what is always kept are left of the window: otherwise nothing is given up.
    pub(crate) fn give_up_window_above(&mut self, bytes: u64, bytes_min: u64) -> Result<bool> {
        let Some(open) = &self.open else {
            return Ok(false);
        };
        let left = open.window.bytes().saturating_sub(bytes);
        let bytes_min = bytes_min.max(self.window_bytes_kept);
        let sealed_through = self.state().sealed_through;
        let floor = open.window.plan_trim(left, bytes_min, 0, sealed_through);
        match floor.filter(|floor| open.window.bytes_below(*floor) >= bytes) {
            Some(floor) => self.trim(floor).map(|()| true),
            None => Ok(false),
        }
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
