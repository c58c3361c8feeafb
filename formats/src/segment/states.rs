//! States of actors, in blocks of 128 by rising actor; the actors are a monotone list of their own, and
//! the directory is a `u32` byte offset for each block. A block:
//!
//! ```text
//! u8    width of account seqs
//! u8    width of statuses
//! u8    width of times of deletion, 0 when there is none
//! u8    width of revisions
//! u40   least step of a revision other than 0
//! bits  revisions: 0 for none, else its step less the least, plus one
//! bits  one for each state with an account seq other than 0
//! bits  those account seqs
//! bits  statuses
//! bits  where that width is not 0, one for each state with a time of deletion other than 0, then those times
//! ```
//!
//! A revision is rounded up, see [`rev_bound`]: its step is its upper 33 bits.

use super::ActorState;
use super::rows::{BLOCK, offset_u32};
use crate::bits::{BitWriter, below, bitmap, read_bits, width_for};
use crate::bytes::put_u32;
use crate::chunks::Region;
use crate::monotone::{self, Monotone};
use crate::{Error, Result};

const HEAD: u64 = 9;
/// Bits of a revision that are not kept: a second and a bit of the time that it begins with.
const REV_BITS: u32 = 30;
/// The steps of revisions have so many bits.
const STEP_BITS: u32 = 63 - REV_BITS;

/// The revision that a segment keeps in the place of `last_rev`: the greatest one of the same step of 2^20
/// microseconds, so that no revision above it is one that was applied. 0, for none, stays.
///
/// A revision only ever proves an event new by being above it, and those between the two are decided by
/// what is known of their key, as older ones are.
#[must_use]
pub const fn rev_bound(last_rev: u64) -> u64 {
    match last_rev {
        0 => 0,
        rev => rev | ((1 << REV_BITS) - 1),
    }
}

/// The directory and the blocks of `states`.
pub(super) fn encode(states: &[ActorState]) -> Result<(Vec<u8>, Vec<u8>)> {
    let (mut directory, mut out) = (Vec::new(), Vec::new());
    for block in states.chunks(BLOCK as usize) {
        put_u32(
            &mut directory,
            offset_u32(out.len(), "bytes of states in a segment")?,
        );
        encode_block(block, &mut out)?;
    }
    Ok((directory, out))
}

/// Appends one block, of at most 128 states.
pub(super) fn encode_block(block: &[ActorState], out: &mut Vec<u8>) -> Result<()> {
    let steps = block.iter().map(|state| state.last_rev >> REV_BITS);
    if let Some(step) = steps.clone().find(|step| step >> STEP_BITS != 0) {
        return Err(Error::TooLarge {
            what: "a revision, as a number",
            found: step << REV_BITS,
            limit: u64::MAX >> 1,
        });
    }
    let known = steps.zip(block).filter(|(_, state)| state.last_rev != 0);
    let known = known.map(|(step, _)| step);
    let least = known.clone().min().unwrap_or(0);
    let rev_width = known.max().map_or(0, |most| width_for(most - least + 1));
    let mut bits = BitWriter::new();
    for state in block {
        let entry = match state.last_rev {
            0 => 0,
            rev => (rev >> REV_BITS) - least + 1,
        };
        bits.write(entry, rev_width);
    }
    let seqs = block.iter().map(|state| state.account_seq);
    let seq_width = width_for(seqs.max().unwrap_or(0));
    let statuses = block.iter().map(|state| state.status);
    let status_width = width_for(u64::from(statuses.max().unwrap_or(0)));
    for state in block {
        bits.write(u64::from(state.account_seq != 0), 1);
    }
    for state in block.iter().filter(|state| state.account_seq != 0) {
        bits.write(state.account_seq, seq_width);
    }
    for state in block {
        bits.write(u64::from(state.status), status_width);
    }
    let purges = block.iter().map(|state| state.purged_us);
    let purge_width = width_for(purges.max().unwrap_or(0));
    if purge_width > 0 {
        for state in block {
            bits.write(u64::from(state.purged_us != 0), 1);
        }
        for state in block.iter().filter(|state| state.purged_us != 0) {
            bits.write(state.purged_us, purge_width);
        }
    }
    out.extend_from_slice(&[
        seq_width as u8,
        status_width as u8,
        purge_width as u8,
        rev_width as u8,
    ]);
    out.extend(least.to_le_bytes().iter().take(5));
    out.extend_from_slice(&bits.finish());
    Ok(())
}

