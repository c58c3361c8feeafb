//! Putting a store together from its files: the segments that the manifest names, and the generation that
//! they alone make. Any other file is an orphan of a crash and is removed, if its events are elsewhere.

mod begin;
mod orphans;
#[cfg(test)]
pub(crate) mod version_tests;

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use orrery_formats::Error as FormatError;
use orrery_formats::chunks::SealedFile;
use orrery_formats::manifest::{
    Counts, Directory, SegmentEntry, State, VERSION as MANIFEST_VERSION, WrittenOff,
};
use orrery_formats::segment::{self, Segment};

use crate::actors::DidCache;
use crate::damage::Damaged;
use crate::io::Fs;
use crate::log::keys::KeyHasher;
use crate::manifest::Manifest;
use crate::mask::{Mask, recover_masks};
use crate::memtable::{Expected, Memtable};
use crate::part::FoundLists;
use crate::quarantine::{Reasons, Remains, is_damage, written_off};
use crate::snapshot::{Counters, Generation, Sealed};
use crate::store::{SEGMENTS, segment_name};
use crate::{Error, Options, Result};

pub(crate) use begin::{no_manifest, refuse_contents};
pub(crate) use orphans::{Orphans, has_rows};

/// Maps and opens the file of a segment.
pub(crate) fn open_segment(
    fs: &dyn Fs,
    dir: &Path,
    name: &str,
    id: u64,
    level: u8,
) -> Result<Sealed> {
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
        id,
        level,
        name: name.into(),
        bytes,
        degraded: None,
        remains: None,
    })
}

/// Fails where a segment that the manifest names is of a version that this build does not read: that is no damage, and
/// another build reads it.
pub(crate) fn refuse_other_versions(fs: &dyn Fs, dir: &Path, state: &State) -> Result<()> {
    refuse_versions_of(fs, dir, &mut state.segments.iter())
}

fn refuse_versions_of(
    fs: &dyn Fs,
    dir: &Path,
    entries: &mut dyn Iterator<Item = &SegmentEntry>,
) -> Result<()> {
    for entry in entries {
        let name = segment_name(entry.first_seq, entry.last_seq, entry.id);
        let opened = open_segment(fs, dir, &name, entry.id, entry.level);
        if let Err(error @ Error::Format(FormatError::Version { .. })) = opened {
            return Err(error);
        }
    }
    Ok(())
}

/// The same before a start changes anything: of all segments where the manifest is of an older version, since it is written
/// anew, and builds that read the segments may not read it then; of those that are set aside in any case, since the
/// start reads no more of them than it must, and finds out of the others by itself.
pub(crate) fn refuse_before_start(fs: &dyn Fs, dir: &Path) -> Result<()> {
    let Some(look) = Manifest::look(fs, dir)? else {
        return Ok(());
    };
    let state = &look.state;
    // One that was given up with its accounts is not read again by any build.
    let is_read = |entry: &&SegmentEntry| {
        let mut known = state.quarantined.iter();
        let known = known.find(|known| known.id == entry.id);
        known.is_some_and(|known| known.written_off != WrittenOff::Whole)
    };
    match look.version {
        MANIFEST_VERSION => refuse_versions_of(fs, dir, &mut state.segments.iter().filter(is_read)),
        _ => refuse_other_versions(fs, dir, state),
    }
}

/// The identity of a new data directory.
pub(crate) fn new_directory() -> Result<Directory> {
    let mut id = [0; 16];
    let mut secret = [0; 32];
    for bytes in [id.as_mut_slice(), secret.as_mut_slice()] {
        getrandom::fill(bytes)
            .map_err(|error| Error::Config(format!("the system gives no random bytes: {error}")))?;
    }
    Ok(Directory { id, secret })
}

/// Opens a segment as the manifest has it. Actors from `first_actor` on were first seen in it.
pub(crate) fn open_entry(
    fs: &dyn Fs,
    dir: &Path,
    entry: &SegmentEntry,
    first_actor: u32,
) -> Result<Sealed> {
    let name = segment_name(entry.first_seq, entry.last_seq, entry.id);
    let sealed = open_segment(fs, dir, &name, entry.id, entry.level)?;
    check_entry(dir, &name, &sealed.segment, entry, first_actor)?;
    Ok(sealed)
}

/// Checks that a segment is the one that the manifest has as `entry`.
pub(crate) fn check_entry(
    dir: &Path,
    name: &str,
    segment: &Segment,
    entry: &SegmentEntry,
    first_actor: u32,
) -> Result<()> {
    let (info, bytes) = (segment.info(), segment.file().file_len());
    let actors_end = info.actors_first_id.saturating_add(info.actors_count);
    if (info.actors_first_id, actors_end) != (first_actor, entry.actors_end) {
        return Err(Error::Inconsistent {
            path: dir.join(SEGMENTS).join(name),
            what: format!(
                "holds actors {} to {actors_end}; the manifest says {first_actor} to {}",
                info.actors_first_id, entry.actors_end
            ),
        });
    }
    if (info.first_seq, info.last_seq, bytes) != (entry.first_seq, entry.last_seq, entry.bytes) {
        return Err(Error::Inconsistent {
            path: dir.join(SEGMENTS).join(name),
            what: format!(
                "holds seq {} to {} in {bytes} bytes; the manifest says {} to {} in {} bytes",
                info.first_seq, info.last_seq, entry.first_seq, entry.last_seq, entry.bytes
            ),
        });
    }
    Ok(())
}

