//! The end of a backup: its catalog, with the exclude list, and what is removed behind it.

use orrery_formats::backup::Catalog;
use orrery_formats::event::Body;
use orrery_formats::manifest::State;

use super::{BackupReport, Directory, Run, Span, catalog, copy, found};
use crate::exclusions::{joined, read_file};
use crate::io::fs::write_sealed;
use crate::lock::LOCK_NAME;
use crate::log::parse_name;
use crate::store::{LOG, SEGMENTS};
use crate::{Error, Result};

impl Run {
    /// Writes the catalog, then removes what it does not need.
    pub(super) fn finish(mut self, state: State) -> Result<BackupReport> {
        let gaps = state.gaps.iter().filter(|gap| !gap.is_accepted());
        self.report.incomplete.extend(gaps.map(|gap| {
            let last = gap
                .last_seq
                .map_or_else(|| "the end".to_owned(), |last| last.to_string());
            format!("seq {} to {last}, which the log lost", gap.first_seq)
        }));
        let segments: Vec<String> = state
            .segments
            .iter()
            .map(|entry| {
                let name = crate::store::segment_name(entry.first_seq, entry.last_seq, entry.id);
                format!("{SEGMENTS}/{name}")
            })
            .collect();
        // Attempts that came to nothing may have copied more.
        self.done.retain(|name, file| {
            segments.binary_search(name).is_ok()
                || parse_name(name.strip_prefix("log/").unwrap_or_default(), "log")
                    .is_some_and(|first| first >= state.log_floor && file.bytes > 0)
        });
        for dir in [SEGMENTS, LOG] {
            let dir = self.to.join(dir);
            self.fs
                .sync_dir(&dir)
                .map_err(Error::io("sync directory", &dir))?;
        }
        let excluded_after = read_file(&*self.fs, &self.from)?;
        let added = match excluded_after {
            Some(_) => self.excluded_meanwhile(),
            // There never was one.
            None => Vec::new(),
        };
        let catalog = Catalog {
            state,
            files: self.done.values().cloned().collect(),
            exclusions: joined(self.excluded_before.take(), excluded_after, added)?,
        };
        let name = catalog::name(self.report.number);
        write_sealed(&*self.fs, &self.to, &name, &catalog.encode()?)?;
        self.clean()?;
        Ok(self.report)
    }

    /// The accounts that the log tells to be excluded, with the times, since the list was read first. The copied log may end
    /// between that and their removal. Where the log cannot tell, the backup is good all the same, and a note says what may be missing.
    fn excluded_meanwhile(&mut self) -> Vec<(Box<str>, u64)> {
        let from_seq = self.sealed_before.saturating_add(1);
        let mut found = Vec::new();
        let why = match self.each_exclusion_since(from_seq, &mut found) {
            Ok(first_seq) if first_seq <= from_seq => None,
            Ok(first_seq) => Some(format!("the log begins with seq {first_seq}")),
            Err(error) => Some(error.to_string()),
        };
        if let Some(why) = why {
            self.report.notes.push(format!(
                "accounts that were excluded and removed again behind seq {}, while this backup was made, may be excluded in what is restored: {why}",
                self.sealed_before
            ));
        }
        found
    }

    /// Gives the first seq of the log, or the one behind its end.
    fn each_exclusion_since(&self, from_seq: u64, found: &mut Vec<(Box<str>, u64)>) -> Result<u64> {
        let source = Directory::open_with_fs(std::sync::Arc::clone(&self.fs), &self.from)?;
        let first_seq = source.logs.first().map_or(from_seq, |file| file.first_seq);
        let span = Span {
            from_seq,
            ..Span::ALL
        };
        source.each_event::<Error>(&span, &mut |_| {}, &mut |_, event| {
            if let Body::Exclusion { excluded: true } = event.body {
                found.push((event.did.into(), event.time_us));
            }
            Ok(())
        })?;
        Ok(first_seq)
    }

    fn clean(&mut self) -> Result<()> {
        for entry in self
            .fs
            .list(&self.to)
            .map_err(Error::io("list", &self.to))?
        {
            if entry.name != LOCK_NAME && entry.name != catalog::name(self.report.number) {
                copy::remove_if_there(&*self.fs, &self.to.join(&entry.name))?;
            }
        }
        self.fs
            .sync_dir(&self.to)
            .map_err(Error::io("sync directory", &self.to))?;
        for dir in [SEGMENTS, LOG] {
            for file in found(&*self.fs, &self.to.join(dir), |_| Some(0))? {
                let name = format!("{dir}/{}", file.name);
                if !self.done.contains_key(&name) {
                    copy::remove_if_there(&*self.fs, &self.to.join(&name))?;
                    self.report.files_removed += 1;
                }
            }
        }
        Ok(())
    }
}
