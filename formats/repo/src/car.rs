//! CAR files of version 1: blocks one behind the other, each behind its CID.

use std::collections::HashMap;

use crate::cbor::{Item, Reader};
use crate::cid::{CID_BYTES, Cid, varint};
use crate::error::{Form, Found, RepoError};

/// Longest header in bytes: room for some roots, of which one counts.
const HEADER_MOST: u64 = 4096;

/// How much a CAR may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CarLimits {
    /// Most bytes of the whole file.
    pub most_bytes: u64,
    /// Most bytes of one block.
    pub most_block_bytes: u64,
    /// Most blocks, duplicates included.
    pub most_blocks: u64,
}

impl CarLimits {
    /// For the proof of one record: a commit, the nodes of one path and a record.
    pub const PROOF: Self = Self {
        most_bytes: 4 << 20,
        most_block_bytes: 2 << 20,
        most_blocks: 4096,
    };
    /// For a whole repository.
    pub const EXPORT: Self = Self {
        most_bytes: 1 << 30,
        most_block_bytes: 2 << 20,
        most_blocks: 8 << 20,
    };
}

/// The blocks of a CAR, borrowed from its bytes. Every block here has the hash that its CID states.
#[derive(Debug, Clone)]
pub struct Car<'a> {
    roots: Vec<Cid>,
    blocks: HashMap<Cid, &'a [u8]>,
}

impl<'a> Car<'a> {
    /// Reads a CAR whole. Blocks that stand twice are taken once; blocks that nothing links to are taken.
    ///
    /// # Errors
    /// The bytes are no CAR of version 1, hold more than `limits`, or hold a block whose CID is not of its
    /// bytes or of a kind that repositories do not have.
    pub fn read(bytes: &'a [u8], limits: &CarLimits) -> Result<Self, RepoError> {
        limit("CAR in bytes", bytes.len() as u64, limits.most_bytes)?;
        let mut source = Source { bytes, at: 0 };
        let roots = source.header()?;
        let mut blocks = HashMap::new();
        let mut count = 0;
        while source.at < bytes.len() {
            count += 1;
            limit("number of blocks", count, limits.most_blocks)?;
            let (cid, block) = source.block(limits)?;
            blocks.insert(cid, block);
        }
        Ok(Self { roots, blocks })
    }

    /// The roots in the header.
    #[must_use]
    pub fn roots(&self) -> &[Cid] {
        &self.roots
    }

    /// The first root: the commit of a repository. Others that may follow it mean nothing.
    ///
    /// # Errors
    /// [`RepoError::NoRoot`] if there is none.
    pub fn root(&self) -> Result<Cid, RepoError> {
        self.roots.first().copied().ok_or(RepoError::NoRoot)
    }

    /// The bytes of a block.
    #[must_use]
    pub fn block(&self, cid: &Cid) -> Option<&'a [u8]> {
        self.blocks.get(cid).copied()
    }

    /// The bytes of a block that must be there.
    pub(crate) fn need(&self, cid: &Cid, role: &'static str) -> Result<&'a [u8], RepoError> {
        self.block(cid)
            .ok_or(RepoError::MissingBlock { block: *cid, role })
    }

    /// Number of different blocks.
    #[must_use]
    pub fn len(&self) -> usize {
        self.blocks.len()
    }

    /// True if there is no block.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// All blocks, in no order.
    pub fn blocks(&self) -> impl Iterator<Item = (Cid, &'a [u8])> + '_ {
        self.blocks.iter().map(|(cid, block)| (*cid, *block))
    }
}

struct Source<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Source<'a> {
    fn header(&mut self) -> Result<Vec<Cid>, RepoError> {
        let (start, header) = self.section("header in bytes", HEADER_MOST)?;
        let mut reader = Reader::new(header);
        roots(&mut reader).map_err(|error| within(error, start))
    }

    fn block(&mut self, limits: &CarLimits) -> Result<(Cid, &'a [u8]), RepoError> {
        let most = limits.most_block_bytes.saturating_add(CID_BYTES as u64);
        let (start, section) = self.section("block with its CID in bytes", most)?;
        let expected = Cid::read(section).map_err(|error| within(error, start))?;
        let block = section.get(CID_BYTES..).unwrap_or_default();
        let found = Cid::of(expected.codec(), block);
        if found != expected {
            return Err(RepoError::BlockHash {
                offset: start + CID_BYTES,
                expected,
                found,
            });
        }
        Ok((expected, block))
    }

    /// The bytes behind a length, and where they begin.
    fn section(&mut self, what: &'static str, most: u64) -> Result<(usize, &'a [u8]), RepoError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let (len, len_bytes) = varint(rest).ok_or(malformed(
            self.at,
            "a length as shortest varint",
            Found::at(self.bytes, self.at),
        ))?;
        limit(what, len, most)?;
        let start = self.at + len_bytes;
        let section = usize::try_from(len)
            .ok()
            .and_then(|len| rest.get(len_bytes..)?.get(..len));
        let section = section.ok_or(malformed(
            self.bytes.len(),
            "as many bytes as stated",
            Found::End,
        ))?;
        self.at = start + section.len();
        Ok((start, section))
    }
}

/// Reads `{roots: [link, …], version: 1}`.
fn roots(reader: &mut Reader<'_>) -> Result<Vec<Cid>, RepoError> {
    let count = reader.map()?;
    if count != 2 {
        return Err(malformed(
            0,
            "a map of roots and version",
            Found::Number(count as u64),
        ));
    }
    reader.named("roots")?;
    let mut roots = Vec::new();
    for _ in 0..reader.list()? {
        roots.push(reader.cid()?);
    }
    reader.named("version")?;
    let at = reader.offset();
    match reader.item()? {
        Item::Integer(1) => {}
        other => return Err(malformed(at, "version 1", other.thing())),
    }
    reader.finish()?;
    Ok(roots)
}

/// Counts an error's offset from the beginning of the CAR.
fn within(error: RepoError, start: usize) -> RepoError {
    match error {
        RepoError::Malformed {
            offset,
            expected,
            found,
            ..
        } => malformed(start + offset, expected, found),
        other => other,
    }
}

fn limit(what: &'static str, found: u64, most: u64) -> Result<(), RepoError> {
    if found > most {
        return Err(RepoError::TooLarge { what, found, most });
    }
    Ok(())
}

const fn malformed(offset: usize, expected: &'static str, found: Found) -> RepoError {
    RepoError::Malformed {
        form: Form::Car,
        offset,
        expected,
        found,
    }
}
