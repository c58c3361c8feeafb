//! What grows with a merge and is needed again: bytes in order ([`Spool`]) and numbers to be sorted
//! ([`Sorter`]). Both stay in memory while they are small, and go to scratch space beyond.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::workspace::{Env, Scratch, Workspace};
use crate::bytes::{Reader, put_u32, put_varint};
use crate::sink::Sink;

/// Most bytes that a spool keeps in memory.
const SPOOL_BYTES: usize = 64 << 10;

/// Bytes in order.
pub(super) struct Spool<W: Workspace> {
    buffer: Vec<u8>,
    scratch: Option<W::Scratch>,
    len: u64,
}

impl<W: Workspace> Default for Spool<W> {
    fn default() -> Self {
        Self::new()
    }
}

impl<W: Workspace> Spool<W> {
    pub(super) const fn new() -> Self {
        Self {
            buffer: Vec::new(),
            scratch: None,
            len: 0,
        }
    }

    /// Bytes so far.
    pub(super) fn len(&self) -> u64 {
        self.len + self.buffer.len() as u64
    }

    /// The end of the bytes, to append to; [`settle`](Self::settle) is called behind that.
    #[inline]
    pub(super) fn tail(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Moves the bytes out of memory when they are many.
    #[inline]
    pub(super) fn settle(&mut self, env: &mut Env<'_, W>) -> Result<(), W::Error> {
        if self.buffer.len() < SPOOL_BYTES.min(env.workspace.sort_bytes()) {
            return Ok(());
        }
        self.flush(env)
    }

    fn flush(&mut self, env: &mut Env<'_, W>) -> Result<(), W::Error> {
        let scratch = match &mut self.scratch {
            Some(scratch) => scratch,
            none => none.insert(env.workspace.scratch()?),
        };
        scratch.write(&self.buffer)?;
        self.len += self.buffer.len() as u64;
        let written = self.buffer.len();
        self.buffer.clear();
        env.wrote(written)
    }

    pub(super) fn write(&mut self, env: &mut Env<'_, W>, bytes: &[u8]) -> Result<(), W::Error> {
        self.buffer.extend_from_slice(bytes);
        self.settle(env)
    }

    /// The bytes, to be read.
    pub(super) fn finish(mut self, env: &mut Env<'_, W>) -> Result<Spooled<W>, W::Error> {
        if self.scratch.is_some() && !self.buffer.is_empty() {
            self.flush(env)?;
        }
        Ok(match self.scratch {
            Some(scratch) => Spooled::Scratch(scratch.finish()?),
            None => Spooled::Memory(self.buffer),
        })
    }
}

/// The bytes of a spool.
pub(super) enum Spooled<W: Workspace> {
    Memory(Vec<u8>),
    Scratch(<W::Scratch as Scratch>::Bytes),
}

impl<W: Workspace> Spooled<W> {
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Memory(bytes) => bytes,
            Self::Scratch(bytes) => bytes,
        }
    }
}

/// A number that can be sorted outside of memory. In a run each is written as its distance from the one
/// before.
pub(super) trait Record: Ord + Copy {
    /// The least one, from which the first of a run is counted.
    const ZERO: Self;
    fn put(self, before: Self, out: &mut Vec<u8>);
    /// `None` at the end of the run.
    fn get(run: &mut Reader<'_>, before: Self) -> Option<Self>;
}

impl Record for u64 {
    const ZERO: Self = 0;

    fn put(self, before: Self, out: &mut Vec<u8>) {
        put_varint(out, self.wrapping_sub(before));
    }

    fn get(run: &mut Reader<'_>, before: Self) -> Option<Self> {
        Some(run.varint().ok()?.wrapping_add(before))
    }
}

impl Record for (u64, u32) {
    const ZERO: Self = (0, 0);

    fn put(self, before: Self, out: &mut Vec<u8>) {
        self.0.put(before.0, out);
        put_u32(out, self.1);
    }

    fn get(run: &mut Reader<'_>, before: Self) -> Option<Self> {
        Some((u64::get(run, before.0)?, run.u32().ok()?))
    }
}

/// Sorts numbers: runs that fit into memory, merged at the end.
pub(super) struct Sorter<W: Workspace, R> {
    run: Vec<R>,
    /// Most numbers of a run.
    limit: usize,
    spool: Spool<W>,
    /// Where the runs in the spool end.
    ends: Vec<u64>,
}

impl<W: Workspace, R: Record> Sorter<W, R> {
    pub(super) fn new(env: &Env<'_, W>) -> Self {
        Self {
            run: Vec::new(),
            limit: (env.workspace.sort_bytes() / size_of::<R>()).max(2),
            spool: Spool::new(),
            ends: Vec::new(),
        }
    }

    #[inline]
    pub(super) fn push(&mut self, env: &mut Env<'_, W>, record: R) -> Result<(), W::Error> {
        self.run.push(record);
        if self.run.len() >= self.limit {
            self.spill(env)?;
        }
        Ok(())
    }

