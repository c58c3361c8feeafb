//! The store: opens a data directory, recovers it, and hands out snapshots and the writer.
//!
//! Opening trusts the manifest, then the segments it names, then the log after the last seal; any other
//! file is an orphan of a crash and is removed. Ids, masks and account states are put together from the
//! segments, and the events after the last seal are applied again from the log under the seqs that they
//! have there.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use orrery_formats::chunks::SealedFile;
use orrery_formats::frame::SourceCursor;
use orrery_formats::manifest::{Directory, GapEntry, SegmentEntry, State};
use orrery_formats::segment::{self, Segment};
use parking_lot::{Mutex, RwLock};

use crate::actors::{Actors, INACTIVE};
use crate::io::fs::{Fs, OsFs, write_sealed};
use crate::journal::Journal;
use crate::lock::DirLock;
use crate::manifest::Manifest;
use crate::mask::Mask;
use crate::memtable::{DEAD, HIDDEN, Memtable};
use crate::snapshot::{Counters, Generation, Sealed, Snapshot};
use crate::writer::Writer;
use crate::{Error, Options, Result, log};

/// The directory of segments, within the data directory.
const SEGMENTS: &str = "segments";
/// The directory of log files and their key indexes.
const LOG: &str = "log";

/// What the writer and all readers share.
pub(crate) struct Shared {
    pub(crate) fs: Arc<dyn Fs>,
    pub(crate) dir: PathBuf,
    pub(crate) options: Options,
    /// Held for the time of a pointer's copy.
    generation: RwLock<Arc<Generation>>,
    pub(crate) durable: Mutex<Durable>,
    segments_bytes: AtomicU64,
    /// Held as long as anything can write.
    _lock: DirLock,
}

/// What is known to be on disk.
#[derive(Debug, Clone, Default)]
pub(crate) struct Durable {
    pub(crate) seq: u64,
    pub(crate) cursor: Option<SourceCursor>,
    pub(crate) gaps: Vec<GapEntry>,
    pub(crate) log_bytes: u64,
    pub(crate) manifest_bytes: u64,
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
    /// Events that were in the log and are lost.
    pub gaps: Vec<GapEntry>,
    /// Why writing has stopped, if it has.
    pub poisoned: Option<String>,
    /// Bytes on disk by kind of file: `segments`, `log`, `manifest`.
    pub bytes: Vec<(&'static str, u64)>,
    /// Heap bytes of the memtable.
    pub memtable_bytes: usize,
}

/// An open data directory. Clones share it; the directory is unlocked when the last one and the
/// writer are gone.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
    /// Here until the writer is taken.
    writer: Arc<Mutex<Option<Writer>>>,
}

impl Shared {
    /// Writes, syncs and maps the segment with that id. A crash leaves a file that no manifest names.
    pub(crate) fn write_segment(&self, name: &str, bytes: &[u8]) -> Result<Sealed> {
        write_sealed(&*self.fs, &self.dir.join(SEGMENTS), name, bytes)?;
        let sealed = open_segment(&*self.fs, &self.dir, name)?;
        self.segments_bytes
            .fetch_add(sealed.bytes, Ordering::Relaxed);
        Ok(sealed)
    }

    /// New snapshots stand on `generation` from here on.
    pub(crate) fn publish(&self, generation: Arc<Generation>) {
        *self.generation.write() = generation;
    }
}

/// The file name of a segment. The id makes it unique over the life of the directory.
pub(crate) fn segment_name(first_seq: u64, last_seq: u64, id: u64) -> String {
    format!("{first_seq:016x}-{last_seq:016x}-{id:x}.seg")
}

fn open_segment(fs: &dyn Fs, dir: &Path, name: &str) -> Result<Sealed> {
    let path = dir.join(SEGMENTS).join(name);
    let mapped = fs.map(&path).map_err(Error::io("map", &path))?;
    let bytes = mapped.len() as u64;
    let file = SealedFile::open(
        name.to_owned(),
        mapped,
        segment::KIND,
        segment::VERSION..=segment::VERSION,
    )?;
    let segment = Segment::open(file)?;
    Ok(Sealed {
        segment: Arc::new(segment),
        mask: Arc::new(Mask::default()),
        name: name.into(),
        bytes,
    })
}

impl Store {
    /// Opens the data directory at `dir`, making it if it is not there, and recovers what a crash left.
    ///
    /// # Errors
    /// [`Error::Locked`] while another process has it open; [`Error::Format`] for damage, naming the
    /// file, or for a version that this build does not read; [`Error::Io`].
    pub fn open(dir: impl AsRef<Path>, options: Options) -> Result<Self> {
        Self::open_with_fs(OsFs::shared(), dir, options)
    }

