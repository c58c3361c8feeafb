//! Segments that are set aside: their files are missing or damaged. The file stays as it is. In the index the
//! segment's place is kept by an empty one of the same range of seqs, so that no part gets another number: its
//! rows and kills are missing, and the ids of its actors stay taken while their DIDs are not known. Snapshots
//! that stand on such a segment say so, for whoever answers from them. Where the damaged file still gives its accounts,
//! they are read from there (`remains.rs`).

mod remains;

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use orrery_formats::Error as FormatError;
use orrery_formats::chunks::SealedFile;
use orrery_formats::manifest::{Edit, QuarantineEntry, SegmentEntry, State, WrittenOff};
use orrery_formats::segment::{self, ActorsInput, Segment, SegmentInfo, SegmentInput};
use parking_lot::{Mutex, RwLock};

use crate::io::Fs;
use crate::lock::DirLock;
use crate::manifest::Manifest;
use crate::mask::Mask;
use crate::part::FoundLists;
use crate::snapshot::{Generation, Sealed};
use crate::store::{Shared, Store, segment_name};
use crate::writer::{Unread, Writer};
use crate::{Error, Result};

pub(crate) use remains::Remains;
use remains::file_of_accounts;

/// Ids of segments, with what is wrong with their files.
pub(crate) type Reasons = Vec<(u64, String)>;

/// A range of events that answers leave out.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Degraded {
    /// The name of the segment's file.
    pub file: String,
    /// The first seq of the range.
    pub first_seq: u64,
    /// The last seq of the range.
    pub last_seq: u64,
    /// The earliest event time of the range, microseconds.
    pub first_time_us: u64,
    /// The latest event time of the range, microseconds.
    pub last_time_us: u64,
    /// What is wrong with the file.
    pub why: String,
    /// Whether a repair found no way to bring it back, and was told to give it up: what comes of it again is new.
    pub is_written_off: bool,
    /// Whether its accounts can be read from the damaged file all the same: events of theirs are applied.
    pub has_accounts: bool,
    /// Whether its accounts were given up too: those that only it knew get other ids, and its file is not asked.
    pub gave_up_accounts: bool,
}

/// An empty segment with the seqs, times and first actor id of `info`.
fn hole(name: &str, info: &SegmentInfo) -> Result<Segment> {
    let bytes = segment::build(&SegmentInput {
        first_seq: info.first_seq,
        last_seq: info.last_seq,
        first_time_us: info.first_time_us,
        last_time_us: info.last_time_us,
        did_seed: info.did_seed,
        actors: ActorsInput {
            first_id: info.actors_first_id,
            ..ActorsInput::default()
        },
        ..SegmentInput::default()
    })?;
    let versions = segment::VERSION..=segment::VERSION;
    let file = SealedFile::open(name.to_owned(), bytes, segment::KIND, versions)?;
    Ok(Segment::open(file)?)
}

impl Sealed {
    /// What stands for the segment of `entry` whose file is not read but for what is in `remains`. Actors from
    /// `first_actor` on were first seen in it.
    pub(crate) fn set_aside(
        entry: &SegmentEntry,
        first_actor: u32,
        did_seed: u64,
        why: &str,
        remains: Option<Remains>,
    ) -> Result<Self> {
        let name = segment_name(entry.first_seq, entry.last_seq, entry.id);
        let mut info = SegmentInfo::default();
        (info.first_seq, info.last_seq) = (entry.first_seq, entry.last_seq);
        (info.first_time_us, info.last_time_us) = (entry.first_time_us, entry.last_time_us);
        info.actors_first_id = first_actor;
        info.did_seed = did_seed;
        Ok(Self {
            segment: Arc::new(hole(&name, &info)?),
            mask: Arc::new(Mask::default()),
            id: entry.id,
            level: entry.level,
            bytes: entry.bytes,
            degraded: Some(Arc::new(degraded(&name, &info, why, remains.is_some()))),
            remains: remains.map(Arc::new),
            name: name.into(),
        })
    }

    /// The same with something else to be said of it.
    fn told(self, change: impl FnOnce(&mut Degraded)) -> Self {
        let degraded = self.degraded.as_deref().cloned().map(|mut degraded| {
            change(&mut degraded);
            Arc::new(degraded)
        });
        Self { degraded, ..self }
    }

    /// The same, as repairs left it that found no way to bring it back.
    pub(crate) fn written_off(self, written_off: WrittenOff) -> Self {
        if written_off == WrittenOff::No {
            return self;
        }
        self.told(|degraded| {
            degraded.is_written_off = true;
            degraded.gave_up_accounts = written_off == WrittenOff::Whole;
        })
    }

