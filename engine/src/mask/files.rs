//! The files of masks: their names, taking them in at a start, and writing one. All are derived; whatever is
//! wrong with one, it is removed and the mask is made from the segments.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use orrery_formats::manifest::{SegmentEntry, State};
use orrery_formats::mask::{MaskFile, MaskHeader};

use super::Mask;
use crate::io::Fs;
use crate::io::fs::{TEMPORARY_SUFFIX, write_sealed};
use crate::snapshot::Sealed;
use crate::store::segment_name;
use crate::{Error, Result};

/// The directory of masks, within the data directory.
pub(crate) const MASKS: &str = "masks";

/// The name of the file that holds a segment's mask as of a seq.
pub(crate) fn mask_name(segment_id: u64, through_seq: u64) -> String {
    format!("{segment_id:x}-{through_seq:016x}.mask")
}

/// The segment's id and the seq of a file name.
fn parse_name(name: &str) -> Option<(u64, u64)> {
    let (id, through) = name.strip_suffix(".mask")?.split_once('-')?;
    let parsed = (
        u64::from_str_radix(id, 16).ok()?,
        u64::from_str_radix(through, 16).ok()?,
    );
    (mask_name(parsed.0, parsed.1) == name).then_some(parsed)
}

/// The manifest's entries of segments, by the names of their files.
pub(crate) fn entries_by_name(state: &State) -> HashMap<String, &SegmentEntry> {
    let named = state.segments.iter().map(|entry| {
        let name = segment_name(entry.first_seq, entry.last_seq, entry.id);
        (name, entry)
    });
    named.collect()
}

/// Gives each segment the mask of its newest usable file, and removes all other files of the directory.
///
/// # Errors
/// When the directory cannot be listed.
pub(crate) fn load_masks(
    fs: &dyn Fs,
    dir: &Path,
    state: &State,
    segments: &mut [Sealed],
) -> Result<()> {
    let masks_dir = dir.join(MASKS);
    let listed = fs.list(&masks_dir).map_err(Error::io("list", &masks_dir))?;
    let mut found: HashMap<u64, Vec<u64>> = HashMap::new();
    for entry in listed {
        match parse_name(&entry.name) {
            Some((id, through)) => found.entry(id).or_default().push(through),
            None => remove(fs, &masks_dir, &entry.name, "it is no mask"),
        }
    }
    let entries = entries_by_name(state);
    for sealed in segments {
        let Some(entry) = entries.get(&*sealed.name) else {
            continue;
        };
        if sealed.degraded.is_some() {
            for through in found.remove(&entry.id).unwrap_or_default() {
                let name = mask_name(entry.id, through);
                remove(fs, &masks_dir, &name, "its segment is set aside as damaged");
            }
            continue;
        }
        let rows = sealed.segment.info().rows;
        let mut throughs = found.remove(&entry.id).unwrap_or_default();
        throughs.sort_unstable();
        while let Some(through) = throughs.pop() {
            let name = mask_name(entry.id, through);
            match open_checked(fs, &masks_dir, &name, through, entry, state, rows) {
                Ok(mask) => {
                    sealed.mask = Arc::new(mask);
                    break;
                }
                Err(error) => remove(fs, &masks_dir, &name, &error.to_string()),
            }
        }
        for through in throughs {
            let name = mask_name(entry.id, through);
            remove(fs, &masks_dir, &name, "there is a newer one");
        }
    }
    for (id, throughs) in found {
        for through in throughs {
            remove(
                fs,
                &masks_dir,
                &mask_name(id, through),
                "its segment is not here",
            );
        }
    }
    Ok(())
}

/// Removes all files but those that the masks of `segments` stand on.
pub(crate) fn remove_unused(fs: &dyn Fs, dir: &Path, segments: &[Sealed]) {
    let masks_dir = dir.join(MASKS);
    let used: HashSet<&str> = segments
        .iter()
        .filter_map(|sealed| sealed.mask.file())
        .map(|file| file.name())
        .collect();
    match fs.list(&masks_dir) {
        Ok(listed) => {
            for entry in listed {
                if !used.contains(&*entry.name) {
                    unlink(fs, &masks_dir.join(entry.name));
                }
            }
        }
        Err(error) => tracing::warn!(%error, "cannot list the mask files"),
    }
}

/// If this fails the file is found again after the next one was written, and at the next start.
fn unlink(fs: &dyn Fs, path: &Path) {
    if let Err(error) = fs.unlink(path) {
        tracing::warn!(file = %path.display(), %error, "cannot remove a mask file");
    }
}

fn remove(fs: &dyn Fs, masks_dir: &Path, name: &str, why: &str) {
    tracing::warn!(file = %name, why, "removing a mask file");
    unlink(fs, &masks_dir.join(name));
}

fn open_mask(fs: &dyn Fs, path: &Path, name: &str) -> Result<MaskFile> {
    let mapped = fs.map(path).map_err(Error::io("map", path))?;
    Ok(MaskFile::open(name.to_owned(), mapped)?)
}

