//! One node of the tree: its checks, and its entries.

use crate::car::Car;
use crate::cbor::{Item, Reader, malformed};
use crate::cid::{Cid, Codec};
use crate::error::{Found, RepoError};

use super::path::{PATH_MOST, is_path, layer};

/// What a node's block is needed as.
const ROLE: &str = "a node of the tree";

/// A node whose structure was checked.
#[derive(Debug)]
pub(super) struct Node<'a> {
    pub(super) cid: Cid,
    /// The node's layer.
    pub(super) layer: u32,
    /// What lies before the first entry.
    pub(super) left: Option<Cid>,
    /// The first key, and the last one.
    pub(super) ends: Option<(&'a [u8], Vec<u8>)>,
    count: usize,
    entries: Reader<'a>,
}

/// An entry, without its key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    /// The record.
    pub(super) value: Cid,
    /// What lies between this entry and the next one.
    pub(super) right: Option<Cid>,
}

/// The entries of a node, with the key of the last one that was given out.
#[derive(Debug)]
pub(super) struct Entries<'a> {
    node: Cid,
    reader: Reader<'a>,
    count: usize,
    next: usize,
    key: Vec<u8>,
    /// The first key's bytes, which stand whole in the node.
    first: &'a [u8],
}

impl<'a> Node<'a> {
    /// Reads the node of that name, which hangs below a node of layer `above`, or is the root.
    pub(super) fn open(car: &Car<'a>, cid: Cid, above: Option<u32>) -> Result<Self, RepoError> {
        if cid.codec() != Codec::DagCbor {
            return Err(RepoError::WrongCodec {
                block: cid,
                role: ROLE,
            });
        }
        let block = car.need(&cid, ROLE)?;
        Self::parse(cid, block, above)
    }

    fn parse(cid: Cid, block: &'a [u8], above: Option<u32>) -> Result<Self, RepoError> {
        let in_node = |error: RepoError| match error {
            // Says which node by itself.
            RepoError::Node { .. } => error,
            other => other.in_block(cid),
        };
        let mut reader = Reader::new(block);
        let count = head(&mut reader).map_err(in_node)?;
        let mut entries = Entries {
            node: cid,
            reader,
            count,
            next: 0,
            key: Vec::new(),
            first: &[],
        };
        let start = entries.reader;
        let mut on_layer = None;
        let mut has_right = false;
        while let Some(entry) = entries.next().map_err(in_node)? {
            has_right |= entry.right.is_some();
            let at = entries.next - 1;
            let text = std::str::from_utf8(&entries.key).unwrap_or_default();
            if !is_path(text) {
                let found = String::from_utf8_lossy(&entries.key).into_owned();
                return Err(fault(cid, at, "a path collection/rkey", found));
            }
            let layer = layer(&entries.key);
            if *on_layer.get_or_insert(layer) != layer {
                let found = format!("{text} of layer {layer}");
                return Err(fault(cid, at, "keys of one layer", found));
            }
        }
        let left = tail(&mut entries.reader).map_err(in_node)?;
        let whole = |expected, found| Err(fault(cid, count, expected, found));
        let layer = match (on_layer, above) {
            (Some(layer), None) => layer,
            (Some(layer), Some(above)) if layer.checked_add(1) == Some(above) => layer,
            (Some(layer), Some(above)) => {
                let found = format!("layer {layer} below layer {above}");
                return whole("the layer below the node above", found);
            }
            // The tree without records.
            (None, None) if left.is_none() => 0,
            (None, None) => return whole("a root with entries", "none".to_owned()),
            (None, Some(_)) if left.is_none() => {
                return whole("entries or a node below", "neither".to_owned());
            }
            (None, Some(above)) => above.saturating_sub(1),
        };
        if layer == 0 && (left.is_some() || has_right) {
            return whole("no node below layer 0", "a link to one".to_owned());
        }
        Ok(Self {
            cid,
            layer,
            left,
            ends: on_layer.map(|_| (entries.first, entries.key)),
            count,
            entries: start,
        })
    }

