//! The rows that accounts have in segments, with the long lists these are in, kept from one event of an account to the
//! next: finding and reading them is most of what such an event costs. Accounts that have most rows have most events, and of those that are hidden
//! nearly half come back. What was read of a segment holds as long as there is one of that id: it never changes, and ids are
//! never used twice. What takes too much goes, the accounts first that were not asked for lately.

use std::collections::HashMap;

use orrery_formats::bytes::{Reader, put_varint};

use crate::Result;
use crate::actors::{ActorId, IdHashes};

/// What all that is kept takes at most, bytes: of the synthetic stream most of what the account events of 20 M events meet.
const BYTES_MAX: usize = 16 << 20;
/// Bytes that come between an age and the next.
const AGE_BYTES: usize = BYTES_MAX / 8;
/// What one account takes at most; where it has more, the rows of some of its segments are read each time.
const ACCOUNT_BYTES_MAX: usize = BYTES_MAX / 4;
/// What a row takes, about, where an account has many.
const ROW_BYTES: usize = 3;
/// What an account takes beside its bytes.
const ENTRY_BYTES: usize = 56;

/// What a row has but for its long lists, in the lowest bits of its first number.
const CODE_BITS: u32 = 2;
const ONE_LINK: u64 = 0;
const ONE_LINK_IN_A_LONG_LIST: u64 = 1;
const TWO_LINKS: u64 = 2;
const OTHER: u64 = 3;

/// Rows of one segment that were not dead when they were read, rising, each with how many links it has and its long lists, once for each link.
///
/// A row is a varint: how far it is from the row before, shifted by two bits, in which stands what it has; as many links
/// and long lists as no code tells, both varints; and its long lists, varints too.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct KnownRows<'a> {
    packed: &'a [u8],
}

impl<'a> KnownRows<'a> {
    /// Packs `rows`, which rise, each with its number of links; `lists` are rows with their long lists, rising. Rows without links are told too.
    pub(super) fn pack(rows: &[(u32, u32)], lists: &[(u32, u32)]) -> Vec<u8> {
        let mut packed = Vec::with_capacity(rows.len() * 3 + lists.len() * 3);
        let (mut before, mut lists) = (0, lists);
        for &(row, links) in rows {
            let own = lists.partition_point(|(of, _)| *of <= row);
            let (own, rest) = lists.split_at_checked(own).unwrap_or_default();
            let code = match (links, own.len()) {
                (1, 0) => ONE_LINK,
                (1, 1) => ONE_LINK_IN_A_LONG_LIST,
                (2, 0) => TWO_LINKS,
                _ => OTHER,
            };
            let distance = u64::from(row.wrapping_sub(before));
            put_varint(&mut packed, distance << CODE_BITS | code);
            if code == OTHER {
                put_varint(&mut packed, links.into());
                put_varint(&mut packed, own.len() as u64);
            }
            for (_, list) in own {
                put_varint(&mut packed, u64::from(*list));
            }
            (before, lists) = (row, rest);
        }
        packed
    }

    /// What [`pack`](Self::pack) made.
    pub(super) const fn of(packed: &'a [u8]) -> Self {
        Self { packed }
    }

    /// Calls `each` with every row, its number of links and its long lists.
    pub(super) fn each(self, mut each: impl FnMut(u32, u32, &[u32]) -> Result<()>) -> Result<()> {
        let mut reader = Reader::new("known rows of an account", self.packed);
        let (mut row, mut lists) = (0_u32, Vec::new());
        while !reader.is_empty() {
            let number = reader.varint()?;
            // All numbers were packed of 32 bits each.
            row = row.wrapping_add((number >> CODE_BITS) as u32);
            let (links, long) = match number & ((1 << CODE_BITS) - 1) {
                ONE_LINK => (1, 0),
                ONE_LINK_IN_A_LONG_LIST => (1, 1),
                TWO_LINKS => (2, 0),
                _ => (reader.varint()? as u32, reader.varint()?),
            };
            lists.clear();
            for _ in 0..long {
                lists.push(reader.varint()? as u32);
            }
            each(row, links, &lists)?;
        }
        Ok(())
    }
}

