//! The store: opens a data directory, recovers it, and hands out snapshots and the writer.
//!
//! Opening trusts the manifest, then the segments it names, then the log after the last seal; any other
//! file is an orphan of a crash and is removed, unless nothing else has its events. Ids and account states are put together from the segments, masks
//! from their files and what segments say since, and the events after the last seal are applied again from the log under the seqs that they
//! have there.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use orrery_formats::frame::SourceCursor;
use orrery_formats::manifest::{Directory, GapEntry, SelectionEntry};
use parking_lot::{Mutex, RwLock};

use crate::cache::{self, CacheOptions, Opening, ValueCache};
use crate::compaction::{Compaction, CompactionStatus};
use crate::damage::{Marker, remove_derived, sound_again};
use crate::disk::{DiskRoom, Room, WaitsFor};
use crate::effort::{Effort, EffortStatus};
use crate::events::Tail;
use crate::exclusions::ExclusionList;
use crate::io::fs::{Fs, HeapFs, OsFs, write_sealed};
use crate::journal::Journal;
use crate::lock::DirLock;
use crate::manifest::{self, Manifest};
use crate::mask::files::{MASKS, load_masks};
use crate::quarantine::{Damages, Degraded, damaged_accounts, set_aside_durably};
use crate::recovery::{
    Orphans, new_directory, open_segment, open_segments, recover_generation, refuse_before_start,
    refuse_contents, remove_all_but,
};
use crate::snapshot::{Generation, Sealed, Snapshot};
use crate::window::Window;
use crate::writer::Writer;
use crate::{Error, Options, Result, log};

/// The directory of segments, within the data directory.
pub(crate) const SEGMENTS: &str = "segments";
/// The directory of what merges write and read again.
pub(crate) const SCRATCH: &str = "scratch";
/// The directory of values fetched from elsewhere.
pub(crate) const CACHE: &str = "cache";
/// The directory of log files and their key indexes.
pub(crate) const LOG: &str = "log";

/// What the writer and all readers share.
pub(crate) struct Shared {
    pub(crate) fs: Arc<dyn Fs>,
    pub(crate) dir: PathBuf,
    pub(crate) options: Options,
    /// Held for the time of a pointer's copy.
    generation: RwLock<Arc<Generation>>,
    pub(crate) durable: Mutex<Durable>,
    /// The newest events.
    pub(crate) tail: Tail,
    /// The newest events of each key, in memory and in the log.
    pub(crate) window: Window,
    /// Bytes of segments written by seals since the store was opened.
    pub(crate) sealed_bytes: AtomicU64,
    pub(crate) seals: Effort,
    pub(crate) compaction: Compaction,
    /// What answers leave out.
    pub(crate) exclusions: ExclusionList,
    /// What was found damaged since the store was opened.
    pub(crate) damages: Damages,
    /// What was fetched from elsewhere, once everything else is open.
    cache: OnceLock<Arc<ValueCache>>,
    segment_id: AtomicU64,
    /// Bytes of mask files written since the store was opened.
    pub(crate) masks_written: AtomicU64,
    /// Held as long as anything can write.
    lock: Arc<DirLock>,
}

/// What is known to be on disk.
#[derive(Debug, Clone, Default)]
pub(crate) struct Durable {
    pub(crate) seq: u64,
    pub(crate) cursor: Option<SourceCursor>,
    pub(crate) gaps: Vec<GapEntry>,
    pub(crate) selections: Arc<[SelectionEntry]>,
    pub(crate) log_bytes: u64,
    pub(crate) manifest_bytes: u64,
    /// Why nothing is written now.
    pub(crate) paused: Option<String>,
    /// Why an event waits although there is room.
    pub(crate) blocked: Option<String>,
    /// Why nothing more is written.
    pub(crate) poisoned: Option<String>,
}