    /// The entries from the first.
    pub(super) const fn entries(&self) -> Entries<'a> {
        Entries {
            node: self.cid,
            reader: self.entries,
            count: self.count,
            next: 0,
            key: Vec::new(),
            first: &[],
        }
    }

    /// Checks that all keys lie between two others.
    pub(super) fn check_between(
        &self,
        low: Option<&[u8]>,
        high: Option<&[u8]>,
    ) -> Result<(), RepoError> {
        let Some((first, last)) = &self.ends else {
            return Ok(());
        };
        if low.is_some_and(|low| *first <= low) {
            return Err(self.out_of_order(0, first));
        }
        if high.is_some_and(|high| last.as_slice() >= high) {
            return Err(self.out_of_order(self.count.saturating_sub(1), last));
        }
        Ok(())
    }

    fn out_of_order(&self, entry: usize, key: &[u8]) -> RepoError {
        out_of_order(self.cid, entry, key)
    }
}

impl<'a> Entries<'a> {
    /// Reads the next entry; [`key`](Self::key) is its key then.
    pub(super) fn next(&mut self) -> Result<Option<Entry>, RepoError> {
        if self.next >= self.count {
            return Ok(None);
        }
        let at = self.next;
        let (node, reader) = (self.node, &mut self.reader);
        let start = reader.offset();
        let fields = reader.map()?;
        if fields != 4 {
            return Err(malformed(
                start,
                "a map of k, p, t and v",
                Found::Number(fields as u64),
            ));
        }
        reader.named("k")?;
        let start = reader.offset();
        let suffix = match reader.item()? {
            Item::Bytes(bytes) => bytes,
            other => return Err(malformed(start, "bytes", other.thing())),
        };
        reader.named("p")?;
        let start = reader.offset();
        let shared = match reader.item()? {
            Item::Integer(number) => usize::try_from(number)
                .map_err(|_| malformed(start, "a length", Found::Thing("a negative one")))?,
            other => return Err(malformed(start, "an integer", other.thing())),
        };
        reader.named("t")?;
        let right = reader.cid_or_null()?;
        reader.named("v")?;
        let value = reader.cid()?;

        if shared > self.key.len() {
            let found = format!("{shared} of {}", self.key.len());
            return Err(fault(node, at, "a prefix of the key before", found));
        }
        if shared + suffix.len() > PATH_MOST {
            let found = format!("{} bytes", shared + suffix.len());
            return Err(fault(node, at, "a path of at most 1024 bytes", found));
        }
        // The first byte that is not shared decides on the order, and that no more could be shared.
        match (self.key.get(shared), suffix.first()) {
            (None, Some(_)) => {}
            (Some(before), Some(here)) if before < here => {}
            (Some(before), Some(here)) if before == here => {
                let found = format!("{shared} bytes of more");
                return Err(fault(node, at, "the longest shared prefix", found));
            }
            _ => {
                self.key.truncate(shared);
                self.key.extend_from_slice(suffix);
                return Err(out_of_order(node, at, &self.key));
            }
        }
        self.key.truncate(shared);
        self.key.extend_from_slice(suffix);
        if at == 0 {
            self.first = suffix;
        }
        self.next += 1;
        Ok(Some(Entry { value, right }))
    }

    /// The key of the entry that was read last.
    pub(super) fn key(&self) -> &[u8] {
        &self.key
    }
}

/// Reads a node up to its first entry, and tells how many there are.
fn head(reader: &mut Reader<'_>) -> Result<usize, RepoError> {
    let fields = reader.map()?;
    if fields != 2 {
        return Err(malformed(
            0,
            "a map of e and l",
            Found::Number(fields as u64),
        ));
    }
    reader.named("e")?;
    reader.list()
}

/// Reads a node from behind its last entry.
fn tail(reader: &mut Reader<'_>) -> Result<Option<Cid>, RepoError> {
    reader.named("l")?;
    let left = reader.cid_or_null()?;
    reader.finish()?;
    Ok(left)
}

pub(super) fn out_of_order(node: Cid, entry: usize, key: &[u8]) -> RepoError {
    let found = String::from_utf8_lossy(key).into_owned();
    fault(node, entry, "keys in their order", found)
}

fn fault(node: Cid, entry: usize, expected: &'static str, found: String) -> RepoError {
    RepoError::Node {
        node,
        entry,
        expected,
        found,
    }
}
