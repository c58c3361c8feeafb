//! Reading the names of many records, the DIDs of many accounts, and the targets of many rows.

use orrery_formats::segment::{DidNames, RowNames, TargetsAt};

use super::{Inner, Part, TargetId};
use crate::memtable::Memtable;
use crate::snapshot::Snapshot;
use crate::{ActorId, Result};

/// What is called with the name of the record of a row: author, collection, record key.
pub type EachName<'e> = &'e mut dyn FnMut(ActorId, &str, &str);

enum Names<'a> {
    Sealed(Box<RowNames<'a>>),
    Memtable(&'a Memtable),
}

impl<'a> Part<'a> {
    /// Reads the names of the records of many rows, in any order, faster than one by one where they stand close
    /// together. What it is given is called once for each row.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn name_reader(&self) -> Result<impl FnMut(u32, EachName<'_>) -> Result<()> + use<'a>> {
        let mut names = match self.inner {
            Inner::Sealed { sealed, .. } => Names::Sealed(Box::new(sealed.segment.row_names()?)),
            Inner::Memtable(memtable) => Names::Memtable(memtable),
        };
        Ok(move |row, each: EachName<'_>| {
            match &mut names {
                Names::Sealed(names) => {
                    let name = names.get(row)?;
                    each(name.actor, name.collection, name.rkey.text().as_str());
                }
                Names::Memtable(memtable) => each(
                    memtable.actor(row),
                    memtable.collection(row),
                    memtable.rkey(row).text().as_str(),
                ),
            }
            Ok(())
        })
    }
}

enum Targets<'a> {
    Sealed(Box<TargetsAt<'a>>),
    Memtable(&'a Memtable),
}

/// Reads the targets of the links of many rows at one path, in any order of rows, faster than one by one where they
/// stand close together.
pub struct TargetBlocks<'a, 'p> {
    targets: Targets<'a>,
    path: &'p str,
}

impl TargetBlocks<'_, '_> {
    /// Calls `each` with the links of those of `rows` (at most 128) whose bits are set in `wanted`: the place of the row
    /// among them, the link's place among those of the row at the path, and the target; in the order of rows and of their
    /// records.
    ///
    /// # Errors
    /// When the index cannot be read.
    #[inline]
    pub fn each(
        &mut self,
        rows: &[u32],
        wanted: u128,
        mut each: impl FnMut(u32, u32, TargetId),
    ) -> Result<()> {
        match &mut self.targets {
            Targets::Sealed(reader) => {
                let each = |place, link, target| each(place, link, TargetId(target));
                Ok(reader.each(rows, wanted, each)?)
            }
            Targets::Memtable(memtable) => {
                for (place, row) in (0..u128::BITS).zip(rows) {
                    if wanted >> place & 1 == 0 {
                        continue;
                    }
                    let links = memtable.row_links(*row);
                    let links =
                        links.filter(|(source, ..)| memtable.source(*source).1 == self.path);
                    for (link, (_, target, _)) in (0..).zip(links) {
                        each(place, link, TargetId(target));
                    }
                }
                Ok(())
            }
        }
    }
}

impl<'a> Part<'a> {
    /// Reads the targets of the links of many rows at `path`.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn target_blocks<'p>(&self, path: &'p str) -> Result<TargetBlocks<'a, 'p>> {
        let targets = match self.inner {
            Inner::Sealed { sealed, .. } => {
                Targets::Sealed(Box::new(sealed.segment.targets_at(path)?))
            }
            Inner::Memtable(memtable) => Targets::Memtable(memtable),
        };
        Ok(TargetBlocks { targets, path })
    }
}

impl Snapshot {
    /// Reads the DIDs of many accounts, faster than one by one: each goes to the end of the string.
    pub fn did_reader(&self) -> impl FnMut(ActorId, &mut String) -> Result<()> {
        let generation = &self.generation;
        let mut homes: Vec<Option<DidNames<'_>>> = Vec::new();
        let firsts: Vec<ActorId> = generation
            .segments
            .iter()
            .map(|sealed| sealed.segment.info().actors_first_id)
            .collect();
        move |actor, out| {
            // As `Generation::home`.
            let home = firsts
                .partition_point(|first| *first <= actor)
                .checked_sub(1);
            let sealed = home.and_then(|home| generation.segments.get(home));
            if let (Some(home), Some(sealed)) = (home, sealed)
                && actor < generation.memtable.first_actor
                && sealed.degraded.is_none()
            {
                if homes.is_empty() {
                    homes.resize_with(firsts.len(), || None);
                }
                if let Some(names) = homes.get_mut(home) {
                    let names = match names {
                        Some(names) => names,
                        none => none.insert(sealed.segment.did_names()?),
                    };
                    if let Some(did) = names.get(actor)? {
                        out.push_str(did.text().as_str());
                        return Ok(());
                    }
                }
            }
            generation.with_did(actor, |did| out.push_str(did))
        }
    }
}