/// How a store is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// The newest durable event.
    pub durable_seq: u64,
    /// Where a restart would go on in the source.
    pub durable_cursor: Option<SourceCursor>,
    /// Segments in use.
    pub segments: usize,
    /// Segments that are set aside as damaged, oldest first: answers leave out what they held.
    pub degraded: Vec<Degraded>,
    /// Events that were in the log and are lost, less those whose loss was accepted.
    pub gaps: Vec<GapEntry>,
    /// Why writing has stopped, if it has.
    pub poisoned: Option<String>,
    /// Why writing waits, if it does: there is too little room on disk, and it goes on when there is; or an event
    /// names an account that may be one of a damaged segment, which a repair brings back or writes off.
    pub paused: Option<String>,
    /// The same in a word.
    pub waits_for: Option<WaitsFor>,
    /// Bytes on disk by kind of file: `segments`, `masks`, `log`, `manifest`, and `cache` where there is one.
    pub bytes: Vec<(&'static str, u64)>,
    /// Heap bytes of the memtable.
    pub memtable_bytes: usize,
    /// Heap bytes of what masks keep besides their files.
    pub mask_heap_bytes: usize,
    /// Bytes of mask files written since the store was opened.
    pub masks_written_bytes: u64,
    /// Bytes of segments that seals wrote since the store was opened.
    pub sealed_bytes: u64,
    /// Seals since the store was opened.
    pub seals: EffortStatus,
    /// What compaction does and has done.
    pub compaction: CompactionStatus,
}

/// An open data directory. Clones share it; the directory is unlocked when the last one and the
/// writer are gone.
#[derive(Clone)]
pub struct Store {
    pub(crate) shared: Arc<Shared>,
    /// Here until the writer is taken.
    pub(crate) writer: Arc<Mutex<Option<Writer>>>,
}

impl Shared {
    /// What is shared at the start, in a directory whose newest segment has the id `last_id`.
    pub(crate) fn new(
        (fs, dir): (Arc<dyn Fs>, PathBuf),
        options: Options,
        generation: Arc<Generation>,
        exclusions: ExclusionList,
        last_id: u64,
        lock: Arc<DirLock>,
    ) -> Self {
        Self {
            tail: Tail::new(options.tail_bytes),
            window: Window::new(options.frame_cache_bytes),
            fs,
            dir,
            options,
            generation: RwLock::new(generation),
            durable: Mutex::new(Durable::default()),
            sealed_bytes: AtomicU64::new(0),
            seals: Effort::default(),
            compaction: Compaction::default(),
            exclusions,
            damages: Damages::default(),
            cache: OnceLock::new(),
            segment_id: AtomicU64::new(last_id.saturating_add(1)),
            masks_written: AtomicU64::new(0),
            lock,
        }
    }

    /// Writes, syncs and maps the segment with that id. A crash leaves a file that no manifest names.
    pub(crate) fn write_segment(&self, name: &str, id: u64, bytes: &[u8]) -> Result<Sealed> {
        write_sealed(&*self.fs, &self.dir.join(SEGMENTS), name, bytes)?;
        let sealed = open_segment(&*self.fs, &self.dir, name, id, 0)?;
        self.sealed_bytes.fetch_add(sealed.bytes, Ordering::Relaxed);
        Ok(sealed)
    }

