//! Actors: which blocks of rows are theirs, DIDs first seen in the segment's range, and states.
//!
//! The index of actors is three sections: the actors that have rows (monotone); for each, and once more
//! at the end, where its blocks begin among all (monotone); and the numbers of blocks of 1,024 rows,
//! rising for each actor, packed at the width of the last block's number.
//!
//! DIDs have 15 bytes each (`did:plc:`), zero for others, whose indexes are a monotone list parallel to
//! a table of strings (in the order of the indexes, not of bytes).
//!
//! States are a monotone list of actors, and blocks of 128:
//!
//! ```text
//! u32   bytes of the block, these included
//! u8    width of account seqs
//! u8    width of statuses
//! u16   byte offset in the block of the revisions
//! bits  one for each state with an account seq other than 0
//! bits  those account seqs
//! bits  statuses
//! keys  revisions, as a block of keys
//! ```

use super::keyblock::{self, PackedKey};
use super::rows::BLOCK;
use super::strings::Strings;
use super::{ActorState, DidRef};
use crate::bits::{BitWriter, read_bits, width_for};
use crate::bytes::{put_u16, put_u32};
use crate::chunks::Region;
use crate::monotone::Monotone;
use crate::{Error, Result};

/// Rows a block of the index of actors.
pub(super) const ACTOR_BLOCK: u32 = 1024;

/// The three sections of the index, from the actors of the rows in order.
pub(super) struct ActorIndex {
    pub(super) actors: Vec<u32>,
    pub(super) starts: Vec<u32>,
    pub(super) blocks: Vec<u8>,
}

pub(super) fn encode_index(actor_of_rows: impl Iterator<Item = u32>, rows: u32) -> ActorIndex {
    let mut pairs: Vec<u64> = Vec::with_capacity(rows as usize);
    pairs.extend(
        (0u32..)
            .zip(actor_of_rows)
            .map(|(row, actor)| u64::from(actor) << 32 | u64::from(row / ACTOR_BLOCK)),
    );
    pairs.sort_unstable();
    pairs.dedup();
    let width = block_width(rows);
    let (mut actors, mut starts) = (Vec::new(), Vec::new());
    let mut bits = BitWriter::new();
    for (at, pair) in (0u32..).zip(&pairs) {
        let actor = (pair >> 32) as u32;
        if actors.last() != Some(&actor) {
            actors.push(actor);
            starts.push(at);
        }
        bits.write(pair & u64::from(u32::MAX), width);
    }
    starts.push(pairs.len() as u32);
    ActorIndex {
        actors,
        starts,
        blocks: bits.finish(),
    }
}

/// Bits of a block's number.
pub(super) fn block_width(rows: u32) -> u32 {
    width_for(u64::from(rows.div_ceil(ACTOR_BLOCK).saturating_sub(1)))
}

pub(super) fn encode_states(states: &[ActorState]) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    let (mut keys, mut scratch) = (Vec::new(), Vec::new());
    for block in states.chunks(BLOCK as usize) {
        let start = out.len();
        let seqs = block.iter().map(|state| state.account_seq);
        let seq_width = width_for(seqs.max().unwrap_or(0));
        let status_width = width_for(u64::from(
            block.iter().map(|state| state.status).max().unwrap_or(0),
        ));
        let mut bits = BitWriter::new();
        for state in block {
            bits.write(u64::from(state.account_seq != 0), 1);
        }
        for state in block.iter().filter(|state| state.account_seq != 0) {
            bits.write(state.account_seq, seq_width);
        }
        for state in block {
            bits.write(u64::from(state.status), status_width);
        }
        let bits = bits.finish();
        put_u32(&mut out, 0);
        out.extend_from_slice(&[seq_width as u8, status_width as u8]);
        // 128 states of at most 73 bits: far below 2^16.
        put_u16(&mut out, STATE_HEAD as u16 + bits.len() as u16);
        out.extend_from_slice(&bits);
        keys.clear();
        for state in block {
            if state.last_rev >> 63 != 0 {
                return Err(Error::TooLarge {
                    what: "a revision, as a number",
                    found: state.last_rev,
                    limit: u64::MAX >> 1,
                });
            }
            keys.push(PackedKey::Tid(state.last_rev));
        }
        keyblock::encode(&keys, &mut scratch, &mut out);
        let len = (out.len() - start) as u32;
        if let Some(slot) = out.get_mut(start..start + 4) {
            slot.copy_from_slice(&len.to_le_bytes());
        }
    }
    Ok(out)
}