/// The segments that the manifest names, those that are set aside as empty ones in their places. Gives those
/// besides that are found to be damaged now; `damaged` are known already. Of those that are set aside accounts are
/// read where that can be, but not of the files named in `unread`.
pub(crate) fn open_segments(
    fs: &dyn Fs,
    dir: &Path,
    state: &State,
    damaged: &[Damaged],
    unread: &HashSet<&str>,
) -> Result<(Vec<Sealed>, Reasons)> {
    let seed = did_seed(&state.directory);
    let quarantined = state
        .quarantined
        .iter()
        .map(|entry| (entry.id, &*entry.why));
    let known = quarantined.chain(damaged.iter().map(|damaged| (damaged.id, &*damaged.why)));
    let known: HashMap<u64, &str> = known.collect();
    let set_aside = |entry: &SegmentEntry, first_actor: u32, why: &str| {
        let written_off = written_off(state, entry.id);
        let name = segment_name(entry.first_seq, entry.last_seq, entry.id);
        let remains = (written_off != WrittenOff::Whole && !unread.contains(&*name))
            .then(|| Remains::of_entry(fs, dir, entry, first_actor))
            .flatten();
        Sealed::set_aside(entry, first_actor, seed, why, remains)
            .map(|sealed| sealed.written_off(written_off))
    };
    let mut segments = Vec::with_capacity(state.segments.len());
    let mut found = Vec::new();
    let mut missing = 0;
    let mut first_actor = 0;
    for entry in &state.segments {
        let sealed = match known.get(&entry.id) {
            Some(why) => set_aside(entry, first_actor, why)?,
            None => match open_entry(fs, dir, entry, first_actor) {
                Err(error) if is_damage(&error) => {
                    missing += usize::from(is_missing(&error));
                    let why = error.to_string();
                    let sealed = set_aside(entry, first_actor, &why)?;
                    found.push((entry.id, why));
                    sealed
                }
                opened => opened?,
            },
        };
        segments.push(sealed);
        first_actor = entry.actors_end;
    }
    if missing > 1 && missing == segments.len() {
        // A directory that was not copied or mounted whole is a mistake to mend, not damage.
        return Err(Error::Inconsistent {
            path: dir.join(SEGMENTS),
            what: format!("none of the {missing} segments that the manifest names is there"),
        });
    }
    Ok((segments, found))
}

fn is_missing(error: &Error) -> bool {
    matches!(error, Error::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound)
}

/// What a repair puts behind the name of a damaged file that it replaced. Nothing reads such a file again.
pub(crate) const SET_ASIDE: &str = ".damaged";

/// Whether a file was set aside by a repair.
pub(crate) fn is_set_aside(name: &str) -> bool {
    name.contains(SET_ASIDE)
}

/// Removes the files of a directory that are not to be kept.
pub(crate) fn remove_all_but(fs: &dyn Fs, dir: &Path, keep: &dyn Fn(&str) -> bool) -> Result<()> {
    for entry in fs.list(dir).map_err(Error::io("list", dir))? {
        if !keep(&entry.name) {
            let path = dir.join(&entry.name);
            tracing::warn!(file = %entry.name, "removing a file that an interrupted seal or merge left behind");
            fs.unlink(&path).map_err(Error::io("remove", &path))?;
        }
    }
    Ok(())
}

/// The generation that the segments alone make.
pub(crate) fn recover_generation(
    segments: Vec<Sealed>,
    state: &State,
    options: &Options,
) -> Result<Generation> {
    let mut segments = segments;
    recover_masks(&mut segments)?;
    // The manifest's counts are those of all segments.
    let mut counts = state.counts;
    (counts.live_rows, counts.live_links) = live_counts(&segments);
    debug_assert!(
        counts == state.counts || !state.quarantined.is_empty(),
        "live rows and links of the masks ({counts:?}) and of the manifest ({:?})",
        state.counts
    );
    Ok(generation_of(segments, state, &counts, options))
}

/// The generation of segments with their masks, which are all that `state` names, and an empty memtable.
pub(crate) fn generation_of(
    segments: Vec<Sealed>,
    state: &State,
    counts: &Counts,
    options: &Options,
) -> Generation {
    let first_actor = state.segments.last().map_or(0, |entry| entry.actors_end);
    Generation {
        number: 1,
        segments,
        memtable: Arc::new(Memtable::new(
            state.sealed_through + 1,
            first_actor,
            Expected::events(options.seal_events),
            (counts.live_rows, counts.live_links),
            did_seed(&state.directory),
        )),
        dids: Arc::new(DidCache::new(did_seed(&state.directory))),
        counters: Arc::new(Counters::of(counts)),
        hasher: KeyHasher::new(&state.directory.secret),
        found: FoundLists::default(),
    }
}

/// The seed of the hashes of DIDs.
pub(crate) fn did_seed(directory: &Directory) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = directory.secret;
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

/// Live rows and links by the masks.
pub(crate) fn live_counts(segments: &[Sealed]) -> (u64, u64) {
    let live = segments.iter().map(|sealed| {
        let info = sealed.segment.info();
        (
            u64::from(info.rows).saturating_sub(sealed.mask.masked_rows()),
            u64::from(info.links).saturating_sub(sealed.mask.masked_links()),
        )
    });
    live.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
}
