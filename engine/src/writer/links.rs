//! The links of a record on their way into the memtable: read from its body, turned into ids, and compared
//! with those of an indexed row.

use std::sync::Arc;

use orrery_formats::event::{Encoding, Operation, Record};
use orrery_formats::segment::{TargetKey, Text};

use super::{Place, Writer};
use crate::Result;
use crate::actors::{ActorId, TargetForm, target_form};

/// What a link leads to: what [`target_form`] found, with the ids that DIDs had when the event came.
#[derive(Debug, Clone, Copy)]
pub(super) enum LinkForm {
    Did(Option<ActorId>),
    Record {
        actor: Option<ActorId>,
        did_len: usize,
        collection_len: usize,
    },
    Other,
}

impl LinkForm {
    /// Whether it names an account that has no id.
    pub(super) const fn is_of_unknown(&self) -> bool {
        matches!(self, Self::Did(None) | Self::Record { actor: None, .. })
    }
}

/// The bytes before the DID of a record's address.
const SCHEME_LEN: usize = "at://".len();

/// DID, collection and key of a record's address.
fn record_parts(target: &str, did_len: usize, collection_len: usize) -> (&str, &str, &str) {
    let part = |start: usize, end: usize| target.get(start..end).unwrap_or_default();
    let did_end = SCHEME_LEN + did_len;
    let collection_end = did_end + 1 + collection_len;
    (
        part(SCHEME_LEN, did_end),
        part(did_end + 1, collection_end),
        part(collection_end + 1, target.len()),
    )
}

impl Writer {
    /// Reads the record's links into `text` and `spans`. The outer error tells why it can't be read.
    pub(super) fn read_links(&mut self, operation: &Operation<'_>) -> Result<bool, String> {
        self.text.clear();
        self.spans.clear();
        let (Operation::Create(record) | Operation::Update(record)) = operation else {
            return Ok(false);
        };
        let Record {
            encoding: Encoding::Json,
            body,
            ..
        } = record
        else {
            return Err("records in DAG-CBOR are not read yet".to_owned());
        };
        let extraction = self
            .extractor
            .extract_json(body)
            .map_err(|error| error.to_string())?;
        for link in extraction.links() {
            self.text.push_str(link.path);
            let path_end = self.text.len();
            self.text.push_str(link.target);
            self.spans.push((path_end, self.text.len()));
        }
        Ok(extraction.truncated().is_some())
    }

    /// Looks up what the links in `spans` lead to. Nothing gets an id.
    pub(super) fn read_forms(&mut self) -> Result<()> {
        self.forms.clear();
        for (path_end, target_end) in &self.spans {
            let target = self.text.get(*path_end..*target_end).unwrap_or_default();
            let form = match target_form(target) {
                TargetForm::Did(did) => LinkForm::Did(self.generation.find_actor(did)?),
                TargetForm::Other(_) => LinkForm::Other,
                TargetForm::Record {
                    did, collection, ..
                } => LinkForm::Record {
                    actor: self.generation.find_actor(did)?,
                    did_len: did.len(),
                    collection_len: collection.len(),
                },
            };
            self.forms.push(form);
        }
        Ok(())
    }

    /// Turns what `read_links` and `read_forms` found into `links`: ids in this memtable, each pair once, ordered by
    /// path and, at one path, as in the record. Gives the id of the collection.
    pub(super) fn resolve_links(&mut self, collection: &str) -> u32 {
        let generation = Arc::clone(&self.generation);
        let memtable = &generation.memtable;
        let collection = memtable.collections.intern(collection);
        self.unmeasured_bytes += self.text.len() + self.spans.len() * 64;
        self.links.clear();
        let mut start = 0;
        for ((path_end, target_end), form) in self.spans.iter().zip(&self.forms) {
            let path = self.text.get(start..*path_end).unwrap_or_default();
            let target = self.text.get(*path_end..*target_end).unwrap_or_default();
            start = *target_end;
            let source = memtable.intern_source(collection, path);
            let target = match *form {
                LinkForm::Did(known) => {
                    memtable.intern_target(&TargetKey::Did(self.intern_actor(known, target)))
                }
                LinkForm::Other => memtable.intern_target(&TargetKey::Other(target)),
                LinkForm::Record {
                    actor,
                    did_len,
                    collection_len,
                } => {
                    let (did, collection, rkey) = record_parts(target, did_len, collection_len);
                    memtable.intern_target(&TargetKey::Record {
                        actor: self.intern_actor(actor, did),
                        collection,
                        rkey,
                    })
                }
            };
            self.links.push((source, target));
        }
        if self.links.len() > 1 {
            let path = |source: u32| memtable.source(source).1;
            self.links.sort_by(|(a, _), (b, _)| {
                if a == b {
                    std::cmp::Ordering::Equal
                } else {
                    path(*a).cmp(path(*b))
                }
            });
            keep_first_of_each(&mut self.links);
        }
        collection
    }

    /// Whether the row at `place` has exactly the links in `links`.
    pub(super) fn has_these_links(&self, place: Place) -> Result<bool> {
        let memtable = self.memtable();
        let mut known: Vec<(u32, u32)> = Vec::with_capacity(self.links.len());
        match place {
            Place::Memtable(row) => known.extend(
                memtable
                    .row_links(row)
                    .map(|(source, target, _)| (source, target)),
            ),
            Place::Sealed { part, row } => {
                let segment = self.segment(part)?;
                let collection = segment.collection(row)?;
                for link in segment.links(row)? {
                    let link = link?;
                    let mut text = Text::default();
                    let target = memtable.find_target(&segment.target(link.target)?.key(&mut text));
                    let source = memtable.find_source(collection, segment.path(link.path)?);
                    // What this memtable has no id for cannot be among the new links.
                    let (Some(source), Some(target)) = (source, target) else {
                        return Ok(false);
                    };
                    known.push((source, target));
                }
            }
        }
        let mut new = self.links.clone();
        new.sort_unstable();
        known.sort_unstable();
        Ok(new == known)
    }
}

/// Drops repeats of a pair, keeping the order of first occurrences.
fn keep_first_of_each(links: &mut Vec<(u32, u32)>) {
    /// Above this, looking through what was kept costs more than a set.
    const FEW: usize = 16;
    if links.len() <= FEW {
        let mut kept = 0;
        for i in 0..links.len() {
            let Some(link) = links.get(i).copied() else {
                break;
            };
            if !links.iter().take(kept).any(|known| *known == link) {
                links.swap(kept, i);
                kept += 1;
            }
        }
        links.truncate(kept);
    } else {
        let mut seen = std::collections::HashSet::with_capacity(links.len());
        links.retain(|link| seen.insert(*link));
    }
}