    /// An id that no segment of this directory has or had: each that leaves is replaced by one with a higher id.
    pub(crate) fn next_segment_id(&self) -> u64 {
        self.segment_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Opens the cache, if there is to be one. No start fails for it. Before any event is accepted: a cache that is
    /// not opened must not take it for one that the log has lost.
    fn open_cache(self: &Arc<Self>, directory: &Directory) {
        let (fs, dir, bounds) = (Arc::clone(&self.fs), self.dir.clone(), self.options.clone());
        let shared = Arc::downgrade(self);
        let room = move || {
            let left = shared.upgrade().map_or(0, |shared| {
                let compaction = &shared.compaction;
                let merge = compaction.want().bytes().unwrap_or(0);
                compaction.keeps_free().saturating_add(merge)
            });
            Room::of(&*fs, &dir, &bounds).bytes.saturating_sub(left)
        };
        let opening = Opening {
            fs: Arc::clone(&self.fs),
            dir: self.dir.clone(),
            directory_id: directory.id,
            secret: directory.secret,
            last_seq: self.durable.lock().seq,
            room: Arc::new(room),
            lock: Some(Arc::clone(&self.lock)),
        };
        let opened = match self.options.cache {
            Some(options) => cache::open(opening, options),
            None => cache::cut(opening),
        };
        if let Some(cache) = opened {
            // Set once: a store is opened once.
            let _ = self.cache.set(Arc::new(cache));
        }
    }

    /// Makes room of `bytes` on disk out of the cache, as far as it goes, and tells whether it gave any.
    pub(crate) fn cache_gives_way(&self, bytes: u64) -> bool {
        let cache = self.cache.get();
        cache.is_some_and(|cache| cache.give_way(bytes) > 0)
    }

    /// Bytes of the cache, which gives way to anything else.
    pub(crate) fn cache_bytes(&self) -> u64 {
        self.cache.get().map_or(0, |cache| cache.bytes())
    }

    /// What new snapshots stand on.
    pub(crate) fn generation(&self) -> Arc<Generation> {
        Arc::clone(&self.generation.read())
    }

    /// New snapshots stand on `generation` from here on, less what is known to be damaged.
    pub(crate) fn publish(&self, generation: Arc<Generation>) {
        self.damages.with_sound(generation, |sound| {
            *self.generation.write() = sound;
        });
    }

    /// Takes what became known to be damaged out of what new snapshots stand on.
    pub(crate) fn republish(&self) {
        // Under the lock that a publishing writer waits for, so that no newer generation is lost.
        self.damages.with_latest(&self.generation);
    }
}

/// The file name of a segment. The id makes it unique over the life of the directory.
pub(crate) fn segment_name(first_seq: u64, last_seq: u64, id: u64) -> String {
    format!("{first_seq:016x}-{last_seq:016x}-{id:x}.seg")
}

/// The first and the last seq and the id in the file name of a segment.
pub(crate) fn parse_segment_name(name: &str) -> Option<(u64, u64, u64)> {
    let mut parts = name.strip_suffix(".seg")?.splitn(3, '-');
    let mut next = || u64::from_str_radix(parts.next()?, 16).ok();
    let parsed = (next()?, next()?, next()?);
    (segment_name(parsed.0, parsed.1, parsed.2) == name).then_some(parsed)
}

impl Store {
    /// Opens the data directory at `dir`, making it if it is not there, and recovers what a crash left.
    ///
    /// # Errors
    /// [`Error::Locked`] while another process has it open; [`Error::Format`] for damage outside of segments,
    /// naming the file, or for a version that this build does not read; [`Error::Io`]. A damaged segment is set
    /// aside instead, and named in the [`Status`].
    pub fn open(dir: impl AsRef<Path>, options: Options) -> Result<Self> {
        options.check_disk_limit()?;
        options.cache.map_or(Ok(()), CacheOptions::check)?;
        Self::open_with_fs(OsFs::shared(), dir, options)
    }

    /// As [`open`](Self::open), on another file layer and with any disk limit, however small.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with_fs(fs: Arc<dyn Fs>, dir: impl AsRef<Path>, options: Options) -> Result<Self> {
        let fs = if options.map_files {
            fs
        } else {
            HeapFs::shared(fs)
        };
        let dir = dir.as_ref();
        let mut may_release = true;
        let mut unread = HashSet::new();
        loop {
            // Damage that is found by putting the index together sets one more segment aside each time, or leaves
            // the accounts of one out. None is read again by the same call.
            let opened =
                Self::open_once(Arc::clone(&fs), dir, options.clone(), may_release, &unread);
            match opened {
                Err(error)
                    if damaged_accounts(&error)
                        .is_some_and(|file| unread.insert(file.to_owned())) =>
                {
                    may_release = false;
                }
                Err(error) if set_aside_durably(&fs, dir, &error)? => may_release = false,
                opened => return opened,
            }
        }
    }

