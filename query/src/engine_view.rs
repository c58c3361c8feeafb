//! The engine's snapshots as views.

use std::ops::Range;

use orrery_engine as engine;
use xxhash_rust::xxh3::xxh3_64;

use crate::error::{Error, Result, known};
use crate::types::{RecordId, Stats};
use crate::view::{BLOCK, EachList, List, Listed, Part, RowTargets, View};

/// Bytes of nearly all DIDs.
const DID_LEN: usize = 32;

const _: () = assert!(BLOCK == engine::LIST_BLOCK);

impl View for engine::Snapshot {
    type Key = engine::OwnedTargetKey;
    type Part<'a> = SnapshotPart<'a>;

    fn parts(&self) -> impl DoubleEndedIterator<Item = SnapshotPart<'_>> {
        self.parts().map(|part| SnapshotPart {
            snapshot: self,
            part,
        })
    }

    fn unmask_epoch(&self) -> u64 {
        self.unmask_epoch()
    }

    fn lists(
        &self,
        key: &Self::Key,
        collection: &str,
        path: &str,
    ) -> Result<Vec<Listed<SnapshotPart<'_>>>> {
        let lists = self.lists(key, collection, path)?.into_iter();
        let lists = lists.map(|(part, list)| {
            let snapshot = self;
            (SnapshotPart { snapshot, part }, list)
        });
        Ok(lists.collect())
    }

    fn excluded_version(&self) -> u64 {
        self.excluded_version()
    }

    fn is_excluded_target(&self, target: &str) -> bool {
        self.is_excluded_target(target)
    }

    fn target_key(&self, target: &str) -> Result<Option<engine::OwnedTargetKey>> {
        Ok(self.target_key(target)?)
    }

    fn actor(&self, did: &str) -> Result<Option<u32>> {
        Ok(self.actor(did)?)
    }

    fn did(&self, actor: u32) -> Result<String> {
        Ok(self.did(actor)?)
    }

    fn did_reader(&self) -> impl FnMut(u32, &mut String) -> Result<()> {
        let mut read = self.did_reader();
        move |actor, out: &mut String| Ok(read(actor, out)?)
    }

    fn stats(&self) -> Result<Stats> {
        let totals = self.totals();
        Ok(Stats {
            dids: totals.authors,
            targetables: totals.lists,
            linking_records: totals.live_rows,
            links: totals.live_links,
        })
    }
}

/// A part of a snapshot, with the snapshot that names its accounts.
#[derive(Clone, Copy)]
pub struct SnapshotPart<'a> {
    snapshot: &'a engine::Snapshot,
    part: engine::Part<'a>,
}

impl<'a> Part for SnapshotPart<'a> {
    type Key = engine::OwnedTargetKey;
    type TargetId = engine::TargetId;
    type List = engine::List<'a>;

    fn id(&self) -> u64 {
        if self.part.is_memtable() {
            return self.part.id();
        }
        // A merged segment begins where its oldest source began; a rewritten one covers the same range
        // with fewer rows.
        let mut bytes = [0; 20];
        let fields = self.part.id().to_le_bytes().into_iter();
        let fields = fields
            .chain(self.part.last_seq().to_le_bytes())
            .chain(self.part.rows().to_le_bytes());
        for (byte, value) in bytes.iter_mut().zip(fields) {
            *byte = value;
        }
        xxh3_64(&bytes)
    }

    fn first_seq(&self) -> u64 {
        self.part.first_seq()
    }

    fn last_seq(&self) -> u64 {
        self.part.last_seq()
    }

    fn rows(&self) -> u32 {
        self.part.rows()
    }

    fn time_range_us(&self) -> (u64, u64) {
        self.part.time_range_us()
    }