/// What is known of the rows of one account, by segment.
#[derive(Debug)]
pub(super) struct KnownAccount {
    /// For each segment its id and how many bytes its rows take, both varints, and the rows.
    bytes: Vec<u8>,
    bytes_max: usize,
}

impl KnownAccount {
    /// The segments by id, with the rows that the account has there: also those where it has none.
    pub(super) fn segments(&self) -> Result<Vec<(u64, KnownRows<'_>)>> {
        let mut reader = Reader::new("known rows of an account", &self.bytes);
        let mut segments = Vec::new();
        while !reader.is_empty() {
            let id = reader.varint()?;
            let len = reader.varint()?;
            let packed = reader.bytes(usize::try_from(len).unwrap_or(usize::MAX))?;
            segments.push((id, KnownRows::of(packed)));
        }
        Ok(segments)
    }

    /// Whether so many rows of one more segment probably do not take too much. Others are not worth packing, which has ten times their bytes
    /// in memory meanwhile, and no bound but this.
    pub(super) const fn has_room_for(&self, rows: usize) -> bool {
        let bytes = rows.saturating_mul(ROW_BYTES);
        bytes <= self.bytes_max.saturating_sub(self.bytes.len())
    }

    /// Adds the rows of the segment of that id, unless the account takes too much with them.
    pub(super) fn push(&mut self, segment: u64, rows: KnownRows<'_>) {
        // Two varints take 20 bytes at most.
        if self.bytes.len() + rows.packed.len() + 20 > self.bytes_max {
            return;
        }
        put_varint(&mut self.bytes, segment);
        put_varint(&mut self.bytes, rows.packed.len() as u64);
        self.bytes.extend_from_slice(rows.packed);
    }
}

/// See the module's description. Each account has the number of the age in which it was asked for last; when there is no room, those of
/// the oldest age go.
#[derive(Debug)]
pub(super) struct KnownAccounts {
    accounts: HashMap<ActorId, Known, IdHashes>,
    bytes: usize,
    age: u32,
    /// Bytes that came in the present age.
    age_bytes: usize,
    pub(super) account_bytes_max: usize,
    /// How often something was found.
    #[cfg(test)]
    pub(super) found: u64,
}

#[derive(Debug)]
struct Known {
    age: u32,
    bytes: Box<[u8]>,
}

impl Default for KnownAccounts {
    fn default() -> Self {
        Self {
            accounts: HashMap::default(),
            bytes: 0,
            age: 0,
            age_bytes: 0,
            account_bytes_max: ACCOUNT_BYTES_MAX,
            #[cfg(test)]
            found: 0,
        }
    }
}

const fn cost(bytes: &[u8]) -> usize {
    bytes.len() + ENTRY_BYTES
}

impl KnownAccounts {
    /// Takes out what is known of an account; nothing, where nothing is.
    pub(super) fn take(&mut self, actor: ActorId) -> KnownAccount {
        let known = self.accounts.remove(&actor);
        if let Some(known) = &known {
            self.bytes = self.bytes.saturating_sub(cost(&known.bytes));
        }
        #[cfg(test)]
        {
            self.found += u64::from(known.is_some());
        }
        KnownAccount {
            bytes: known.map(|known| known.bytes.into()).unwrap_or_default(),
            ..self.unknown()
        }
    }

    /// An account of which nothing is known yet.
    pub(super) const fn unknown(&self) -> KnownAccount {
        KnownAccount {
            bytes: Vec::new(),
            bytes_max: self.account_bytes_max,
        }
    }

    /// Keeps what is known of an account that was taken out before. Amortised O(1), beside copying it.
    pub(super) fn put(&mut self, actor: ActorId, known: KnownAccount) {
        let bytes = known.bytes.into_boxed_slice();
        let cost_of_it = cost(&bytes);
        if self.bytes + cost_of_it > BYTES_MAX {
            self.make_room(cost_of_it);
        }
        self.age_bytes += cost_of_it;
        if self.age_bytes > AGE_BYTES {
            (self.age, self.age_bytes) = (self.age.wrapping_add(1), 0);
        }
        let age = self.age;
        self.bytes += cost_of_it;
        if let Some(before) = self.accounts.insert(actor, Known { age, bytes }) {
            self.bytes = self.bytes.saturating_sub(cost(&before.bytes));
        }
    }

