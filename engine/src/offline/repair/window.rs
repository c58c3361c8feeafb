//! Damage of the log. Of events that are in segments, only the window is shorter: damaged files are taken out of it.
//! What is not sealed yet is left to the next start of the store, which names what is lost and asks the source again.

use std::collections::BTreeMap;

use orrery_formats::manifest::Edit;

use super::find::Found;
use super::{DamagedLog, Outcome, Repair};
use crate::Result;
use crate::log::{keys_name, log_name};
use crate::offline::verify::Damage;
use crate::offline::{Directory, copy};
use crate::store::LOG;

impl Repair<'_> {
    /// Takes damaged log files out of the window.
    pub(super) fn logs(&mut self, found: &Found) -> Result<()> {
        if found.logs.is_empty() {
            return Ok(());
        }
        let directory = Directory::open_locked(&self.fs, &self.dir)?;
        let sealed_through = directory.state().sealed_through;
        let files = directory.log_files();
        let mut floor = directory.state().log_floor;
        let mut put_away = Vec::new();
        for (name, damage) in by_file(&found.logs) {
            let Some(place) = files.iter().position(|file| file.name == name) else {
                // Files at the beginning are missing.
                let first = files.first().map(|file| file.first_seq);
                let first = first.unwrap_or_else(|| sealed_through.saturating_add(1));
                floor = floor.max(first);
                let last_seq = first.saturating_sub(1);
                self.tell(damage, (1, last_seq), &directory);
                continue;
            };
            let next = files.get(place + 1);
            if next.is_none() && is_tail(damage, found, name) {
                self.report.notes.push(format!(
                    "log/{name}: the end is torn, as a crash leaves it; the next start cuts it off"
                ));
                continue;
            }
            let misses_before = is_missing(damage);
            let first_seq = files.get(place).map_or(1, |file| file.first_seq);
            let last_seq = match (misses_before, next) {
                (true, _) => first_seq.saturating_sub(1),
                (false, Some(next)) => next.first_seq.saturating_sub(1),
                (false, None) => found
                    .log_ends
                    .get(name)
                    .map_or(0, |(last_seq, _)| *last_seq),
            };
            let is_unsealed = last_seq > sealed_through;
            if !is_unsealed {
                floor = floor.max(last_seq.saturating_add(1));
                if !misses_before {
                    put_away.push(name.to_owned());
                }
            }
            let begin = if misses_before {
                let before = place.checked_sub(1).and_then(|before| files.get(before));
                before.map_or(1, |before| before.first_seq)
            } else {
                first_seq
            };
            self.tell(damage, (begin, last_seq), &directory);
        }
        if self.options.dry_run {
            return Ok(());
        }
        if floor > directory.state().log_floor {
            self.manifest()?.append(&Edit {
                log_floor: Some(floor),
                window_complete: Some(false),
                ..Edit::default()
            })?;
        }
        for name in put_away {
            self.keep_damaged(LOG, &name)?;
        }
        // As a trim does: what is left below the floor, and indexes of files that are gone.
        for (place, file) in files.iter().enumerate() {
            // The last file goes on behind what is sealed.
            let next = files.get(place + 1).map(|next| next.first_seq);
            if next.is_some_and(|next| next <= floor) {
                for name in [log_name(file.first_seq), keys_name(file.first_seq)] {
                    copy::remove_if_there(&*self.fs, &self.dir.join(LOG).join(name))?;
                }
            }
        }
        self.sync_dir(LOG)
    }

    /// Tells of damage of the log where seqs of a range stood.
    fn tell(&mut self, damage: &Damage, (first, last): (u64, u64), directory: &Directory) {
        let state = directory.state();
        let is_unsealed = last > state.sealed_through;
        let is_hit = |from: u64, to: u64| first <= to && from <= last;
        let mut gaps = state.gaps.iter();
        let mut segments = self.report.segments.iter();
        let is_lost = gaps.any(|gap| is_hit(gap.first_seq, gap.last_seq.unwrap_or(u64::MAX)))
            || segments.any(|segment| {
                segment.outcome == Outcome::Lost && is_hit(segment.first_seq, segment.last_seq)
            });
        self.report.logs.push(DamagedLog {
            file: damage.file.clone(),
            offset: damage.offset,
            why: damage.to_string(),
            is_unsealed,
            is_lost,
        });
    }
}

/// The first damage of each file; of a file that only follows missing ones, that.
fn by_file(damages: &[Damage]) -> BTreeMap<&str, &Damage> {
    let mut first: BTreeMap<&str, &Damage> = BTreeMap::new();
    for damage in damages {
        let name = damage.file.split_once('/').map_or("", |(_, name)| name);
        let known = first.entry(name).or_insert(damage);
        if is_missing(known) {
            *known = damage;
        }
    }
    first
}

/// Whether the damage is that events before the file are not there, and the file itself is sound.
fn is_missing(damage: &Damage) -> bool {
    damage.section == "file" && damage.expected.starts_with("seq ")
}

/// Whether the damage stands behind the last sound frame of the last file.
fn is_tail(damage: &Damage, found: &Found, name: &str) -> bool {
    let end = found.log_ends.get(name);
    end.is_none_or(|(_, offset)| damage.offset > *offset)
}
