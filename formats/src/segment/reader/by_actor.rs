//! The rows of an actor, and those of one key.

use std::ops::Range;

use super::{ActorRows, Segment};
use crate::Result;
use crate::monotone::Monotone;
use crate::segment::actors::{ACTOR_BLOCK, ActorIndex, BlockNumbers};
use crate::segment::hash;
use crate::segment::key_ranges::{FEW, FarKeys, GROUP, KEY_BLOCK, KeyRanges, far_hash};
use crate::segment::keyblock::PackedKey;
use crate::segment::layout::Section;
use crate::segment::rows::BLOCK;
use crate::segment::value::{RecordKey, tid};

/// Blocks with a range of keys in a block of actors.
const RANGES: u32 = ACTOR_BLOCK / KEY_BLOCK;
const _: () = assert!(RANGES * KEY_BLOCK == ACTOR_BLOCK && GROUP.is_multiple_of(RANGES));
/// Actors with fewer blocks than one for so many groups are looked up block by block.
const GROUPS_A_BLOCK: u32 = 8;

/// A key that segments are asked for, with what they are asked by, worked out once for all of them.
#[derive(Debug, Clone, Copy)]
pub struct KeyProbe<'k> {
    actor: u32,
    collection: &'k str,
    rkey: &'k str,
    tid: Option<u64>,
    stray: u64,
}

impl<'k> KeyProbe<'k> {
    /// The key `rkey` of an actor's records of `collection`.
    #[must_use]
    pub fn new(actor: u32, collection: &'k str, rkey: &'k str) -> Self {
        Self {
            actor,
            collection,
            rkey,
            tid: tid(rkey),
            stray: hash::stray(actor, collection, rkey),
        }
    }

    fn key(&self) -> RecordKey<'k> {
        self.tid.map_or(RecordKey::Str(self.rkey), RecordKey::Tid)
    }
}