    /// What stands for this segment once it is not read any more but for what is in `remains`.
    fn without_file(&self, why: &str, remains: Option<Arc<Remains>>) -> Result<Self> {
        let info = self.segment.info();
        Ok(Self {
            segment: Arc::new(hole(&self.name, info)?),
            mask: Arc::new(Mask::default()),
            degraded: Some(Arc::new(degraded(&self.name, info, why, remains.is_some()))),
            remains,
            ..self.clone()
        })
    }

    /// What stands for this segment, which is set aside, once its accounts cannot be read either.
    fn with_accounts_lost(&self) -> Self {
        tracing::error!(
            file = %self.name,
            "the accounts of a segment that is set aside cannot be read any more: {WAITING}"
        );
        let told = self.clone().told(|degraded| degraded.has_accounts = false);
        Self {
            remains: None,
            ..told
        }
    }
}

/// What it means that accounts are not known.
const WAITING: &str = "events of accounts that only it may know wait until `orrery repair` has brought it back or written it off";

fn degraded(name: &str, info: &SegmentInfo, why: &str, has_accounts: bool) -> Degraded {
    let events = if has_accounts {
        "its accounts can still be read, and events go on"
    } else {
        WAITING
    };
    tracing::error!(
        file = name,
        "a segment is set aside: {why}. Answers leave out what seq {} to {} held, and say so; {events}. To bring it \
         back, stop and run `orrery repair`",
        info.first_seq,
        info.last_seq
    );
    Degraded {
        file: name.to_owned(),
        first_seq: info.first_seq,
        last_seq: info.last_seq,
        first_time_us: info.first_time_us,
        last_time_us: info.last_time_us,
        why: why.to_owned(),
        is_written_off: false,
        has_accounts,
        gave_up_accounts: false,
    }
}

/// What repairs gave up of the segment with that id.
pub(crate) fn written_off(state: &State, id: u64) -> WrittenOff {
    let mut quarantined = state.quarantined.iter();
    let known = quarantined.find(|known| known.id == id);
    known.map_or(WrittenOff::No, |known| known.written_off)
}

/// Whether an error of opening a segment says that its file is damaged or gone, rather than that this process
/// may not or cannot read it now.
pub(crate) fn is_damage(error: &Error) -> bool {
    match error {
        Error::Format(FormatError::Corrupt(_)) | Error::Inconsistent { .. } => true,
        Error::Io { source, .. } => {
            let failed_read = rustix::io::Errno::IO.raw_os_error();
            source.kind() == std::io::ErrorKind::NotFound
                || source.kind() == std::io::ErrorKind::UnexpectedEof
                || source.raw_os_error() == Some(failed_read)
        }
        _ => false,
    }
}

/// The name of the damaged file, where the error is about damaged bytes.
fn damaged_file(error: &Error) -> Option<&str> {
    match error {
        Error::Format(FormatError::Corrupt(corruption)) => Some(&corruption.file),
        _ => None,
    }
}

/// The name of the file of a segment that is set aside, where the error is about damage of its accounts.
pub(crate) fn damaged_accounts(error: &Error) -> Option<&str> {
    damaged_file(error).and_then(file_of_accounts)
}

/// Whose damage somebody met.
#[derive(Clone, Copy)]
struct Met<'a> {
    /// The name of the segment's file.
    file: &'a str,
    /// Whether it was read for its accounts only, being set aside.
    of_accounts: bool,
}

impl<'a> Met<'a> {
    fn of(error: &'a Error) -> Option<Self> {
        let named = damaged_file(error)?;
        let of_accounts = file_of_accounts(named);
        Some(Self {
            file: of_accounts.unwrap_or(named),
            of_accounts: of_accounts.is_some(),
        })
    }

    /// Whether `sealed` is that segment.
    fn is(self, sealed: &Sealed) -> bool {
        *sealed.name == *self.file
    }

    /// Whether whoever reads `sealed`, which is that segment, may meet the damage again.
    fn is_met_by(self, sealed: &Sealed) -> bool {
        if self.of_accounts {
            sealed.remains.is_some()
        } else {
            sealed.degraded.is_none()
        }
    }
}