const STATE_HEAD: u64 = 8;

/// The states of a segment, by rising id.
#[derive(Clone)]
pub struct States<'a> {
    pub(super) ids: Monotone<'a>,
    pub(super) data: Region<'a>,
    pub(super) index: u32,
    /// Byte offset of the block of `index`.
    pub(super) start: u64,
    /// Account seqs other than 0 that came before in this block.
    pub(super) seqs_before: u64,
}

impl<'a> States<'a> {
    pub(super) const fn new(ids: Monotone<'a>, data: Region<'a>) -> Self {
        Self {
            ids,
            data,
            index: 0,
            start: 0,
            seqs_before: 0,
        }
    }

    fn read(&mut self, total: u32) -> Result<ActorState> {
        let i = u64::from(self.index % BLOCK);
        if i == 0 && self.index > 0 {
            let len = self.data.u32_at(self.start)?;
            self.start += u64::from(len);
            self.seqs_before = 0;
        }
        let first = self.index - self.index % BLOCK;
        let count = u64::from((total - first).min(BLOCK));
        let seq_width = u32::from(self.data.u8_at(self.start + 4)?);
        let status_width = u32::from(self.data.u8_at(self.start + 5)?);
        let keys = self.start + u64::from(self.data.u16_at(self.start + 6)?);
        if seq_width > 64 || status_width > 8 {
            return Err(self.data.corrupt(self.start, "widths of states", seq_width));
        }
        let bit = (self.start + STATE_HEAD) * 8;
        let low = read_bits(self.data, bit, count.min(64) as u32)?;
        let high = read_bits(self.data, bit + 64, count.saturating_sub(64) as u32)?;
        let with_seq = u64::from(low.count_ones() + high.count_ones());
        let has_seq = (u128::from(high) << 64 | u128::from(low)) >> i & 1 == 1;
        let seqs = bit + count;
        let account_seq = if has_seq {
            let at = seqs + self.seqs_before * u64::from(seq_width);
            self.seqs_before += 1;
            read_bits(self.data, at, seq_width)?
        } else {
            0
        };
        let statuses = seqs + with_seq * u64::from(seq_width);
        let status = read_bits(
            self.data,
            statuses + i * u64::from(status_width),
            status_width,
        )?;
        let PackedKey::Tid(last_rev) = keyblock::read(self.data, keys, count, i)? else {
            return Err(self.data.corrupt(keys, "a revision", "the id of a string"));
        };
        let id = self.ids.get(self.index)?;
        self.index += 1;
        Ok(ActorState {
            id,
            last_rev,
            account_seq,
            status: status as u8,
        })
    }
}

impl Iterator for States<'_> {
    type Item = Result<ActorState>;

    fn next(&mut self) -> Option<Self::Item> {
        let total = self.ids.len();
        if self.index >= total {
            return None;
        }
        let state = self.read(total);
        if state.is_err() {
            self.index = total;
        }
        Some(state)
    }
}

/// Where the DIDs of a segment stand.
pub(super) struct Dids<'a> {
    pub(super) plc: Region<'a>,
    pub(super) other_indexes: Monotone<'a>,
    pub(super) others: Strings<'a>,
}

impl<'a> Dids<'a> {
    /// The DID at `index` of those in the segment.
    pub(super) fn get(&self, index: u32) -> Result<DidRef<'a>> {
        let place = self.other_indexes.lower_bound(index)?;
        if place < self.other_indexes.len() && self.other_indexes.get(place)? == index {
            return Ok(DidRef::Str(self.others.get(place)?));
        }
        Ok(DidRef::Plc(self.plc.array_at(u64::from(index) * 15)?))
    }
}