    /// As [`open`](Self::open), on another file layer.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with_fs(fs: Arc<dyn Fs>, dir: impl AsRef<Path>, options: Options) -> Result<Self> {
        let dir = dir.as_ref().to_owned();
        let segments_dir = dir.join(SEGMENTS);
        fs.create_dir_all(&segments_dir)
            .map_err(Error::io("create", &segments_dir))?;
        let lock = DirLock::acquire(&*fs, &dir)?;
        let log_dir = dir.join(LOG);
        fs.create_dir_all(&log_dir)
            .map_err(Error::io("create", &log_dir))?;
        let manifest = match Manifest::open(Arc::clone(&fs), &dir)? {
            Some(manifest) => manifest,
            None => Manifest::create(Arc::clone(&fs), &dir, new_directory()?)?,
        };
        let journal = Journal::new(Arc::clone(&fs), &log_dir, manifest, &options);
        let state = journal.state();
        remove_orphans(&*fs, &segments_dir, state)?;
        let mut segments = Vec::with_capacity(state.segments.len());
        for entry in &state.segments {
            segments.push(open_entry(&*fs, &dir, entry)?);
        }
        let sealed_through = state.sealed_through;
        let directory_id = state.directory.id;
        let generation = Arc::new(recover_generation(segments, state, &options)?);
        let segments_bytes = generation.segments.iter().map(|sealed| sealed.bytes).sum();
        let shared = Arc::new(Shared {
            fs,
            dir,
            options,
            generation: RwLock::new(Arc::clone(&generation)),
            durable: Mutex::new(Durable::default()),
            segments_bytes: AtomicU64::new(segments_bytes),
            _lock: lock,
        });
        let mut writer = Writer::new(Arc::clone(&shared), generation, journal);
        let found = log::recover(
            &*shared.fs,
            &log_dir,
            directory_id,
            sealed_through,
            &mut |replayed| writer.replay(&replayed.event, replayed.seq),
        )?;
        writer.start(found)?;
        Ok(Self {
            shared,
            writer: Arc::new(Mutex::new(Some(writer))),
        })
    }

    /// An immutable view of everything applied so far. Never waits for the writer.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let generation = Arc::clone(&self.shared.generation.read());
        Snapshot::new(generation)
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

    /// How the store is doing.
    #[must_use]
    pub fn status(&self) -> Status {
        let generation = Arc::clone(&self.shared.generation.read());
        let durable = self.shared.durable.lock().clone();
        Status {
            durable_seq: durable.seq,
            durable_cursor: durable.cursor,
            segments: generation.segments.len(),
            gaps: durable.gaps,
            poisoned: durable.poisoned,
            bytes: vec![
                (
                    "segments",
                    self.shared.segments_bytes.load(Ordering::Relaxed),
                ),
                ("log", durable.log_bytes),
                ("manifest", durable.manifest_bytes),
            ],
            memtable_bytes: generation.memtable.heap_bytes(),
        }
    }

    /// Bytes of each section, summed over the segments, largest first.
    #[must_use]
    pub fn section_sizes(&self) -> Vec<(&'static str, u64)> {
        let generation = Arc::clone(&self.shared.generation.read());
        let mut sums: Vec<(&'static str, u64)> = Vec::new();
        for sealed in &generation.segments {
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

    /// Checks every checksum and the structure of every segment.
    ///
    /// # Errors
    /// The first damage, with its file, section and offset.
    pub fn verify(&self) -> Result<()> {
        let generation = Arc::clone(&self.shared.generation.read());
        for sealed in &generation.segments {
            sealed.segment.verify()?;
        }
        Ok(())
    }
}

/// The identity of a new data directory.
fn new_directory() -> Result<Directory> {
    let mut id = [0; 16];
    let mut secret = [0; 32];
    for bytes in [id.as_mut_slice(), secret.as_mut_slice()] {
        getrandom::fill(bytes)
            .map_err(|error| Error::Config(format!("the system gives no random bytes: {error}")))?;
    }
    Ok(Directory { id, secret })
}

fn open_entry(fs: &dyn Fs, dir: &Path, entry: &SegmentEntry) -> Result<Sealed> {
    let name = segment_name(entry.first_seq, entry.last_seq, entry.id);
    let sealed = open_segment(fs, dir, &name)?;
    let info = sealed.segment.info();
    if (info.first_seq, info.last_seq, sealed.bytes)
        != (entry.first_seq, entry.last_seq, entry.bytes)
    {
        return Err(Error::Inconsistent {
            path: dir.join(SEGMENTS).join(name),
            what: format!(
                "holds seq {} to {} in {} bytes; the manifest says {} to {} in {} bytes",
                info.first_seq,
                info.last_seq,
                sealed.bytes,
                entry.first_seq,
                entry.last_seq,
                entry.bytes
            ),
        });
    }
    Ok(sealed)
}

/// Removes files that the manifest does not name: a crash between writing a file and naming it leaves one.
fn remove_orphans(fs: &dyn Fs, segments_dir: &Path, state: &State) -> Result<()> {
    let named: HashSet<String> = state
        .segments
        .iter()
        .map(|entry| segment_name(entry.first_seq, entry.last_seq, entry.id))
        .collect();
    let entries = fs
        .list(segments_dir)
        .map_err(Error::io("list", segments_dir))?;
    for entry in entries {
        if !named.contains(&entry.name) {
            let path = segments_dir.join(&entry.name);
            tracing::warn!(file = %entry.name, "removing a file that an interrupted seal left behind");
            fs.unlink(&path).map_err(Error::io("remove", &path))?;
        }
    }
    Ok(())
}

/// The generation that the segments alone make.
fn recover_generation(
    segments: Vec<Sealed>,
    state: &State,
    options: &Options,
) -> Result<Generation> {
    let [a, b, c, d, e, f, g, h, ..] = state.directory.secret;
    let seed = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
    let known: u32 = segments
        .iter()
        .map(|sealed| sealed.segment.info().actors_count)
        .sum();
    let actors = Actors::new(seed, known.saturating_add(known / 2));
    for sealed in &segments {
        let info = sealed.segment.info();
        let first = info.actors_first_id;
        if first != actors.len() {
            return Err(Error::Internal(format!(
                "{} begins with actor {first}, after {} actors",
                sealed.name,
                actors.len()
            )));
        }
        for id in first..first.saturating_add(info.actors_count) {
            let did = sealed.segment.did(id)?;
            let did = did.ok_or_else(|| Error::Internal(format!("actor {id} has no DID")))?;
            actors.add(&did.text());
        }
        for state in sealed.segment.states()? {
            actors.restore(&state?);
        }
    }
    let masks = recover_masks(&segments, &actors)?;
    let counters = Counters::default();
    let authors = (0..actors.len()).filter(|id| actors.last_rev(*id) != 0);
    counters
        .authors
        .store(authors.count() as u64, Ordering::Relaxed);
    let mut sealed_segments = Vec::with_capacity(segments.len());
    for (sealed, (mask, masked_links)) in segments.into_iter().zip(masks) {
        let info = sealed.segment.info();
        counters.live_rows.fetch_add(
            u64::from(info.rows).saturating_sub(mask.masked_rows()),
            Ordering::Relaxed,
        );
        counters.live_links.fetch_add(
            u64::from(info.links).saturating_add_signed(-masked_links),
            Ordering::Relaxed,
        );
        sealed_segments.push(Sealed {
            mask: Arc::new(mask),
            ..sealed
        });
    }
    let first_actor = actors.len();
    Ok(Generation {
        number: 1,
        segments: sealed_segments,
        memtable: Arc::new(Memtable::new(
            state.sealed_through + 1,
            first_actor,
            options.seal_events,
            counters.live(),
        )),
        actors: Arc::new(actors),
        counters: Arc::new(counters),
    })
}

/// The masks that kills and account states add up to, each with the number of links it masks.
fn recover_masks(segments: &[Sealed], actors: &Actors) -> Result<Vec<(Mask, i64)>> {
    let mut masks: Vec<(Mask, i64)> = segments.iter().map(|_| (Mask::default(), 0)).collect();
    for sealed in segments {
        for seq in sealed.segment.kills()? {
            let seq = seq?;
            let part = segments.partition_point(|known| known.segment.info().last_seq < seq);
            let (Some(of), Some((mask, links))) = (segments.get(part), masks.get_mut(part)) else {
                return Err(Error::Internal(format!(
                    "{} kills seq {seq}, which is in no segment",
                    sealed.name
                )));
            };
            let row = of.segment.lower_bound_seq(seq)?;
            // A row that a compaction has dropped is no longer there to be masked.
            if row < of.segment.info().rows && of.segment.seq(row)? == seq {
                *links += mask.move_row(&of.segment, row, DEAD)?;
            }
        }
    }
    for actor in 0..actors.len() {
        if actors.state(actor).status != INACTIVE {
            continue;
        }
        for (sealed, (mask, links)) in segments.iter().zip(masks.iter_mut()) {
            for row in sealed.segment.actor_rows(actor)? {
                let row = row?;
                let state = mask.state(row) | HIDDEN;
                *links += mask.move_row(&sealed.segment, row, state)?;
            }
        }
    }
    Ok(masks)
}
