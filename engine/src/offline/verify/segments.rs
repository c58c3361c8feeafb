//! The segments: that each is there as the manifest says, whole, and of one mind with itself and its
//! neighbours.

use orrery_formats::manifest::{SegmentEntry, State};
use orrery_formats::segment::{self, Segment};

use super::Check;
use crate::Result;
use crate::offline::directory::found;
use crate::store::{SEGMENTS, segment_name};

impl Check<'_> {
    pub(super) fn segments(&mut self, state: Option<&State>) -> Result<()> {
        let Some(state) = state else {
            // Whatever is there is checked by itself.
            for file in found(&*self.fs, &self.path.join(SEGMENTS), |name| {
                name.ends_with(".seg").then_some(0)
            })? {
                self.segment(&format!("{SEGMENTS}/{}", file.name), None);
            }
            return Ok(());
        };
        let mut actors_end = 0;
        for entry in &state.segments {
            let name = segment_name(entry.first_seq, entry.last_seq, entry.id);
            let file = format!("{SEGMENTS}/{name}");
            if let Some(quarantined) = state.quarantined.iter().find(|known| known.id == entry.id) {
                self.note(format!(
                    "{file}: quarantined: {}; `orrery repair` brings it back where that can be",
                    quarantined.why
                ));
            }
            if let Some(first) = self.segment(&file, Some(entry))
                && first != actors_end
            {
                let expected = format!("actors from {actors_end} on");
                self.damage(&file, "meta", 0, expected, format!("from {first} on"));
            }
            actors_end = entry.actors_end;
        }
        Ok(())
    }

    /// Checks one segment, and gives the id of its first actor, where it opens.
    fn segment(&mut self, file: &str, entry: Option<&SegmentEntry>) -> Option<u32> {
        let before = self.report.damages;
        let versions = segment::VERSION..=segment::VERSION;
        let checked = self.sealed(file, segment::KIND, versions, &segment::section_name)?;
        if self.other_version.is_some() {
            return None;
        }
        if let Some(entry) = entry {
            let is_told = self.report.damages > before;
            if checked.bytes != entry.bytes {
                let expected = format!("{} bytes", entry.bytes);
                self.damage(file, "file", 0, expected, checked.bytes);
            } else if checked.checksum != entry.checksum && !is_told {
                let expected = format!("a file with the checksum {:#018x}", entry.checksum);
                let found = format!("{:#018x}", checked.checksum);
                self.damage(file, "file", 0, expected, found);
            }
        }
        let segment = match Segment::open(checked.sound?) {
            Ok(segment) => segment,
            Err(error) => {
                self.format_error(file, 0, error);
                return None;
            }
        };
        if !self.quick {
            segment.each_contradiction(&mut |error| {
                let base = match &error {
                    orrery_formats::Error::Corrupt(corruption) => {
                        segment.section_start(corruption.section).unwrap_or(0)
                    }
                    _ => 0,
                };
                self.format_error(file, base, error);
            });
        }
        let info = segment.info();
        if let Some(entry) = entry {
            let actors_end = info.actors_first_id.saturating_add(info.actors_count);
            let (says, is) = (
                (
                    (entry.first_seq, entry.last_seq),
                    (entry.first_time_us, entry.last_time_us),
                    entry.actors_end,
                ),
                (
                    (info.first_seq, info.last_seq),
                    (info.first_time_us, info.last_time_us),
                    actors_end,
                ),
            );
            if says != is {
                let expected = format!("seqs, times and end of actors {says:?}");
                self.damage(file, "meta", 0, expected, format!("{is:?}"));
            }
        }
        Some(info.actors_first_id)
    }
}