    fn open_once(
        fs: Arc<dyn Fs>,
        dir: &Path,
        options: Options,
        may_release: bool,
        unread: &HashSet<String>,
    ) -> Result<Self> {
        let dir = dir.to_owned();
        // Before anything is made in a directory that is none of this program.
        if !manifest::is_there(&*fs, &dir)? {
            refuse_contents(&*fs, &dir)?;
        }
        let segments_dir = dir.join(SEGMENTS);
        fs.create_dir_all(&segments_dir)
            .map_err(Error::io("create", &segments_dir))?;
        let lock = DirLock::acquire(&*fs, &dir)?;
        let log_dir = dir.join(LOG);
        fs.create_dir_all(&log_dir)
            .map_err(Error::io("create", &log_dir))?;
        let masks_dir = dir.join(MASKS);
        fs.create_dir_all(&masks_dir)
            .map_err(Error::io("create", &masks_dir))?;
        let scratch_dir = dir.join(SCRATCH);
        fs.create_dir_all(&scratch_dir)
            .map_err(Error::io("create", &scratch_dir))?;
        refuse_before_start(&*fs, &dir)?;
        let manifest = match Manifest::open(Arc::clone(&fs), &dir)? {
            Some(manifest) => manifest,
            None => {
                // Again, under the lock.
                refuse_contents(&*fs, &dir)?;
                Manifest::create(Arc::clone(&fs), &dir, new_directory()?)?
            }
        };
        let mut journal = Journal::new(Arc::clone(&fs), &log_dir, manifest, &options);
        let state = journal.state();
        let orphans = Orphans::find(&*fs, &dir, state)?;
        orphans.refuse(&dir)?;
        remove_all_but(&*fs, &scratch_dir, &|_| false)?;
        let marker = Marker::read(&*fs, &dir)?;
        let damaged = match &marker {
            Some(marker) => marker.find_damage(&*fs, &dir, state)?,
            None => Vec::new(),
        };
        if may_release && marker.is_none() {
            let sound = sound_again(&*fs, &dir, state);
            if !sound.is_empty() {
                remove_derived(&*fs, &dir)?;
                journal.release(sound)?;
            }
        }
        let state = journal.state();
        // A file that was set aside before and that the last run died by is not touched by this one.
        let died_by = marker.as_ref().and_then(Marker::segment);
        let died_by = died_by.filter(|_| damaged.is_empty());
        let unread = unread.iter().map(String::as_str).chain(died_by);
        let unread: HashSet<&str> = unread.collect();
        let (mut segments, mut new) = open_segments(&*fs, &dir, state, &damaged, &unread)?;
        new.extend(damaged.into_iter().map(|damaged| (damaged.id, damaged.why)));
        if !new.is_empty() {
            journal.quarantine(new)?;
        }
        if marker.is_some() {
            Marker::remove(&*fs, &dir)?;
        }
        let state = journal.state();
        load_masks(&*fs, &dir, state, &mut segments)?;
        let sealed_through = state.sealed_through;
        let directory_id = state.directory.id;
        let ids = state.segments.iter().map(|entry| entry.id);
        let last_id = ids.max().unwrap_or(0).max(orphans.last_id);
        let generation = Arc::new(recover_generation(segments, state, &options)?);
        let exclusions = ExclusionList::open(&*fs, &dir)?;
        let shared = Shared::new(
            (fs, dir),
            options,
            Arc::clone(&generation),
            exclusions,
            last_id,
            Arc::new(lock),
        );
        let shared = Arc::new(shared);
        let mut writer = Writer::new(Arc::clone(&shared), generation, journal);
        let found = log::recover_telling(
            &*shared.fs,
            &log_dir,
            directory_id,
            sealed_through,
            &mut |replayed, found| {
                writer.seal_replayed(&replayed, found)?;
                writer.replay(&replayed.event, replayed.seq)
            },
        )?;
        orphans.remove(&*shared.fs, &shared.dir, writer.journal.state(), &found)?;
        writer.start(found)?;
        match writer.apply_exclusions() {
            // Tried again at each tick.
            Err(error) if error.is_pause() => {
                tracing::warn!(%error, "not all that is excluded is hidden yet");
            }
            done => done?,
        }
        shared.open_cache(&writer.journal.state().directory);
        if shared.options.compact {
            writer.start_compaction()?;
        }
        Ok(Self {
            shared,
            writer: Arc::new(Mutex::new(Some(writer))),
        })
    }

