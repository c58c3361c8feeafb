//! Many targets at a time.

use super::{PackedKey, Segment};
use crate::Result;
use crate::monotone::Monotone;
use crate::segment::layout::Section;
use crate::segment::rows::BLOCK;
use crate::segment::targets::PackedRecord;
use crate::segment::{RecordKey, TargetRef};

/// Records of a block from which on it is decoded as a whole.
const DECODED_FROM: usize = 6;
/// Keys of the segment for each target that is read, up to which the places of all are decoded.
const KEYS_A_TARGET: usize = 4;

impl Segment {
    /// Has the processor fetch what some targets are read of, and calls `each_actor` with the actor of each that has one: to be called with some targets
    /// before they are asked for one by one. What cannot be read is left out: whoever asks for it is told.
    pub fn fetch_targets(&self, targets: &[u32], each_actor: &mut dyn FnMut(u32)) {
        // Nothing is answered here.
        drop(self.try_fetch_targets(targets, each_actor));
    }

    fn try_fetch_targets(&self, targets: &[u32], each_actor: &mut dyn FnMut(u32)) -> Result<()> {
        let dids = Monotone::open(self.section(Section::DidTargets)?)?;
        let records = self.records()?;
        let record = |target: &u32| {
            let index = target.checked_sub(self.info.did_targets);
            index.filter(|index| *index < self.info.record_targets)
        };
        for target in targets {
            match record(target) {
                Some(index) => records.fetch_head(index),
                None if *target < self.info.did_targets => dids.fetch(*target),
                None => {}
            }
        }
        for index in targets.iter().filter_map(record) {
            records.fetch_key(index);
        }
        for target in targets {
            match record(target) {
                Some(index) => each_actor(records.actor(index)?),
                None if *target < self.info.did_targets => each_actor(dids.get(*target)?),
                None => {}
            }
        }
        Ok(())
    }

    /// Calls `each` with targets whose ordinals, which `target` tells, rise: read faster than one by one where they stand
    /// close together.
    ///
    /// # Errors
    /// As `each` does, and see [`Segment`].
    pub fn each_target<'s, T, E: From<crate::Error>>(
        &'s self,
        targets: &[T],
        target: impl Fn(&T) -> u32,
        mut each: impl FnMut(TargetRef<'s>) -> Result<(), E>,
    ) -> Result<(), E> {
        let dids = Monotone::open(self.section(Section::DidTargets)?)?;
        let others = self.strings(Section::OtherTargets)?;
        let (records, keys) = (self.records()?, self.strings(Section::Keys)?);
        let collections = self.strings(Section::Collections)?;
        let (did_count, record_count) = (self.info.did_targets, self.info.record_targets);
        let mut collection: Option<(u32, &str)> = None;
        let (mut decoded, mut block, mut buffer) = (None, Vec::new(), Vec::new());
        // Keys that are strings come in no order of their ids.
        let mut decoded_keys = None;
        let mut rest = targets;
        while let Some((next, behind)) = rest.split_first() {
            let next = target(next);
            let Some(index) = next.checked_sub(did_count) else {
                each(TargetRef::Did(dids.get(next)?))?;
                rest = behind;
                continue;
            };
            if index >= record_count {
                let place = index - record_count;
                each(TargetRef::Other(others.get(place)?))?;
                rest = behind;
                continue;
            }
            let number = index / BLOCK;
            if decoded != Some(number) {
                let last = u64::from(did_count) + u64::from(number + 1) * u64::from(BLOCK);
                let near = rest.iter().take(DECODED_FROM);
                let near = near.filter(|next| u64::from(target(next)) < last).count();
                decoded = None;
                if near == DECODED_FROM {
                    records.decode(number, &mut buffer, &mut block)?;
                    decoded = Some(number);
                }
            }
            let known = decoded.and_then(|_| block.get((index % BLOCK) as usize));
            let PackedRecord {
                actor,
                collection: id,
                key,
            } = match known {
                Some(record) => *record,
                None => records.get(index)?,
            };
            let name = match collection {
                Some((known, name)) if known == id => name,
                _ => collections.get(id)?,
            };
            collection = Some((id, name));
            each(TargetRef::Record {
                actor,
                collection: name,
                rkey: match key {
                    PackedKey::Tid(tid) => RecordKey::Tid(tid),
                    PackedKey::Str(id) => {
                        if decoded_keys.is_none()
                            && keys.count() as usize / KEYS_A_TARGET <= targets.len()
                        {
                            decoded_keys = Some(keys.decoded()?);
                        }
                        RecordKey::Str(match &decoded_keys {
                            Some(keys) => keys.get(id)?,
                            None => keys.get(id)?,
                        })
                    }
                },
            })?;
            rest = behind;
        }
        Ok(())
    }
}
