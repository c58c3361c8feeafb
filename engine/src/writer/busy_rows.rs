//! The rows that busy accounts have in segments, with the long lists these are in, kept from one event of the account to the
//! next. Finding and reading them is most of what such an event costs, and accounts that have most rows have
//! most events. What was read of a segment holds as long as there is one of that id: it never changes, and ids are
//! never used twice. What takes too much goes, the accounts first that were not asked for lately.

use std::collections::HashMap;
use std::sync::Arc;

use orrery_formats::bytes::{Reader, put_varint};

use crate::Result;
use crate::actors::{ActorId, IdHashes};

/// Where an account has fewer rows in a segment, they are read each time. In tests nearly all are kept.
pub(super) const BUSY_ROWS: usize = if cfg!(test) { 2 } else { 64 };
/// Where it has more, they would be too large to be kept: a row takes three bytes at least.
pub(super) const BUSY_ROWS_MAX: usize = ENTRY_BYTES_MAX / 3;
/// What all that is kept takes at most, bytes: of the synthetic stream the rows of the busiest 200 accounts of 20 M events, which
/// are nine tenths of all rows that account events meet. An estimate by Zipf's law with the exponent 0.75.
const BYTES_MAX: usize = 12 << 20;
/// What one account's rows of a segment take at most.
const ENTRY_BYTES_MAX: usize = BYTES_MAX / 4;
/// What an entry takes beside its bytes.
const ENTRY_BYTES: usize = 112;

/// Some rows of one segment, rising, each with how many links it has and its long lists, once for each link.
#[derive(Debug, Default)]
pub(super) struct KnownRows {
    /// Per row: how far from the row before, links, long lists, and these, all varints.
    packed: Vec<u8>,
}

impl KnownRows {
    /// Packs `rows`, which rise, each with its number of links; `lists` are rows with their long lists, rising.
    pub(super) fn pack(rows: &[(u32, u32)], lists: &[(u32, u32)]) -> Self {
        let mut packed = Vec::with_capacity(rows.len() * 4 + lists.len() * 4);
        let (mut before, mut lists) = (0, lists);
        for &(row, links) in rows {
            let own = lists.partition_point(|(of, _)| *of <= row);
            let (own, rest) = lists.split_at_checked(own).unwrap_or_default();
            put_varint(&mut packed, u64::from(row.wrapping_sub(before)));
            put_varint(&mut packed, links.into());
            put_varint(&mut packed, own.len() as u64);
            for (_, list) in own {
                put_varint(&mut packed, u64::from(*list));
            }
            (before, lists) = (row, rest);
        }
        packed.shrink_to_fit();
        Self { packed }
    }

    /// Calls `each` with every row, its number of links and its long lists.
    pub(super) fn each(&self, mut each: impl FnMut(u32, u32, &[u32]) -> Result<()>) -> Result<()> {
        let mut reader = Reader::new("rows of a busy account", &self.packed);
        let (mut row, mut lists) = (0_u32, Vec::new());
        while !reader.is_empty() {
            // They were packed of 32 bits each.
            row = row.wrapping_add(reader.varint()? as u32);
            let links = reader.varint()? as u32;
            lists.clear();
            for _ in 0..reader.varint()? {
                lists.push(reader.varint()? as u32);
            }
            each(row, links, &lists)?;
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.packed.len() + ENTRY_BYTES
    }
}

type Entries = HashMap<(ActorId, u64), Arc<KnownRows>, IdHashes>;

/// See the module's description. Entries come into the younger half, and are brought back to it when they are asked for; once
/// that is full it becomes the older one, whose entries go.
#[derive(Debug, Default)]
pub(super) struct BusyRows {
    young: Entries,
    young_bytes: usize,
    old: Entries,
    /// How often something was found.
    #[cfg(test)]
    pub(super) found: u64,
}

impl BusyRows {
    /// What is known of an account's rows in the segment of that id.
    pub(super) fn get(&mut self, actor: ActorId, segment: u64) -> Option<Arc<KnownRows>> {
        let known = match self.young.get(&(actor, segment)) {
            Some(known) => Arc::clone(known),
            None => {
                let known = self.old.remove(&(actor, segment))?;
                self.put(actor, segment, Arc::clone(&known));
                known
            }
        };
        #[cfg(test)]
        {
            self.found += 1;
        }
        Some(known)
    }

    /// Keeps the rows of an account in the segment of that id that are not dead. What alone takes more than a quarter of
    /// all is not kept.
    pub(super) fn put(&mut self, actor: ActorId, segment: u64, known: Arc<KnownRows>) {
        let bytes = known.bytes();
        if bytes > ENTRY_BYTES_MAX {
            return;
        }
        if self.young_bytes + bytes > BYTES_MAX / 2 {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        if self.young.insert((actor, segment), known).is_none() {
            self.young_bytes += bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unpacked(known: &KnownRows) -> Vec<(u32, u32, Vec<u32>)> {
        let mut rows = Vec::new();
        let each = |row, links, lists: &[u32]| {
            rows.push((row, links, lists.to_vec()));
            Ok(())
        };
        known.each(each).unwrap();
        rows
    }

    #[test]
    fn rows_come_back_with_their_links_and_lists() {
        let rows = [(0, 1), (5, 0), (6, 3), (u32::MAX, 70_000)];
        let lists = [(0, 9), (6, 1), (6, 1), (6, u32::MAX), (u32::MAX, 0)];
        let expected = vec![
            (0, 1, vec![9]),
            (5, 0, vec![]),
            (6, 3, vec![1, 1, u32::MAX]),
            (u32::MAX, 70_000, vec![0]),
        ];
        assert_eq!(unpacked(&KnownRows::pack(&rows, &lists)), expected);
        assert_eq!(unpacked(&KnownRows::pack(&[], &[])), []);
    }

    /// Rows whose packed form has three bytes each.
    fn of_rows(count: u32) -> Arc<KnownRows> {
        let rows: Vec<(u32, u32)> = (0..count).map(|row| (row, 1)).collect();
        Arc::new(KnownRows::pack(&rows, &[]))
    }

    #[test]
    fn what_is_asked_for_stays_and_the_rest_goes_within_the_bound() {
        let mut busy = BusyRows::default();
        busy.put(1, 7, of_rows(100));
        for actor in 2..200 {
            busy.put(actor, 7, of_rows(100_000));
            assert!(busy.get(1, 7).is_some());
            let kept = busy.young.values().chain(busy.old.values());
            let bytes: usize = kept.map(|known| known.bytes()).sum();
            assert!(bytes <= BYTES_MAX, "{bytes}");
        }
        assert!(busy.get(2, 7).is_none());
        assert!(busy.get(199, 7).is_some());
        assert!(busy.get(1, 8).is_none(), "of another segment");
        busy.put(300, 7, of_rows(BYTES_MAX as u32 / 12 + 1));
        assert!(busy.get(300, 7).is_none(), "too large");
    }
}
