//! Time buckets of a memtable: for each collection and hour counts of events and the accounts, written by one
//! thread and read by any without locks. Readers may see some events more than their snapshot has.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use orrery_formats::segment::EventCounts;
use orrery_formats::sketch::{ENCODED_MAX, EXACT_MAX, Element, REGISTERS, Sketch};

use super::hash_pair;
use crate::concurrent::{Chunked, HashIndex};

/// Elements that stand in the cell itself: most hours of most collections have no more accounts.
const FEW: usize = 3;
/// Elements with the first block that is allocated for more.
const SOME: usize = 32;

/// What an event does to a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Create,
    Update,
    Delete,
}

#[derive(Default)]
pub(crate) struct BucketCell {
    collection: AtomicU32,
    hour: AtomicU32,
    creates: AtomicU32,
    updates: AtomicU32,
    deletes: AtomicU32,
    /// Elements, as long as there are no registers.
    elements: AtomicU32,
    few: [AtomicU64; FEW],
    some: OnceLock<Box<[AtomicU64]>>,
    many: OnceLock<Box<[AtomicU64]>>,
    registers: OnceLock<Box<[AtomicU8]>>,
    /// The collection's bucket before this one, plus one; 0 when there is none.
    older: AtomicU32,
}

impl BucketCell {
    fn element(&self, index: usize) -> Option<&AtomicU64> {
        if index < FEW {
            return self.few.get(index);
        }
        let of = |cells: &OnceLock<Box<[AtomicU64]>>, len: usize| {
            cells.get_or_init(|| (0..len).map(|_| AtomicU64::new(0)).collect());
        };
        if index < SOME {
            of(&self.some, SOME - FEW);
            return self.some.get()?.get(index - FEW);
        }
        of(&self.many, EXACT_MAX - SOME);
        self.many.get()?.get(index - SOME)
    }

    fn known(&self) -> impl Iterator<Item = u64> {
        let len = self.elements.load(Ordering::Acquire) as usize;
        let few = self.few.iter();
        let some = self.some.get().into_iter().flatten();
        let many = self.many.get().into_iter().flatten();
        few.chain(some)
            .chain(many)
            .take(len)
            .map(|element| element.load(Ordering::Relaxed))
    }

    pub(crate) fn hour(&self) -> u32 {
        self.hour.load(Ordering::Relaxed)
    }

    pub(crate) fn counts(&self) -> EventCounts {
        let load = |count: &AtomicU32| u64::from(count.load(Ordering::Relaxed));
        EventCounts {
            creates: load(&self.creates),
            updates: load(&self.updates),
            deletes: load(&self.deletes),
        }
    }

    /// Adds the accounts to `sketch`.
    pub(crate) fn unite_into(&self, sketch: &mut Sketch) {
        let Some(registers) = self.registers.get() else {
            for element in self.known() {
                sketch.add(Element::of_hash(element));
            }
            return;
        };
        for (register, rank) in (0..).zip(registers) {
            let rank = rank.load(Ordering::Relaxed);
            if rank > 0 {
                sketch.raise(register, rank);
            }
        }
    }
}

/// The buckets of all collections.
pub(crate) struct Buckets {
    cells: Chunked<BucketCell>,
    len: AtomicU32,
    index: HashIndex,
    /// The newest bucket of each collection, by its id, plus one.
    newest: Chunked<AtomicU32>,
    /// Heap bytes besides the cells.
    heap: AtomicUsize,
    /// More bytes than the hours' buckets take in a segment.
    encoded: AtomicU64,
}

impl Default for Buckets {
    fn default() -> Self {
        Self {
            cells: Chunked::default(),
            len: AtomicU32::new(0),
            index: HashIndex::with_expected(256),
            newest: Chunked::default(),
            heap: AtomicUsize::new(0),
            encoded: AtomicU64::new(0),
        }
    }
}