/// The states of a segment.
#[derive(Clone, Copy)]
pub(super) struct StateBlocks<'a> {
    pub(super) ids: Monotone<'a>,
    pub(super) directory: Region<'a>,
    pub(super) data: Region<'a>,
}

/// A block whose head was read.
#[derive(Clone, Copy)]
struct Block {
    /// Byte offset in the section.
    start: u64,
    count: u64,
    seq_width: u32,
    status_width: u32,
    purge_width: u32,
    rev_width: u32,
    least_step: u64,
}

impl Block {
    /// The bit where the revisions begin.
    const fn revs(&self) -> u64 {
        (self.start + HEAD) * 8
    }

    /// The bit behind them.
    fn seqs(&self) -> u64 {
        self.revs() + self.count * u64::from(self.rev_width)
    }
}

impl StateBlocks<'_> {
    /// The block of the state at `index`.
    fn block(&self, index: u32) -> Result<Block> {
        let start = u64::from(self.directory.u32_at(4 * u64::from(index / BLOCK))?);
        let head = self.data.array_at::<{ HEAD as usize }>(start)?;
        let [
            seq_width,
            status_width,
            purge_width,
            rev_width,
            l0,
            l1,
            l2,
            l3,
            l4,
        ] = head;
        if seq_width > 64 || status_width > 8 || purge_width > 64 || rev_width > 34 {
            let widths = [seq_width, status_width, purge_width, rev_width];
            let found = format!("{widths:?}");
            return Err(self.data.corrupt(start, "widths of states", found));
        }
        let first = index - index % BLOCK;
        Ok(Block {
            start,
            count: u64::from(self.ids.len().saturating_sub(first).min(BLOCK)),
            seq_width: seq_width.into(),
            status_width: status_width.into(),
            purge_width: purge_width.into(),
            rev_width: rev_width.into(),
            least_step: u64::from_le_bytes([l0, l1, l2, l3, l4, 0, 0, 0]),
        })
    }

    /// The block of the state at `index`, with the places of all that its states have.
    fn open(&self, index: u32) -> Result<OpenBlock> {
        let block = self.block(index)?;
        let seqs = self.sparse(block.seqs(), block.count, block.seq_width)?;
        let statuses = seqs.end();
        let purges = match block.purge_width {
            0 => None,
            width => {
                let at = statuses + block.count * u64::from(block.status_width);
                Some(self.sparse(at, block.count, width)?)
            }
        };
        Ok(OpenBlock {
            block,
            seqs,
            statuses,
            purges,
        })
    }

    /// The state at `index`, of the actor `id`.
    pub(super) fn read(&self, index: u32, id: u32) -> Result<ActorState> {
        self.read_in(&self.open(index)?, index, id)
    }

    /// The same, in its block.
    fn read_in(&self, open: &OpenBlock, index: u32, id: u32) -> Result<ActorState> {
        let OpenBlock {
            block,
            seqs,
            statuses,
            purges,
        } = open;
        let i = u64::from(index % BLOCK);
        let status_bit = statuses + i * u64::from(block.status_width);
        let status = read_bits(self.data, status_bit, block.status_width)?;
        let rev_bit = block.revs() + i * u64::from(block.rev_width);
        let last_rev = match read_bits(self.data, rev_bit, block.rev_width)? {
            0 => 0,
            entry => {
                let step = block.least_step + (entry - 1);
                if step >> STEP_BITS != 0 {
                    let expected = "a revision below 2^63";
                    return Err(self.data.corrupt(block.start, expected, step));
                }
                rev_bound((step << REV_BITS) | 1)
            }
        };
        Ok(ActorState {
            id,
            last_rev,
            account_seq: seqs.get(self.data, i)?,
            status: status as u8,
            purged_us: match purges {
                Some(purges) => purges.get(self.data, i)?,
                None => 0,
            },
        })
    }

    /// The `count` numbers of that width that begin at `bit`: a bit for each that is not 0, then those.
    fn sparse(&self, bit: u64, count: u64, width: u32) -> Result<Sparse> {
        Ok(Sparse {
            present: bitmap(self.data, bit, count)?,
            numbers: bit + count,
            width,
        })
    }
}

