//! What makes events durable and recognises repeats, kept in step for the writer: the log, its key
//! window, and the manifest.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use orrery_formats::event::{Body, Event};
use orrery_formats::frame::SourceCursor;
use orrery_formats::manifest::{Edit, GapEntry, SegmentEntry, State};

use crate::io::Fs;
use crate::log::keys::{KeyHasher, KeyOf, KeyWindow, KeyWrite};
use crate::log::{LogOptions, LogWriter, Position, Recovery, Replayed};
use crate::manifest::Manifest;
use crate::store::Durable;
use crate::{ActorId, Error, Options, Result};

/// A revision may be this far from its event's time and still belong to the window; beyond, the window
/// is asked but not believed to know all.
const SKEW_MAX_US: u64 = 10 * 60 * 1_000_000;

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
    open: Option<Open>,
    /// Where the last appended event stands.
    position: Option<Position>,
    /// The source's position behind the last applied event.
    cursor: Option<SourceCursor>,
    durable_cursor: Option<SourceCursor>,
    last_time_us: u64,
}

/// What a replayed event means for the key window.
pub(crate) fn key_write(
    hasher: &KeyHasher,
    replayed: &Replayed<'_>,
    find_actor: &dyn Fn(&str) -> Result<Option<ActorId>>,
) -> Result<Option<KeyWrite>> {
    let Body::Commit {
        rev,
        collection,
        rkey,
        ..
    } = replayed.event.body
    else {
        return Ok(None);
    };
    let actor = find_actor(replayed.event.did)?;
    Ok(actor.map(|actor| KeyWrite {
        actor,
        hash: hasher.hash(collection, rkey),
        rev,
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
            open: None,
            position: None,
        }
    }

    pub(crate) fn hasher(&self) -> KeyHasher {
        self.hasher
    }

    /// Goes on where the recovered log ends. Where events are lost, the source is asked again from before
    /// them; what comes twice by that is recognised.
    pub(crate) fn open_log(&mut self, found: Recovery, key_of: &mut KeyOf<'_>) -> Result<()> {
        let state = self.manifest.state();
        let id = state.directory.id;
        let gaps: Vec<GapEntry> = found
            .gaps
            .iter()
            .map(|gap| GapEntry {
                first_seq: gap.first_seq,
                last_seq: Some(gap.last_seq),
                file: gap.file.clone(),
                offset: gap.offset,
            })
            .filter(|gap| !state.gaps.contains(gap))
            .collect();
        if found.cursor.is_some() {
            self.cursor = found.cursor;
        }
        if let (Some(gap), false) = (found.gaps.first(), gaps.is_empty()) {
            self.cursor.clone_from(&gap.cursor_before);
        }
        self.durable_cursor.clone_from(&self.cursor);
        let window = KeyWindow::open(
            Arc::clone(&self.fs),
            &self.dir,
            id,
            state.window_complete,
            state.log_floor,
            &found.files,
            key_of,
        )?;
        if !gaps.is_empty() {
            self.manifest.append(&Edit {
                gaps,
                ..Edit::default()
            })?;
        }
        let writer = LogWriter::new(
            Arc::clone(&self.fs),
            &self.dir,
            id,
            found.next_seq,
            self.options,
        )?;
        self.open = Some(Open { writer, window });
        Ok(())
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

    /// Puts the event into the log's open batch, and gives its seq.
    pub(crate) fn append(&mut self, event: &Event<'_>) -> Result<u64> {
        let appended = self.open_mut()?.writer.append(event)?;
        self.position = Some(appended.position);
        self.last_time_us = self.last_time_us.max(event.time_us);
        Ok(appended.seq)
    }

    pub(crate) fn key_hash(&self, collection: &str, rkey: &str) -> u64 {
        self.hasher.hash(collection, rkey)
    }

    /// The revision last applied to a key within the window.
    pub(crate) fn last_rev(&self, actor: ActorId, key_hash: u64) -> Result<Option<u64>> {
        self.open_ref()?.window.last_rev(actor, key_hash)
    }

    /// Whether the window would know a key that an event with a revision of this time was applied to.
    pub(crate) fn covers(&self, rev_time_us: u64) -> bool {
        let Some(open) = &self.open else {
            return false;
        };
        let floor = open
            .window
            .floor_time_us()
            .or_else(|| open.writer.first_time_us());
        open.window.complete()
            || floor.is_some_and(|floor| rev_time_us >= floor.saturating_add(SKEW_MAX_US))
    }

    /// Notes that the event appended last was applied to a key.
    pub(crate) fn note_key(&mut self, actor: ActorId, hash: u64, rev: u64) -> Result<()> {
        let Some(position) = self.position else {
            return Ok(());
        };
        let key = KeyWrite { actor, hash, rev };
        self.open_mut()?.window.insert(key, position)
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
            return Ok(());
        }
        open.writer.commit(cursor.as_ref())?;
        self.durable_cursor = cursor;
        Ok(())
    }

    pub(crate) fn durable_cursor(&self) -> Option<&SourceCursor> {
        self.durable_cursor.as_ref()
    }

    /// An id that no segment of this directory has or had.
    pub(crate) fn next_segment_id(&self) -> u64 {
        // Ids rise with seqs, and removed segments are replaced by ones with higher ids.
        let ids = self.state().segments.iter().map(|entry| entry.id);
        ids.max().map_or(1, |id| id + 1)
    }

    /// Makes it durable that all events up to the segment's last are in segments, with the cursor there.
    /// Everything must be committed before.
    pub(crate) fn record_seal(&mut self, segment: SegmentEntry) -> Result<()> {
        let edit = Edit {
            sealed_through: Some(segment.last_seq),
            source_cursor: self.durable_cursor.clone(),
            last_time_us: Some(self.last_time_us),
            add: vec![segment],
            ..Edit::default()
        };
        self.manifest.append(&edit)
    }

    /// Lets the log go on in a new file, and trims its window.
    pub(crate) fn rotate(&mut self, options: &Options) -> Result<()> {
        let cursor = self.durable_cursor.clone();
        let sealed_through = self.state().sealed_through;
        let age_us = u64::try_from(options.log_age_max.as_micros()).unwrap_or(u64::MAX);
        let older_than_us = self.last_time_us.saturating_sub(age_us);
        let open = self.open_mut()?;
        if let Some(file) = open.writer.rotate(cursor.as_ref())? {
            open.window.seal(&file)?;
        }
        self.position = None;
        let open = self.open_ref()?;
        let planned = open
            .window
            .plan_trim(options.log_bytes_max, older_than_us, sealed_through);
        if let Some(floor) = planned {
            self.manifest.append(&Edit {
                log_floor: Some(floor),
                window_complete: Some(false),
                ..Edit::default()
            })?;
            self.open_mut()?.window.trim_below(floor)?;
        }
        Ok(())
    }

    /// Tells what is durable.
    pub(crate) fn tell(&self, durable: &mut Durable) {
        durable.cursor.clone_from(&self.durable_cursor);
        durable.gaps.clone_from(&self.state().gaps);
        durable.manifest_bytes = self.manifest.bytes();
        if let Some(open) = &self.open {
            durable.seq = open.writer.durable_seq();
            durable.log_bytes = open.window.bytes() + open.writer.file_bytes();
        }
    }
}

fn not_open() -> Error {
    Error::Internal("the log is used before it was recovered".to_owned())
}