/// The edit that sets segments aside, by ids and reasons, in a directory that is sealed up to that seq. Events behind
/// it that are applied already are in the log, and whoever repairs applies them again.
pub(crate) fn edit(segments: impl IntoIterator<Item = (u64, String)>, sealed_through: u64) -> Edit {
    let entries = segments.into_iter();
    Edit {
        quarantine: entries
            .map(|(id, why)| QuarantineEntry {
                id,
                why,
                applied_through: sealed_through,
                written_off: WrittenOff::No,
            })
            .collect(),
        ..Edit::default()
    }
}

/// Sets the segment aside that an error of opening the directory is about, durably; `false` where it is about
/// none, or one that is set aside already.
pub(crate) fn set_aside_durably(fs: &Arc<dyn Fs>, dir: &Path, error: &Error) -> Result<bool> {
    let Some(file) = damaged_file(error) else {
        return Ok(false);
    };
    let _lock = DirLock::acquire(&**fs, dir)?;
    let Some(mut manifest) = Manifest::open(Arc::clone(fs), dir)? else {
        return Ok(false);
    };
    let state = manifest.state();
    let found = state
        .segments
        .iter()
        .find(|entry| segment_name(entry.first_seq, entry.last_seq, entry.id) == file);
    let Some(id) = found.map(|entry| entry.id) else {
        return Ok(false);
    };
    if state.quarantined.iter().any(|known| known.id == id) {
        return Ok(false);
    }
    let sealed_through = state.sealed_through;
    manifest.append(&edit([(id, error.to_string())], sealed_through))?;
    Ok(true)
}

/// What was found damaged since the store was opened.
struct Damage {
    why: String,
    /// What is still read of the file.
    remains: Option<Arc<Remains>>,
}

impl Damage {
    /// Whether `sealed`, which is the damaged segment, still reads what is damaged.
    fn hits(&self, sealed: &Sealed) -> bool {
        sealed.degraded.is_none() || (sealed.remains.is_some() && self.remains.is_none())
    }
}

/// The segments found damaged since the store was opened, by id.
#[derive(Default)]
pub(crate) struct Damages {
    by_id: Mutex<HashMap<u64, Damage>>,
    /// How often something was found; only ever rises.
    count: AtomicUsize,
    /// Held by the one who looks for what can still be read, while others who met the same damage wait for it.
    looking: Mutex<()>,
}

impl Damages {
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Notes that a segment is damaged, with what `remains` finds of it if that was not known.
    fn note(&self, id: u64, why: &Error, remains: impl FnOnce() -> Option<Remains>) {
        let _looking = self.looking.lock();
        if self.by_id.lock().contains_key(&id) {
            return;
        }
        let damage = Damage {
            why: why.to_string(),
            remains: remains().map(Arc::new),
        };
        self.by_id.lock().entry(id).or_insert(damage);
        self.count.fetch_add(1, Ordering::AcqRel);
    }

    /// Notes that the accounts of a segment that is set aside are damaged.
    fn note_lost_accounts(&self, id: u64, why: &Error) {
        let mut by_id = self.by_id.lock();
        let damage = by_id.entry(id).or_insert_with(|| Damage {
            why: why.to_string(),
            remains: None,
        });
        damage.remains = None;
        self.count.fetch_add(1, Ordering::AcqRel);
    }

    /// Replaces the published generation by itself less what is known to be damaged.
    pub(crate) fn with_latest(&self, published: &RwLock<Arc<Generation>>) {
        let by_id = self.by_id.lock();
        let latest = Arc::clone(&published.read());
        *published.write() = sound(latest, &by_id);
    }

    /// Calls `f` with `generation` less what is known to be damaged, while no more becomes known.
    pub(crate) fn with_sound<R>(
        &self,
        generation: Arc<Generation>,
        f: impl FnOnce(Arc<Generation>) -> R,
    ) -> R {
        let by_id = self.by_id.lock();
        f(sound(generation, &by_id))
    }
}

/// `generation` with the segments of `damaged` set aside.
fn sound(generation: Arc<Generation>, damaged: &HashMap<u64, Damage>) -> Arc<Generation> {
    let damage_of = |sealed: &Sealed| damaged.get(&sealed.id).filter(|known| known.hits(sealed));
    if !generation
        .segments
        .iter()
        .any(|sealed| damage_of(sealed).is_some())
    {
        return generation;
    }
    let replace = |sealed: &Sealed| {
        let Some(damage) = damage_of(sealed) else {
            return sealed.clone();
        };
        if sealed.degraded.is_some() {
            return sealed.with_accounts_lost();
        }
        let replaced = sealed.without_file(&damage.why, damage.remains.clone());
        replaced.unwrap_or_else(|error| {
            tracing::error!(%error, file = %sealed.name, "a damaged segment cannot be set aside");
            sealed.clone()
        })
    };
    Arc::new(Generation {
        number: generation.number,
        segments: generation.segments.iter().map(replace).collect(),
        memtable: Arc::clone(&generation.memtable),
        dids: Arc::clone(&generation.dids),
        counters: Arc::clone(&generation.counters),
        hasher: generation.hasher,
        found: FoundLists::default(),
    })
}