impl Buckets {
    /// Counts an event. Writer only. O(1); O(128) while the bucket has few accounts.
    pub(crate) fn count(&self, collection: u32, hour: u32, kind: Kind, element: Element) {
        let cell = self.cells.at(self.intern(collection, hour));
        self.add(cell, element);
        let count = match kind {
            Kind::Create => &cell.creates,
            Kind::Update => &cell.updates,
            Kind::Delete => &cell.deletes,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    fn intern(&self, collection: u32, hour: u32) -> u32 {
        let hash = hash_pair(collection, hour);
        let found = self.index.find(hash, |id| {
            let cell = self.cells.at(id);
            cell.collection.load(Ordering::Relaxed) == collection && cell.hour() == hour
        });
        if let Some(id) = found {
            return id;
        }
        let id = self.len.load(Ordering::Relaxed);
        let cell = self.cells.at(id);
        cell.collection.store(collection, Ordering::Relaxed);
        cell.hour.store(hour, Ordering::Relaxed);
        let newest = self.newest.at(collection);
        cell.older
            .store(newest.load(Ordering::Relaxed), Ordering::Relaxed);
        self.index.insert(hash, id);
        newest.store(id + 1, Ordering::Release);
        self.len.store(id + 1, Ordering::Release);
        // The entry, the counts, and the name and the tail of its collection's table.
        self.encoded.fetch_add(64, Ordering::Relaxed);
        id
    }

    fn add(&self, cell: &BucketCell, element: Element) {
        if let Some(registers) = cell.registers.get() {
            if let Some(register) = registers.get(usize::from(element.register())) {
                register.fetch_max(element.rank(), Ordering::Relaxed);
            }
            return;
        }
        if cell.known().any(|known| known == element.bits()) {
            return;
        }
        let len = cell.elements.load(Ordering::Relaxed) as usize;
        if len < EXACT_MAX {
            if let Some(place) = cell.element(len) {
                place.store(element.bits(), Ordering::Relaxed);
            }
            // Release: pairs with the acquire in `known`.
            cell.elements.store(len as u32 + 1, Ordering::Release);
            self.encoded.fetch_add(6, Ordering::Relaxed);
            let grown = match len {
                FEW => (SOME - FEW) * 8,
                SOME => (EXACT_MAX - SOME) * 8,
                _ => 0,
            };
            self.heap.fetch_add(grown, Ordering::Relaxed);
            return;
        }
        let mut ranks = vec![0u8; REGISTERS];
        let elements = cell.known().map(Element::of_hash).chain([element]);
        for element in elements {
            if let Some(rank) = ranks.get_mut(usize::from(element.register())) {
                *rank = (*rank).max(element.rank());
            }
        }
        cell.registers
            .get_or_init(|| ranks.into_iter().map(AtomicU8::new).collect());
        self.heap.fetch_add(REGISTERS, Ordering::Relaxed);
        self.encoded
            .fetch_add(ENCODED_MAX as u64, Ordering::Relaxed);
    }

    /// Every bucket, with the id of its collection, in the order in which they began.
    pub(crate) fn all(&self) -> impl Iterator<Item = (u32, &BucketCell)> {
        (0..self.len.load(Ordering::Acquire)).map(|id| {
            let cell = self.cells.at(id);
            (cell.collection.load(Ordering::Relaxed), cell)
        })
    }

    /// The buckets of a collection, in no order of time.
    pub(crate) fn of(&self, collection: u32) -> impl Iterator<Item = &BucketCell> {
        let mut next = self.newest.at(collection).load(Ordering::Acquire);
        std::iter::from_fn(move || {
            let cell = self.cells.at(next.checked_sub(1)?);
            next = cell.older.load(Ordering::Relaxed);
            Some(cell)
        })
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.cells.heap_bytes()
            + self.index.heap_bytes()
            + self.newest.heap_bytes()
            + self.heap.load(Ordering::Relaxed)
    }

    /// More bytes than they take in a segment: days, weeks and all time take at most as much as the level below each.
    pub(crate) fn segment_bytes_max(&self) -> u64 {
        4 * self.encoded.load(Ordering::Relaxed)
    }
}