    /// Lets go of one age after the other until there is room for so many bytes, and those of an age: so all are looked through once an age,
    /// and once more for each age that goes.
    fn make_room(&mut self, bytes: usize) {
        let most = BYTES_MAX.saturating_sub(bytes + AGE_BYTES);
        while self.bytes > most {
            let now = self.age;
            let since = |known: &Known| now.wrapping_sub(known.age);
            let Some(oldest) = self.accounts.values().map(since).max() else {
                break;
            };
            self.accounts.retain(|_, known| since(known) < oldest);
            self.bytes = self.accounts.values().map(|known| cost(&known.bytes)).sum();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unpacked(known: KnownRows<'_>) -> Vec<(u32, u32, Vec<u32>)> {
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
        let rows = [
            (0, 1),
            (5, 0),
            (6, 3),
            (7, 2),
            (8, 2),
            (9, 1),
            (u32::MAX, 70_000),
        ];
        let lists = [(0, 9), (6, 1), (6, 1), (6, u32::MAX), (8, 4), (u32::MAX, 0)];
        let expected = vec![
            (0, 1, vec![9]),
            (5, 0, vec![]),
            (6, 3, vec![1, 1, u32::MAX]),
            (7, 2, vec![]),
            (8, 2, vec![4]),
            (9, 1, vec![]),
            (u32::MAX, 70_000, vec![0]),
        ];
        let packed = KnownRows::pack(&rows, &lists);
        assert_eq!(unpacked(KnownRows::of(&packed)), expected);
        assert_eq!(unpacked(KnownRows::of(&KnownRows::pack(&[], &[]))), []);
    }

    /// An account with rows in two segments, which take so many bytes together.
    fn account(bytes: usize) -> KnownAccount {
        // Rows side by side, of one link each, take a byte each.
        let rows: Vec<(u32, u32)> = (0..bytes as u32).map(|row| (row, 1)).collect();
        let packed = KnownRows::pack(&rows, &[]);
        let mut account = KnownAccounts::default().unknown();
        account.push(7, KnownRows::of(&packed));
        account.push(u64::MAX, KnownRows::default());
        account
    }

    #[test]
    fn rows_are_told_by_segment_even_where_there_are_none() {
        let account = account(3);
        let segments = account.segments().unwrap();
        let ids: Vec<u64> = segments.iter().map(|(id, _)| *id).collect();
        assert_eq!(ids, [7, u64::MAX]);
        let rows = |place: usize| unpacked(segments[place].1);
        assert_eq!(rows(0).len(), 3);
        assert_eq!(rows(1), []);
    }

    #[test]
    fn what_is_asked_for_stays_and_the_rest_goes_within_the_bound() {
        let mut accounts = KnownAccounts::default();
        accounts.put(1, account(100));
        for actor in 2..200 {
            accounts.put(actor, account(300_000));
            let known = accounts.take(1);
            assert!(!known.segments().unwrap().is_empty());
            accounts.put(1, known);
            let kept = accounts.accounts.values();
            let bytes: usize = kept.map(|known| cost(&known.bytes)).sum();
            assert_eq!(bytes, accounts.bytes);
            assert!(bytes <= BYTES_MAX, "{bytes}");
            // Once it was full for the first time, it is so but for two ages and an account.
            assert!(actor < 60 || bytes > BYTES_MAX * 5 / 8, "{bytes}");
        }
        assert!(accounts.take(2).segments().unwrap().is_empty());
        assert!(!accounts.take(199).segments().unwrap().is_empty());
        let taken = accounts.take(199);
        assert!(taken.segments().unwrap().is_empty(), "it was taken out");
    }

    #[test]
    fn of_an_account_that_takes_too_much_what_fits_is_kept() {
        let mut large = account(ACCOUNT_BYTES_MAX - 100);
        assert!(large.has_room_for(20) && !large.has_room_for(200));
        assert!(!large.has_room_for(usize::MAX));
        let rows = KnownRows::pack(&[(1, 1); 200], &[]);
        large.push(9, KnownRows::of(&rows));
        large.push(10, KnownRows::of(&rows[..20]));
        let segments = large.segments().unwrap();
        let ids: Vec<u64> = segments.iter().map(|(id, _)| *id).collect();
        assert_eq!(ids, [7, u64::MAX, 10]);
    }
}
