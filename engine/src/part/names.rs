//! Reading the names of many records, the DIDs of many accounts, and the targets of many rows.

use orrery_formats::segment::{DidNames, RowNames, TargetsAt};

use super::{Inner, Part, TargetId};
use crate::memtable::Memtable;
use crate::snapshot::Snapshot;
use crate::{ActorId, Result};

/// The name of the record of a row, but for the DID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowName {
    /// The author.
    pub actor: ActorId,
    /// The collection.
    pub collection: String,
    /// The record key.
    pub rkey: String,
}

enum Names<'a> {
    Sealed(Box<RowNames<'a>>),
    Memtable(&'a Memtable),
}

impl<'a> Part<'a> {
    /// Reads the names of the records of many rows, in any order, faster than one by one where they stand close
    /// together.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn name_reader(&self) -> Result<impl FnMut(u32) -> Result<RowName> + use<'a>> {
        let mut names = match self.inner {
            Inner::Sealed { sealed, .. } => Names::Sealed(Box::new(sealed.segment.row_names()?)),
            Inner::Memtable(memtable) => Names::Memtable(memtable),
        };
        Ok(move |row| {
            Ok(match &mut names {
                Names::Sealed(names) => {
                    let name = names.get(row)?;
                    RowName {
                        actor: name.actor,
                        collection: name.collection.to_owned(),
                        rkey: name.rkey.text().as_str().to_owned(),
                    }
                }
                Names::Memtable(memtable) => RowName {
                    actor: memtable.actor(row),
                    collection: memtable.collection(row).to_owned(),
                    rkey: memtable.rkey(row).text().as_str().to_owned(),
                },
            })
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
    /// Reads the DIDs of many accounts, faster than one by one.
    pub fn did_reader(&self) -> impl FnMut(ActorId) -> Result<String> {
        let generation = &self.generation;
        let mut homes: Vec<Option<DidNames<'_>>> = Vec::new();
        let firsts: Vec<ActorId> = generation
            .segments
            .iter()
            .map(|sealed| sealed.segment.info().actors_first_id)
            .collect();
        move |actor| {
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
                        return Ok(did.text().as_str().to_owned());
                    }
                }
            }
            generation.with_did(actor, str::to_owned)
        }
    }
}