impl Shared {
    /// Sets the segment aside that `error` is about, if it is about one: new snapshots leave it out. Where it is about
    /// the accounts of one that is set aside already, new snapshots do without these too. Gives whether
    /// they do, be it by this call or by one of somebody else who met the same damage.
    pub(crate) fn report_damage(&self, error: &Error) -> bool {
        let Some(met) = Met::of(error) else {
            return false;
        };
        let generation = self.generation();
        let mut segments = generation.segments.iter();
        let Some(sealed) = segments.find(|sealed| met.is(sealed)) else {
            return false;
        };
        if !met.is_met_by(sealed) {
            return true;
        }
        if met.of_accounts {
            self.damages.note_lost_accounts(sealed.id, error);
        } else {
            self.damages.note(sealed.id, error, || {
                Remains::of_sealed(&*self.fs, &self.dir, sealed)
            });
        }
        // Also where somebody else is about to: whoever asks again must not meet the damage again.
        self.republish();
        let generation = self.generation();
        let mut segments = generation.segments.iter();
        segments.any(|known| known.id == sealed.id && !met.is_met_by(known))
    }
}

impl Store {
    /// Tells of an error that a query met. Where it is about damaged bytes of a segment, that segment is set aside:
    /// new snapshots leave it out and say so, and the directory remembers it. Gives whether a new snapshot may
    /// answer where this one failed.
    pub fn report_damage(&self, error: &Error) -> bool {
        if !self.shared.report_damage(error) {
            return false;
        }
        // Whoever else has the writer makes it durable at its next tick.
        if let Some(writer) = self.writer.lock().as_mut()
            && let Err(error) = writer.adopt_damage()
        {
            tracing::error!(%error, "that a segment is damaged cannot be written down");
        }
        true
    }
}

impl Writer {
    /// Goes on without the segment that `error` is about, if it is about damage of one that this writer reads. Gives
    /// whether what failed may be tried again.
    pub(crate) fn leave_out(&mut self, error: &Error) -> Result<bool> {
        let Some(met) = Met::of(error) else {
            return Ok(false);
        };
        let read = |writer: &Self| {
            let mut segments = writer.generation.segments.iter();
            segments.any(|sealed| met.is(sealed) && met.is_met_by(sealed))
        };
        if !read(self) || !self.shared.report_damage(error) {
            return Ok(false);
        }
        self.adopt_damage()?;
        Ok(!read(self))
    }

    /// Takes over what was found damaged since the last call, and makes it durable.
    ///
    /// # Errors
    /// When the manifest cannot be written, which poisons the writer.
    pub(crate) fn adopt_damage(&mut self) -> Result<()> {
        let count = self.shared.damages.count();
        if count == self.damages_seen {
            return Ok(());
        }
        let shared = Arc::clone(&self.shared);
        let old = Arc::clone(&self.generation);
        self.generation = shared.damages.with_sound(old, |sound| sound);
        self.lost_accounts = self.generation.lost_accounts();
        self.unread = Unread::of(&self.generation);
        self.states.leave_out();
        self.compare_exclusions_again();
        let state = self.journal.state();
        let known: HashSet<u64> = state.quarantined.iter().map(|entry| entry.id).collect();
        let named: HashSet<u64> = state.segments.iter().map(|entry| entry.id).collect();
        let new: Reasons = {
            let by_id = shared.damages.by_id.lock();
            let new = by_id
                .iter()
                .filter(|(id, _)| named.contains(id) && !known.contains(id));
            new.map(|(id, damage)| (*id, damage.why.clone())).collect()
        };
        if !new.is_empty() {
            let written = self.journal.quarantine(new);
            self.poison_on_error(written)?;
        }
        self.damages_seen = count;
        Ok(())
    }
}

#[cfg(test)]
mod account_tests;
#[cfg(test)]
mod remains_tests;
#[cfg(test)]
mod repeat_tests;
#[cfg(test)]
mod return_tests;
#[cfg(test)]
pub(crate) mod tests;
