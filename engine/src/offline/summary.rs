//! Sizes of a directory by kind of file and by section, and the lists of one target.

use orrery_formats::segment::is_sample_section;

use super::Directory;
use super::names::of_format;
use crate::Result;

/// Bytes on disk.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sizes {
    /// The manifest.
    pub manifest: u64,
    /// The segments, envelopes included, by what the manifest says.
    pub segments: u64,
    /// The mask files.
    pub masks: u64,
    /// The log files.
    pub log: u64,
    /// Their key indexes.
    pub key_indexes: u64,
    /// The cache of fetched values.
    pub cache: u64,
    /// The sections, summed over the segments that open, largest first.
    pub sections: Vec<(&'static str, u64)>,
}

impl Sizes {
    /// Bytes of the sections about actors: DIDs, their index, their newest revisions and statuses.
    #[must_use]
    pub fn actor_sections(&self) -> u64 {
        let sections = self.sections.iter();
        sections
            .filter(|(name, _)| is_actor_section(name))
            .map(|(_, bytes)| bytes)
            .sum()
    }

    /// Bytes of the sections of samples: whole records, the newest of each collection.
    #[must_use]
    pub fn sample_sections(&self) -> u64 {
        let sections = self.sections.iter();
        sections
            .filter(|(name, _)| is_sample_section(name))
            .map(|(_, bytes)| bytes)
            .sum()
    }

    /// Bytes of the index without what is about actors and without samples: manifest, segments and masks.
    #[must_use]
    pub fn index_without_actors(&self) -> u64 {
        let index = self.manifest + self.segments + self.masks;
        index.saturating_sub(self.actor_sections() + self.sample_sections())
    }
}

/// Whether the section of that name is about actors rather than links.
#[must_use]
pub fn is_actor_section(name: &str) -> bool {
    matches!(
        name,
        "did:plc"
            | "indexes of other DIDs"
            | "other DIDs"
            | "DID index"
            | "ids of states"
            | "states"
            | "state directory"
    )
}

/// One list of a target in one segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetList {
    /// The segment's file.
    pub segment: String,
    /// The collection that links.
    pub collection: String,
    /// The path it links at, with its leading dot.
    pub path: String,
    /// Rows in the list, dead and hidden ones included.
    pub rows: u32,
    /// How many of them are dead.
    pub dead: u32,
}

impl Directory {
    /// Bytes on disk. Costs the footers of the segments.
    #[must_use]
    pub fn sizes(&self) -> Sizes {
        let sum = |files: &[super::FoundFile]| files.iter().map(|file| file.bytes).sum();
        let mut sections: Vec<(&'static str, u64)> = Vec::new();
        for (_, segment) in self.sound_segments() {
            for (name, bytes) in segment.section_sizes() {
                match sections.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, sum)) => *sum += bytes,
                    None => sections.push((name, bytes)),
                }
            }
        }
        sections.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
        Sizes {
            manifest: self.manifest.bytes,
            segments: self.segments.iter().map(|file| file.entry.bytes).sum(),
            masks: sum(&self.masks),
            log: sum(&self.logs),
            key_indexes: sum(&self.keys),
            cache: sum(&self.cache),
            sections,
        }
    }

    /// The lists of a target, oldest segment first. Segments that do not open are left out. Reads the rows of
    /// the lists, and one bit for each row of a segment with any.
    ///
    /// # Errors
    /// When a segment cannot be read.
    pub fn target_lists(&self, target: &str) -> Result<Vec<TargetList>> {
        let lists = self.with_target_key(target, |key| {
            let mut lists = Vec::new();
            for (place, file) in self.segments.iter().enumerate() {
                let Ok(segment) = file.segment() else {
                    continue;
                };
                let Some(ordinal) = segment.find_target(key)? else {
                    continue;
                };
                let dead_rows = self.dead_rows(place)?;
                for info in segment.lists_of(ordinal)? {
                    let info = info?;
                    let mut dead = 0;
                    for row in segment.list(info.id)?.iter_from(0) {
                        dead += u32::from(dead_rows.contains(row.map_err(of_format)?));
                    }
                    lists.push(TargetList {
                        segment: file.name.clone(),
                        collection: info.collection.to_owned(),
                        path: info.path.to_owned(),
                        rows: info.len,
                        dead,
                    });
                }
            }
            Ok(lists)
        })?;
        Ok(lists.unwrap_or_default())
    }
}