impl Segment {
    pub(in crate::segment) fn key_ranges(&self) -> Result<KeyRanges<'_>> {
        KeyRanges::open(self.section(Section::KeyRanges)?, self.info.rows)
    }

    pub(in crate::segment) fn far_keys(&self) -> Result<FarKeys<'_>> {
        Ok(FarKeys::new(
            self.far_key_hashes()?,
            self.section(Section::FarKeyBlocks)?,
            self.info.rows,
        ))
    }

    pub(in crate::segment) fn actor_index(&self) -> Result<ActorIndex<'_>> {
        Ok(ActorIndex {
            actors: Monotone::open(self.section(Section::RowActors)?)?,
            starts: Monotone::open(self.section(Section::RowActorStarts)?)?,
            directory: self.section(Section::RowActorDirectory)?,
            numbers: self.section(Section::RowActorBlocks)?,
            rows: self.info.rows,
        })
    }

    /// The rows by `actor`, rising.
    ///
    /// # Errors
    /// See [`Segment`].
    pub fn actor_rows(&self, actor: u32) -> Result<ActorRows<'_>> {
        self.actor_rows_from(actor, 0)
    }

    /// The rows by `actor` from the row `from` on, rising; none where there is no such row.
    ///
    /// # Errors
    /// See [`Segment`].
    pub fn actor_rows_from(&self, actor: u32, from: u32) -> Result<ActorRows<'_>> {
        let mut blocks = self.actor_index()?.blocks_of(actor)?;
        if from > 0 {
            blocks.skip_to(from / ACTOR_BLOCK)?;
        }
        Ok(ActorRows {
            rows: self.rows()?,
            actor,
            from,
            blocks,
            small: 0,
            small_end: 0,
            found: 0,
            first: 0,
        })
    }

    /// Whether a row may have that key: whether the key is a TID inside the segment's window of keys, or
    /// the filter of stray keys holds it. `false` is certain. O(1).
    ///
    /// # Errors
    /// See [`Segment`].
    pub fn may_hold_key(&self, actor: u32, collection: &str, rkey: &str) -> Result<bool> {
        self.may_hold(&KeyProbe::new(actor, collection, rkey))
    }

    /// The same for a key that many segments are asked for.
    ///
    /// # Errors
    /// See [`Segment`].
    #[inline]
    pub fn may_hold(&self, key: &KeyProbe<'_>) -> Result<bool> {
        if key.tid.is_some_and(|tid| self.info.window_holds(tid)) {
            return Ok(true);
        }
        self.may_be_stray(key.stray)
    }

    /// Calls `found` with each row of that key, rising. Cost: the blocks of 1,024 rows whose range of times covers
    /// the key, where these are few; else, of the blocks in which the actor has any, those whose range does. They
    /// are found by a scan of the ranges of groups of 64 such blocks, or of the ranges of the actor's blocks where
    /// these are few. A key far
    /// from those of the rows beside it costs its own block, found by its hash. Where rows with keys of
    /// unrelated times stand side by side, all ranges are wide, and all blocks of the actor are looked at.
    ///
    /// # Errors
    /// See [`Segment`].
    pub fn find_rows(
        &self,
        actor: u32,
        collection: &str,
        rkey: &str,
        found: &mut dyn FnMut(u32),
    ) -> Result<()> {
        self.find_key(&KeyProbe::new(actor, collection, rkey), found)
    }

    /// The same for a key that many segments are asked for.
    ///
    /// # Errors
    /// See [`Segment`].
    pub fn find_key(&self, key: &KeyProbe<'_>, found: &mut dyn FnMut(u32)) -> Result<()> {
        let collections = self.strings(Section::Collections)?;
        let Some(collection_id) = collections.find(key.collection)? else {
            return Ok(());
        };
        let packed = match key.tid {
            Some(tid) => Some(PackedKey::Tid(tid)),
            None => self.packed_key(key.rkey)?,
        };
        let Some(packed) = packed else {
            return Ok(());
        };
        let rows = self.rows()?;
        let mut blocks = KeyBlocks::new(self, key)?;
        while let Some(block) = blocks.next()? {
            let first = block * (KEY_BLOCK / BLOCK);
            for small in first..(first + KEY_BLOCK / BLOCK).min(rows.blocks()) {
                if !rows.may_hold_key(small, packed)? {
                    continue;
                }
                // Its head is read once for all that is asked of it.
                let of_rows = rows.block(small)?;
                let mut by_actor = of_rows.rows_by(key.actor)?;
                if by_actor == 0 {
                    continue;
                }
                let keys = of_rows.keys()?;
                while by_actor != 0 {
                    let index = by_actor.trailing_zeros();
                    by_actor &= by_actor - 1;
                    if keys.get(index.into())? == packed {
                        let shape = rows.shapes_of(&of_rows)?.of(index.into())?;
                        if self.shape(shape)?.0 == collection_id {
                            found(small * BLOCK + index);
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

/// The blocks of 1,024 rows that may hold a key of an actor, rising, each once.
struct KeyBlocks<'s, 'k> {
    key: RecordKey<'k>,
    ranges: KeyRanges<'s>,
    of_actor: Option<BlockNumbers<'s>>,
    /// What is still to be looked at of the actor's block read last.
    rest: Range<u32>,
    /// Whether groups are skipped.
    by_groups: bool,
    /// All blocks whose range covers the key, the actor's or not, and the next of them, where they are few.
    few: Option<([u32; FEW], usize)>,
    next_few: usize,
    /// The next of the blocks whose range covers the key: the actor's, or those few.
    near: Option<u32>,
    far: FarKeys<'s>,
    hash: u32,
    /// The next entry of the far keys, and its block.
    place: u32,
    listed: Option<u32>,
}

impl<'s, 'k> KeyBlocks<'s, 'k> {
    fn new(segment: &'s Segment, probe: &KeyProbe<'k>) -> Result<Self> {
        let (ranges, far) = (segment.key_ranges()?, segment.far_keys()?);
        let key = probe.key();
        let few = ranges.few_blocks(key)?;
        let of_actor = match few {
            Some(_) => None,
            None => Some(segment.actor_index()?.blocks_of(probe.actor)?),
        };
        let hash = far_hash(probe.stray);
        let place = far.lower_bound(hash)?;
        let mut blocks = Self {
            key,
            few,
            next_few: 0,
            by_groups: of_actor
                .as_ref()
                .is_some_and(|of_actor| of_actor.left() >= ranges.groups() / GROUPS_A_BLOCK),
            ranges,
            of_actor,
            rest: 0..0,
            near: None,
            listed: far.block_of(place, hash)?,
            far,
            hash,
            place,
        };
        blocks.near = blocks.next_near()?;
        Ok(blocks)
    }

    fn next_near(&mut self) -> Result<Option<u32>> {
        if let Some((few, count)) = &self.few {
            let next = few.get(..*count).and_then(|few| few.get(self.next_few));
            self.next_few += 1;
            return Ok(next.copied());
        }
        let Some(of_actor) = &mut self.of_actor else {
            return Ok(None);
        };
        loop {
            for block in self.rest.by_ref() {
                if self.ranges.block(block)?.holds(self.key) {
                    return Ok(Some(block));
                }
            }
            let Some(block) = of_actor.next()? else {
                return Ok(None);
            };
            // At most 2^17 blocks of actors.
            let first = block * RANGES;
            if self.by_groups {
                let group = first / GROUP;
                let next = self.ranges.next_group(group, self.key)?;
                if next > group {
                    of_actor.skip_to(next.saturating_mul(GROUP / RANGES))?;
                    continue;
                }
            }
            self.rest = first..(first + RANGES).min(self.ranges.blocks());
        }
    }

    fn next_listed(&mut self) -> Result<Option<u32>> {
        self.place = self.place.saturating_add(1);
        self.far.block_of(self.place, self.hash)
    }

    fn next(&mut self) -> Result<Option<u32>> {
        let block = match (self.near, self.listed) {
            (Some(near), Some(listed)) => near.min(listed),
            (Some(block), None) | (None, Some(block)) => block,
            (None, None) => return Ok(None),
        };
        if block >= self.ranges.blocks() {
            return Err(self.far.corrupt(block));
        }
        if self.near == Some(block) {
            self.near = self.next_near()?;
        }
        if self.listed == Some(block) {
            self.listed = self.next_listed()?;
        }
        Ok(Some(block))
    }
}