/// Opens a file and checks that it is sound and says something of this segment, which has so many rows.
fn open_checked(
    fs: &dyn Fs,
    masks_dir: &Path,
    name: &str,
    through: u64,
    entry: &SegmentEntry,
    state: &State,
    rows: u32,
) -> Result<Mask> {
    let path = masks_dir.join(name);
    let file = open_mask(fs, &path, name)?;
    let header = file.header();
    let foreign = |what: &str| {
        Err(Error::Inconsistent {
            path: path.clone(),
            what: format!("is of another {what}"),
        })
    };
    if header.directory_id != state.directory.id {
        return foreign("data directory");
    }
    if (header.segment_id, header.segment_checksum, header.rows) != (entry.id, entry.checksum, rows)
    {
        return foreign("segment");
    }
    // From before the segment was there, or from a future that the manifest does not know.
    if header.through_seq != through || !(entry.last_seq..=state.sealed_through).contains(&through)
    {
        return foreign("time");
    }
    file.verify()?;
    Ok(Mask::of_file(Arc::new(file)))
}

/// Writes `mask`, which is as of `through_seq`, and gives it back standing on its file, with the bytes written.
/// After an error no file is left if that can be helped.
pub(crate) fn write_mask(
    fs: &dyn Fs,
    dir: &Path,
    directory_id: [u8; 16],
    entry: &SegmentEntry,
    through_seq: u64,
    rows: u32,
    mask: &Mask,
) -> Result<(Mask, u64)> {
    let bytes = mask.encode(MaskHeader {
        directory_id,
        segment_id: entry.id,
        segment_checksum: entry.checksum,
        through_seq,
        rows,
        ..MaskHeader::default()
    })?;
    let masks_dir = dir.join(MASKS);
    let name = mask_name(entry.id, through_seq);
    let written =
        write_sealed(fs, &masks_dir, &name, &bytes).and_then(|path| open_mask(fs, &path, &name));
    match written {
        Ok(file) => Ok((Mask::of_file(Arc::new(file)), bytes.len() as u64)),
        Err(error) => {
            // On a full disk the space of a half-written file is wanted back. It may not be there, and the
            // next start removes it otherwise.
            let _ = fs.unlink(&masks_dir.join(format!("{name}{TEMPORARY_SUFFIX}")));
            let _ = fs.unlink(&masks_dir.join(&name));
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::fault::SimFs;
    use orrery_formats::manifest::Directory;

    /// A state with one segment of 600,000 rows, and the mask of that segment as of its end.
    fn sample() -> (State, MaskHeader) {
        let mut state = State::new(Directory {
            id: *b"orrery-directory",
            secret: [7; 32],
        });
        state.segments.push(SegmentEntry {
            id: 3,
            first_seq: 1,
            last_seq: 700_000,
            bytes: 1,
            checksum: 99,
            first_time_us: 0,
            last_time_us: 0,
            actors_end: 0,
            level: 0,
        });
        state.sealed_through = 700_000;
        let header = MaskHeader {
            directory_id: state.directory.id,
            segment_id: 3,
            segment_checksum: 99,
            through_seq: 700_000,
            rows: 600_000,
            ..MaskHeader::default()
        };
        (state, header)
    }

    fn built(header: MaskHeader) -> Vec<u8> {
        let every = &mut |_, chunk: &mut orrery_formats::mask::Chunk| {
            chunk.dead = [u64::MAX; 16];
            Ok(())
        };
        orrery_formats::mask::build(header, every, &[]).unwrap()
    }

    fn opened(state: &State, bytes: &[u8]) -> Result<Mask> {
        let (fs, dir) = (SimFs::new(), Path::new("masks"));
        let entry = &state.segments[0];
        let name = mask_name(entry.id, state.sealed_through);
        fs.put(&dir.join(&name), bytes);
        open_checked(&fs, dir, &name, state.sealed_through, entry, state, 600_000)
    }

    #[test]
    fn damage_far_from_the_header_is_met_before_a_mask_is_believed() {
        let (state, header) = sample();
        let sound = built(header);
        assert_eq!(opened(&state, &sound).unwrap().dead_rows(), 600_000);
        // Beyond the first checksum, which opening looks at.
        for at in [66_000, 70_000] {
            let mut damaged = sound.clone();
            damaged[at] ^= 1;
            assert!(opened(&state, &damaged).is_err(), "byte {at}");
        }
    }

    #[test]
    fn a_mask_of_another_directory_segment_or_time_is_not_believed() {
        let (state, header) = sample();
        let foreign = [
            MaskHeader {
                directory_id: *b"another-director",
                ..header
            },
            MaskHeader {
                segment_id: 4,
                ..header
            },
            MaskHeader {
                segment_checksum: 98,
                ..header
            },
            MaskHeader {
                through_seq: 699_999,
                ..header
            },
            MaskHeader {
                rows: 599_999,
                ..header
            },
        ];
        for header in foreign {
            let error = opened(&state, &built(header)).map(drop).unwrap_err();
            assert!(error.to_string().contains("of another"), "{error}");
        }
    }

    #[test]
    fn names_are_read_as_they_are_written_and_in_no_other_form() {
        assert_eq!(mask_name(0x2a, 0x100), "2a-0000000000000100.mask");
        for (id, through) in [(0, 0), (7, 1), (u64::MAX, u64::MAX)] {
            assert_eq!(parse_name(&mask_name(id, through)), Some((id, through)));
        }
        for name in [
            "",
            ".mask",
            "2a.mask",
            "2A-0000000000000100.mask",
            "2a-100.mask",
            "02a-0000000000000100.mask",
            "2a-0000000000000100.mask.tmp",
            "2a-00000000000000100.mask",
        ] {
            assert_eq!(parse_name(name), None, "{name}");
        }
    }
}