    fn spill(&mut self, env: &mut Env<'_, W>) -> Result<(), W::Error> {
        self.sort_run();
        let mut before = R::ZERO;
        for &record in &self.run {
            record.put(before, self.spool.tail());
            before = record;
            self.spool.settle(env)?;
        }
        self.ends.push(self.spool.len());
        self.run.clear();
        Ok(())
    }

    /// Equal numbers count once.
    fn sort_run(&mut self) {
        self.run.sort_unstable();
        self.run.dedup();
    }

    pub(super) fn finish(mut self, env: &mut Env<'_, W>) -> Result<Sorted<W, R>, W::Error> {
        if self.ends.is_empty() {
            self.sort_run();
        } else if !self.run.is_empty() {
            self.spill(env)?;
            self.run = Vec::new();
        }
        Ok(Sorted {
            run: self.run,
            spooled: self.spool.finish(env)?,
            ends: self.ends,
        })
    }
}

/// Numbers in order, each once.
pub(super) struct Sorted<W: Workspace, R> {
    run: Vec<R>,
    spooled: Spooled<W>,
    ends: Vec<u64>,
}

impl<W: Workspace, R: Record> Sorted<W, R> {
    pub(super) fn iter(&self) -> SortedIter<'_, R> {
        let mut runs = Vec::with_capacity(self.ends.len());
        let mut start = 0;
        for &end in &self.ends {
            // The spool is in the address space, so its length fits.
            let run = self.spooled.bytes().get(start as usize..end as usize);
            runs.push(Reader::new("run", run.unwrap_or_default()));
            start = end;
        }
        let mut heads = BinaryHeap::with_capacity(runs.len());
        for (index, run) in runs.iter_mut().enumerate() {
            heads.extend(R::get(run, R::ZERO).map(|record| Reverse((record, index))));
        }
        SortedIter {
            memory: self.run.iter(),
            runs,
            heads,
            last: None,
        }
    }

    /// How many there are. Costs a pass where they went to scratch space.
    pub(super) fn count(&self, env: &mut Env<'_, W>) -> Result<u64, W::Error> {
        if self.ends.is_empty() {
            return Ok(self.run.len() as u64);
        }
        let mut count = 0;
        for _ in self.iter() {
            count += 1;
            env.stepped(1)?;
        }
        Ok(count)
    }
}

pub(super) struct SortedIter<'a, R> {
    memory: std::slice::Iter<'a, R>,
    runs: Vec<Reader<'a>>,
    heads: BinaryHeap<Reverse<(R, usize)>>,
    last: Option<R>,
}

impl<R: Record> Iterator for SortedIter<'_, R> {
    type Item = R;

    fn next(&mut self) -> Option<R> {
        if self.runs.is_empty() {
            return self.memory.next().copied();
        }
        loop {
            let mut head = self.heads.peek_mut()?;
            let Reverse((record, index)) = *head;
            match R::get(self.runs.get_mut(index)?, record) {
                Some(next) => *head = Reverse((next, index)),
                None => {
                    std::collections::binary_heap::PeekMut::pop(head);
                }
            }
            if self.last != Some(record) {
                self.last = Some(record);
                return Some(record);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::segment::InMemory;

    /// A workspace with room for a few numbers.
    struct Small(usize);

    impl Workspace for Small {
        type Error = crate::Error;
        type Scratch = Vec<u8>;

        fn scratch(&mut self) -> crate::Result<Vec<u8>> {
            InMemory.scratch()
        }

        fn progress(&mut self, _bytes: u64) -> crate::Result<()> {
            Ok(())
        }

        fn sort_bytes(&self) -> usize {
            self.0
        }
    }

    proptest! {
        #[test]
        fn numbers_come_back_in_order_and_once(
            numbers in prop::collection::vec((0u64..50, 0u32..3), 0..300),
            bytes in 1usize..2000,
        ) {
            let mut workspace = Small(bytes);
            let env = &mut Env::new(&mut workspace);
            let mut sorter = Sorter::new(env);
            for number in &numbers {
                sorter.push(env, *number).unwrap();
            }
            let sorted = sorter.finish(env).unwrap();
            let expected: std::collections::BTreeSet<_> = numbers.into_iter().collect();
            prop_assert_eq!(sorted.count(env).unwrap(), expected.len() as u64);
            prop_assert!(sorted.iter().eq(expected));
        }

        #[test]
        fn bytes_come_back_as_they_came(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..30),
            bytes in 1usize..200,
        ) {
            let mut workspace = Small(bytes);
            let env = &mut Env::new(&mut workspace);
            let mut spool: Spool<Small> = Spool::new();
            for piece in &pieces {
                spool.write(env, piece).unwrap();
            }
            let expected = pieces.concat();
            prop_assert_eq!(spool.len(), expected.len() as u64);
            let spooled = spool.finish(env).unwrap();
            prop_assert_eq!(spooled.bytes(), expected);
        }
    }
}