    /// An immutable view of everything applied so far. Never waits for the writer.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        // The list first: what is behind a change of it is not told by the list before.
        let excluded = self.shared.exclusions.of_targets();
        let generation = self.shared.generation();
        Snapshot::new(generation, excluded)
    }

    /// Whether `dir` is there and is a data directory, which [`open`](Self::open) would not have to begin.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn is_at(dir: impl AsRef<Path>) -> Result<bool> {
        manifest::is_there(&OsFs, dir.as_ref())
    }

    /// The writer. There is one; it goes back when dropped through [`give_back`](Self::give_back).
    ///
    /// # Errors
    /// [`Error::Config`] when it was taken before.
    pub fn writer(&self) -> Result<Writer> {
        self.writer
            .lock()
            .take()
            .ok_or_else(|| Error::Config("the store's writer is already in use".to_owned()))
    }

    /// Returns the writer, so that it can be taken again.
    pub fn give_back(&self, writer: Writer) {
        if Arc::ptr_eq(&writer.shared, &self.shared) {
            *self.writer.lock() = Some(writer);
        }
    }

    /// What was taken into the directory, oldest first; the last holds now. Empty where nobody said.
    #[must_use]
    pub fn selections(&self) -> Arc<[SelectionEntry]> {
        Arc::clone(&self.shared.durable.lock().selections)
    }

    /// The cache of values fetched from elsewhere. `None` where none was asked for, or it cannot be used.
    #[must_use]
    pub fn cache(&self) -> Option<Arc<ValueCache>> {
        // Where none was asked for, one that is there only gives way.
        self.shared.options.cache?;
        self.shared.cache.get().cloned()
    }

    /// How the store is doing.
    #[must_use]
    pub fn status(&self) -> Status {
        let generation = self.shared.generation();
        let durable = self.shared.durable.lock().clone();
        let masks = || generation.segments.iter().map(|sealed| &sealed.mask);
        let mask_files = masks().filter_map(|mask| mask.file());
        Status {
            durable_seq: durable.seq,
            durable_cursor: durable.cursor,
            segments: generation.segments.len(),
            degraded: degraded(&generation),
            gaps: durable.gaps,
            poisoned: durable.poisoned,
            waits_for: match (&durable.blocked, &durable.paused) {
                (Some(_), _) => Some(WaitsFor::Repair),
                (None, Some(_)) => Some(WaitsFor::Room),
                (None, None) => None,
            },
            paused: durable.blocked.or(durable.paused),
            bytes: [
                (
                    "segments",
                    generation.segments.iter().map(|sealed| sealed.bytes).sum(),
                ),
                ("masks", mask_files.map(|file| file.file_bytes()).sum()),
                ("log", durable.log_bytes),
                ("manifest", durable.manifest_bytes),
            ]
            .into_iter()
            .chain(
                self.shared
                    .cache
                    .get()
                    .map(|cache| ("cache", cache.bytes())),
            )
            .collect(),
            memtable_bytes: generation.memtable.heap_bytes(),
            mask_heap_bytes: masks().map(|mask| mask.heap_bytes()).sum(),
            masks_written_bytes: self.shared.masks_written.load(Ordering::Relaxed),
            sealed_bytes: self.shared.sealed_bytes.load(Ordering::Relaxed),
            seals: self.shared.seals.status(),
            compaction: self.shared.compaction.status(),
        }
    }

    /// The room on disk. Asks the file system, and may take as long as that does.
    #[must_use]
    pub fn disk_room(&self) -> DiskRoom {
        DiskRoom::of(&*self.shared.fs, &self.shared.dir, &self.shared.options)
    }

    /// Events that were in the log and are lost, unless that was accepted by a repair. Answers leave them out, as far
    /// as the source did not give them again.
    #[must_use]
    pub fn gaps(&self) -> Vec<GapEntry> {
        self.shared.durable.lock().gaps.clone()
    }

    /// Bytes of each section, summed over the segments, largest first.
    #[must_use]
    pub fn section_sizes(&self) -> Vec<(&'static str, u64)> {
        let generation = self.shared.generation();
        let mut sums: Vec<(&'static str, u64)> = Vec::new();
        let sound = |sealed: &&Sealed| sealed.degraded.is_none();
        for sealed in generation.segments.iter().filter(sound) {
            for (name, bytes) in sealed.segment.section_sizes() {
                match sums.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, sum)) => *sum += bytes,
                    None => sums.push((name, bytes)),
                }
            }
        }
        sums.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
        sums
    }

    /// Checks every checksum and the structure of every segment and of every mask file.
    ///
    /// # Errors
    /// The first damage, with its file, section and offset.
    pub fn verify(&self) -> Result<()> {
        let generation = self.shared.generation();
        for sealed in &generation.segments {
            if let Some(degraded) = &sealed.degraded {
                return Err(Error::Inconsistent {
                    path: self.shared.dir.join(SEGMENTS).join(&degraded.file),
                    what: degraded.why.clone(),
                });
            }
            sealed.segment.verify()?;
            if let Some(file) = sealed.mask.file() {
                file.verify()?;
            }
        }
        Ok(())
    }
}

fn degraded(generation: &Generation) -> Vec<Degraded> {
    let segments = generation.segments.iter();
    let degraded = segments.filter_map(|sealed| sealed.degraded.as_deref());
    degraded.cloned().collect()
}