/// Numbers of the states of a block, most of them 0.
#[derive(Clone, Copy)]
struct Sparse {
    /// Which are not 0.
    present: u128,
    /// The bit where these begin, and their width.
    numbers: u64,
    width: u32,
}

impl Sparse {
    /// The bit behind all.
    fn end(&self) -> u64 {
        self.numbers + u64::from(self.present.count_ones()) * u64::from(self.width)
    }

    /// Number `i`.
    fn get(&self, data: Region<'_>, i: u64) -> Result<u64> {
        if self.present >> i & 1 == 0 {
            return Ok(0);
        }
        let before = u64::from((self.present & below(i)).count_ones());
        read_bits(
            data,
            self.numbers + before * u64::from(self.width),
            self.width,
        )
    }
}

/// A block, and where the columns behind its revisions are.
#[derive(Clone, Copy)]
struct OpenBlock {
    block: Block,
    seqs: Sparse,
    statuses: u64,
    purges: Option<Sparse>,
}

/// The states of a segment, by rising id. Ends after an error.
#[derive(Clone)]
pub struct States<'s> {
    blocks: StateBlocks<'s>,
    ids: monotone::Iter<'s>,
    index: u32,
    /// The block of the state to come, unless that is its first.
    open: Option<OpenBlock>,
}

impl<'s> States<'s> {
    pub(super) fn new(blocks: StateBlocks<'s>) -> Self {
        Self {
            blocks,
            ids: blocks.ids.iter_from(0),
            index: 0,
            open: None,
        }
    }

    fn read(&mut self, id: u32) -> Result<ActorState> {
        let open = match self.open {
            Some(open) if !self.index.is_multiple_of(BLOCK) => open,
            _ => self.blocks.open(self.index)?,
        };
        self.open = Some(open);
        self.blocks.read_in(&open, self.index, id)
    }
}

impl Iterator for States<'_> {
    type Item = Result<ActorState>;

    fn next(&mut self) -> Option<Self::Item> {
        let id = self.ids.next()?;
        let state = id.and_then(|id| self.read(id));
        self.index += 1;
        if state.is_err() {
            self.ids = self.blocks.ids.iter_from(u32::MAX);
        }
        Some(state)
    }
}

/// The states of accounts that an account event or the operator has said something of: with an account seq or a status
/// other than 0, by rising id. Ends after an error.
#[derive(Clone)]
pub struct AccountStates<'s> {
    blocks: StateBlocks<'s>,
    index: u32,
}

impl<'s> AccountStates<'s> {
    pub(super) const fn new(blocks: StateBlocks<'s>) -> Self {
        Self { blocks, index: 0 }
    }

    fn step(&mut self) -> Result<Option<ActorState>> {
        while self.index < self.blocks.ids.len() {
            let block = self.blocks.block(self.index)?;
            let bit = block.seqs() + u64::from(self.index % BLOCK);
            // No account seq has a bit where all are 0, and no status where all are.
            if block.seq_width == 0 && block.status_width == 0 {
                let next = (self.index - self.index % BLOCK).saturating_add(BLOCK);
                self.index = next;
                continue;
            }
            let index = self.index;
            self.index += 1;
            let has_seq = read_bits(self.blocks.data, bit, 1)? == 1;
            if has_seq || block.status_width > 0 {
                let id = self.blocks.ids.get(index)?;
                let state = self.blocks.read(index, id)?;
                if has_seq || state.status != 0 {
                    return Ok(Some(state));
                }
            }
        }
        Ok(None)
    }
}

impl Iterator for AccountStates<'_> {
    type Item = Result<ActorState>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step();
        if step.is_err() {
            self.index = u32::MAX;
        }
        step.transpose()
    }
}
