//! The masks: each by itself, then against what the segments say of its rows. A missing one is no damage: it is
//! derived, and the next start makes it anew.

use std::collections::HashSet;

use orrery_formats::envelope::FileKind;
use orrery_formats::manifest::State;
use orrery_formats::mask::{self, DEAD, MaskFile};

use super::Check;
use crate::io::fs::TEMPORARY_SUFFIX;
use crate::mask::files::MASKS;
use crate::offline::Directory;
use crate::offline::directory::{found, is_not_found};
use crate::{ActorId, Error, Result};

fn section_name(id: u16) -> &'static str {
    match id {
        1 => "header",
        2 => "directory",
        3 => "bits",
        4 => "lists",
        _ => "unknown section",
    }
}

/// Hidden accounts as of some seq; masks are mostly as of the same one.
type Hidden = Option<(u64, HashSet<ActorId>)>;

impl Check<'_> {
    pub(super) fn masks(&mut self, state: Option<&State>) -> Result<()> {
        let files = found(&*self.fs, &self.path.join(MASKS), |_| Some(0))?;
        let directory = Directory::open_with_fs(self.fs.clone(), &self.path).ok();
        let mut hidden = None;
        for file in files {
            let name = format!("{MASKS}/{}", file.name);
            if file.name.ends_with(TEMPORARY_SUFFIX) {
                self.note(format!("{name}: nothing names this file"));
                continue;
            }
            let path = self.path.join(&name);
            let versions = mask::VERSION..=mask::VERSION;
            let checked = self.sealed(&name, FileKind::Mask, versions, &section_name);
            let is_sound = checked.is_some_and(|checked| checked.sound.is_some());
            let (true, false, Some(state)) = (is_sound, self.quick, state) else {
                continue;
            };
            let opened = self
                .fs
                .map(&path)
                .map_err(Error::io("map", &path))
                .and_then(|mapped| Ok(MaskFile::open(file.name.clone(), mapped)?))
                .and_then(|mask| Ok(mask.verify().map(|()| mask)?));
            match opened {
                Ok(mask) => {
                    if let Some(directory) = &directory {
                        let checked =
                            self.against_segments(&name, &mask, state, directory, &mut hidden);
                        if let Err(error) = checked {
                            // Damage of a segment was told by its own check.
                            self.note(format!("{name} is not compared with its segment: {error}"));
                        }
                    }
                }
                // Replaced by a running store meanwhile.
                Err(error) if is_not_found(&error) => {}
                Err(error) => self.error(&name, error),
            }
        }
        Ok(())
    }

    fn against_segments(
        &mut self,
        name: &str,
        mask: &MaskFile,
        state: &State,
        directory: &Directory,
        hidden: &mut Hidden,
    ) -> Result<()> {
        let header = mask.header();
        let segments = directory.segments();
        let place = segments
            .iter()
            .position(|file| file.entry.id == header.segment_id);
        let Some((place, file)) = place.and_then(|place| Some((place, segments.get(place)?)))
        else {
            self.note(format!("{name}: its segment is not there"));
            return Ok(());
        };
        let Ok(segment) = file.segment() else {
            return Ok(());
        };
        let says = (header.directory_id, header.segment_checksum, header.rows);
        let is = (state.directory.id, file.entry.checksum, segment.info().rows);
        if says != is {
            let expected = format!("directory, checksum and rows of its segment {is:?}");
            self.damage(name, "header", 0, expected, format!("{says:?}"));
            return Ok(());
        }
        let through = header.through_seq;
        let is_boundary = segments
            .iter()
            .all(|file| file.entry.last_seq <= through || file.entry.first_seq > through);
        let all_open = segments.iter().all(|file| file.segment().is_ok());
        if !is_boundary || !all_open || through > directory.state().sealed_through {
            // Segments that were merged since do not tell what was so at that seq.
            return Ok(());
        }
        let dead = directory.dead_rows_through(place, through)?;
        if hidden.as_ref().is_none_or(|(seq, _)| *seq != through) {
            *hidden = Some((through, directory.hidden_actors_through(through)?));
        }
        let none = HashSet::new();
        let hidden = hidden.as_ref().map_or(&none, |(_, actors)| actors);
        let mut actors = segment.actor_column()?;
        let mut links = 0u64;
        for row in 0..header.rows {
            let is_dead = dead.contains(row);
            let is_masked = is_dead || hidden.contains(&actors.get(row)?);
            let state = mask.state(row)?;
            if (state & DEAD != 0, state != 0) != (is_dead, is_masked) {
                let expected = format!("row {row} dead: {is_dead}, masked: {is_masked}");
                self.damage(name, "bits", 0, expected, format!("state {state}"));
                return Ok(());
            }
            if is_masked {
                links = links.saturating_add(segment.links(row)?.count() as u64);
            }
        }
        if links != header.masked_links {
            self.damage(
                name,
                "header",
                0,
                format!("{links} masked links"),
                header.masked_links,
            );
        }
        for list in mask.lists()? {
            let (list, masked) = list?;
            let mut found = 0u32;
            for row in segment.list(list)?.iter_from(0) {
                found += u32::from(mask.state(row?)? != 0);
            }
            if found != masked {
                let expected = format!("{found} masked rows in list {list}");
                self.damage(name, "lists", 0, expected, masked);
                return Ok(());
            }
        }
        Ok(())
    }
}