    fn list(
        &self,
        key: &Self::Key,
        collection: &str,
        path: &str,
    ) -> Result<Option<engine::List<'a>>> {
        Ok(self.part.list(key, collection, path)?)
    }

    fn lists(&self, key: &Self::Key, each: EachList<'_, engine::List<'a>>) -> Result<()> {
        self.part.lists(key, each)
    }

    fn is_masked(&self, row: u32) -> Result<bool> {
        Ok(self.part.is_masked(row)?)
    }

    fn mask_reader(&self) -> Result<impl FnMut(u32) -> Result<bool>> {
        let mut read = self.part.mask_reader();
        Ok(move |row| Ok(read(row)?))
    }

    fn seq(&self, row: u32) -> Result<u64> {
        Ok(self.part.seq(row)?)
    }

    fn seq_reader(&self) -> Result<impl FnMut(u32) -> Result<u64>> {
        let mut read = self.part.seq_reader()?;
        Ok(move |row| Ok(read(row)?))
    }

    fn time_us(&self, row: u32) -> Result<u64> {
        Ok(self.part.time_us(row)?)
    }

    fn actor(&self, row: u32) -> Result<u32> {
        Ok(self.part.actor(row)?)
    }

    fn actor_reader(&self) -> Result<impl FnMut(u32) -> Result<u32>> {
        let mut read = self.part.actor_reader()?;
        Ok(move |row| Ok(read(row)?))
    }

    fn actor_blocks(&self) -> Result<impl FnMut(&[u32], &mut [u32]) -> Result<()>> {
        let mut read = self.part.actor_blocks()?;
        Ok(move |rows: &[u32], actors: &mut [u32]| Ok(read(rows, actors)?))
    }

    fn mask_blocks(&self, list: &engine::List<'a>) -> Result<impl FnMut(&[u32]) -> Result<u128>> {
        let mut read = self.part.mask_blocks(list);
        Ok(move |rows: &[u32]| Ok(read(rows)?))
    }

    fn lower_bound_seq(&self, seq: u64) -> Result<u32> {
        Ok(self.part.lower_bound_seq(seq)?)
    }

    fn actor_rows(&self, actor: u32) -> Result<impl Iterator<Item = Result<u32>>> {
        let rows = self.part.actor_rows(actor)?;
        Ok(rows.map(|row| row.map_err(Error::from)))
    }

    fn record(&self, row: u32) -> Result<RecordId> {
        let did = self.snapshot.did(self.part.actor(row)?)?;
        Ok(self.part.with_key(row, |collection, rkey| {
            RecordId::behind(did, collection, rkey)
        })?)
    }

    fn record_reader(
        &self,
        dids: &mut impl FnMut(u32, &mut String) -> Result<()>,
    ) -> Result<impl FnMut(u32) -> Result<RecordId>> {
        let mut names = self.part.name_reader()?;
        Ok(move |row| {
            let mut record = None;
            names(row, &mut |actor, collection, rkey| {
                let mut text = String::with_capacity(DID_LEN + collection.len() + rkey.len());
                let did = dids(actor, &mut text);
                record = Some(did.map(|()| RecordId::behind(text, collection, rkey)));
            })?;
            record.unwrap_or_else(|| {
                let why = format!("no name of row {row}");
                Err(Error::index(std::io::Error::other(why)))
            })
        })
    }

    fn target_id(&self, key: &Self::Key) -> Result<Option<engine::TargetId>> {
        // Whatever links to the target names its id: the first row of any of its lists does.
        let mut found = None;
        self.part
            .lists(key, &mut |_, path, list: engine::List<'a>| -> Result<()> {
                if found.is_none() && !list.is_empty() {
                    self.part.targets_at(list.get(0)?, path, &mut |id| {
                        if found.is_none() {
                            let text = known(self.part.target_string(id).map_err(Error::from))?;
                            if let Some(text) = text
                                && self.snapshot.target_key(&text)?.as_ref() == Some(key)
                            {
                                found = Some(id);
                            }
                        }
                        Ok::<(), Error>(())
                    })?;
                }
                Ok(())
            })?;
        Ok(found)
    }

    fn row_targets(&self, path: &str) -> Result<impl RowTargets<engine::TargetId>> {
        Ok(self.part.target_blocks(path)?)
    }

    fn target_place(&self, target: engine::TargetId) -> Option<(u32, u32)> {
        self.part.target_place(target)
    }

    fn target_hashes(
        &self,
        targets: &[engine::TargetId],
        seed: u64,
        each: impl FnMut(Option<u128>),
    ) -> Result<()> {
        Ok(self.part.target_hashes(targets, seed, each)?)
    }

    fn target_string(&self, target: engine::TargetId) -> Result<String> {
        Ok(self.part.target_string(target)?)
    }

    fn targets_at(
        &self,
        row: u32,
        path: &str,
        each: &mut dyn FnMut(engine::TargetId) -> Result<()>,
    ) -> Result<()> {
        self.part.targets_at(row, path, each)
    }
}

impl RowTargets<engine::TargetId> for engine::TargetBlocks<'_, '_> {
    #[inline]
    fn each(
        &mut self,
        rows: &[u32],
        wanted: u128,
        each: impl FnMut(u32, u32, engine::TargetId),
    ) -> Result<()> {
        Ok(self.each(rows, wanted, each)?)
    }
}

impl List for engine::List<'_> {
    fn opened(&self) -> Result<Self> {
        Ok(self.opened()?)
    }

    fn len(&self) -> u32 {
        self.len()
    }

    fn masked(&self) -> Result<u32> {
        Ok(self.masked()?)
    }

    fn get(&self, i: u32) -> Result<u32> {
        Ok(self.get(i)?)
    }

    fn lower_bound(&self, row: u32) -> Result<u32> {
        Ok(self.lower_bound(row)?)
    }

    fn iter_from(&self, i: u32) -> impl Iterator<Item = Result<u32>> {
        self.iter_from(i).map(|row| row.map_err(Error::from))
    }

    fn blocks(&self, range: Range<u32>) -> impl FnMut(&mut [u32; BLOCK]) -> Result<usize> {
        let mut read = self.blocks(range);
        move |rows| Ok(read(rows)?)
    }

    fn iter_back_from(&self, i: u32) -> impl Iterator<Item = Result<u32>> {
        self.iter_back_from(i).map(|row| row.map_err(Error::from))
    }
}
