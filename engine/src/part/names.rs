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
    Sealed(Box<TargetsAt<'a>>, Vec<u32>),
    Memtable(&'a Memtable),
}

impl<'a> Part<'a> {
    /// Reads the targets of the links of many rows at `path`, in any order of rows, faster than one by one where they
    /// stand close together: what is in the vector gives way to the targets of the row, in the order of the record.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn target_reader<'p>(
        &self,
        path: &'p str,
    ) -> Result<impl FnMut(u32, &mut Vec<TargetId>) -> Result<()> + use<'a, 'p>> {
        let mut targets = match self.inner {
            Inner::Sealed { sealed, .. } => {
                Targets::Sealed(Box::new(sealed.segment.targets_at(path)?), Vec::new())
            }
            Inner::Memtable(memtable) => Targets::Memtable(memtable),
        };
        Ok(move |row, out: &mut Vec<TargetId>| {
            out.clear();
            match &mut targets {
                Targets::Sealed(reader, ids) => {
                    reader.get(row, ids)?;
                    out.extend(ids.iter().map(|id| TargetId(*id)));
                }
                Targets::Memtable(memtable) => {
                    let links = memtable.row_links(row);
                    let links = links.filter(|(source, ..)| memtable.source(*source).1 == path);
                    out.extend(links.map(|(_, target, _)| TargetId(target)));
                }
            }
            Ok(())
        })
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
