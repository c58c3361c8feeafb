//! The newest events in memory, as the log has their bytes: all that are not durable yet, which no file has, and
//! some before them, so that whoever keeps up reads no file.
//!
//! The writer adds an event before it publishes it, so that whoever finds it by its key has its bytes, and reveals it to
//! those who follow after that: a snapshot that is taken after an event was read by them sees its effects.
//! Events gather in an open chunk, of which readers copy what they have not read; closed chunks are shared.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

/// Most bytes of a chunk, unless it holds one longer event.
const CHUNK_BYTES: usize = 64 << 10;
/// So many chunks are kept at least, by the least that they take.
const CHUNKS: usize = 16;

/// Encoded events with consecutive seqs, back to back.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    pub(super) first_seq: u64,
    pub(super) count: u64,
    /// What the time of the first is told from.
    pub(super) previous_us: u64,
    /// The time of the last.
    last_us: u64,
    pub(super) bytes: Vec<u8>,
    /// Of each [`MARK_EVENTS`]th, from the first on.
    marks: Vec<Mark>,
}

/// Where an event begins, and what its time is told from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    pub(crate) offset: usize,
    pub(crate) previous_us: u64,
}

/// So many events are decoded at most to find one.
pub(crate) const MARK_EVENTS: u64 = 16;

/// Encoded events with that of a known seq among them.
#[derive(Debug)]
pub(crate) struct Piece {
    bytes: PieceBytes,
    /// The first.
    pub(crate) first_seq: u64,
    pub(crate) previous_us: u64,
}

#[derive(Debug)]
enum PieceBytes {
    Chunk(Arc<Chunk>, usize),
    Copy(Vec<u8>),
}

impl Piece {
    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.bytes {
            PieceBytes::Chunk(chunk, from) => chunk.bytes.get(*from..).unwrap_or_default(),
            PieceBytes::Copy(bytes) => bytes,
        }
    }
}

impl Chunk {
    /// The seq behind the last.
    pub(super) const fn end(&self) -> u64 {
        self.first_seq.saturating_add(self.count)
    }

    /// The mark before the event of that seq, the seq there, and where the next mark is.
    fn mark(&self, seq: u64) -> Option<(Mark, u64, usize)> {
        let place = seq.checked_sub(self.first_seq)? / MARK_EVENTS;
        let at = usize::try_from(place).ok()?;
        let end = self.marks.get(at.saturating_add(1));
        let end = end.map_or(self.bytes.len(), |next| next.offset);
        let first_seq = self.first_seq.saturating_add(place * MARK_EVENTS);
        Some((*self.marks.get(at)?, first_seq, end))
    }
}

#[derive(Debug, Default)]
struct Chunks {
    directory_id: [u8; 16],
    closed: VecDeque<Arc<Chunk>>,
    closed_bytes: usize,
    open: Chunk,
    durable_seq: u64,
}

impl Chunks {
    /// The first seq in memory; the next one where none is.
    fn first_seq(&self) -> u64 {
        self.closed
            .front()
            .map_or(self.open.first_seq, |chunk| chunk.first_seq)
    }

    /// Drops the oldest as long as the closed chunks take more than `bytes_max`, and files have what is in it.
    fn trim(&mut self, bytes_max: usize) {
        while self.closed_bytes > bytes_max
            && self
                .closed
                .front()
                .is_some_and(|chunk| chunk.end() <= self.durable_seq.saturating_add(1))
            && let Some(chunk) = self.closed.pop_front()
        {
            self.closed_bytes -= chunk.bytes.capacity();
        }
    }
}

/// See the module's description.
#[derive(Debug)]
pub(crate) struct Tail {
    /// Durable events are kept as long as closed chunks take no more than this.
    bytes_max: usize,
    chunk_bytes: usize,
    /// The seq behind the last event that was revealed.
    next_seq: AtomicU64,
    log_floor: AtomicU64,
    chunks: Mutex<Chunks>,
}

/// What the tail has of a seq.
pub(super) enum View {
    /// Nothing yet.
    CaughtUp,
    /// Nothing any more: it begins there.
    Behind { first_seq: u64 },
    /// A chunk with it.
    Closed(Arc<Chunk>),
    /// The bytes of the open chunk with it, as far as they were asked for, are in the buffer.
    Open {
        first_seq: u64,
        previous_us: u64,
        end: u64,
    },
}

impl Tail {
    /// A tail that keeps about so many bytes of durable events. It takes events after [`begin`](Self::begin).
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            chunk_bytes: CHUNK_BYTES.min(bytes_max / CHUNKS),
            next_seq: AtomicU64::new(0),
            log_floor: AtomicU64::new(0),
            chunks: Mutex::default(),
        }
    }

    /// Begins without events, all before `next_seq` being durable.
    pub(crate) fn begin(&self, next_seq: u64, directory_id: [u8; 16]) {
        let mut chunks = self.chunks.lock();
        *chunks = Chunks {
            directory_id,
            durable_seq: next_seq.saturating_sub(1),
            ..Chunks::default()
        };
        chunks.open.first_seq = next_seq;
        self.next_seq.store(next_seq, Ordering::Release);
    }

    /// Adds an event by its bytes, which tell its time from `previous_us`. Those who follow see it once it is
    /// [revealed](Self::reveal). A seq that does not follow makes the tail begin anew there: those between are lost.
    pub(crate) fn push(&self, seq: u64, time_us: u64, previous_us: u64, bytes: &[u8]) {
        let mut chunks = self.chunks.lock();
        let chunks = &mut *chunks;
        if seq != chunks.open.end() {
            chunks.closed.clear();
            chunks.closed_bytes = 0;
            chunks.open = Chunk::default();
        }
        // In a chunk each time is told from the one before, which the first of a batch of the log is not.
        let open = &chunks.open;
        let fits = open.last_us == previous_us
            && open.bytes.len().saturating_add(bytes.len()) <= self.chunk_bytes;
        if open.count > 0 && !fits {
            let mut closed = std::mem::take(&mut chunks.open);
            if closed.bytes.len() < closed.bytes.capacity() / 2 {
                closed.bytes.shrink_to_fit();
            }
            chunks.closed_bytes += closed.bytes.capacity();
            chunks.closed.push_back(Arc::new(closed));
            chunks.trim(self.bytes_max);
        }
        let open = &mut chunks.open;
        if open.count == 0 {
            open.first_seq = seq;
            open.previous_us = previous_us;
            open.bytes.reserve(self.chunk_bytes);
        }
        if open.count.is_multiple_of(MARK_EVENTS) {
            open.marks.push(Mark {
                offset: open.bytes.len(),
                previous_us,
            });
        }
        open.bytes.extend_from_slice(bytes);
        open.count += 1;
        open.last_us = time_us;
    }

    /// The event of that seq, added last, has been published.
    pub(crate) fn reveal(&self, seq: u64) {
        self.next_seq
            .store(seq.saturating_add(1), Ordering::Release);
    }

    /// Events with that of `seq` among them, revealed or not; `None` where it is not in memory any more.
    pub(crate) fn piece(&self, seq: u64) -> Option<Piece> {
        let chunks = self.chunks.lock();
        let open = &chunks.open;
        if seq >= open.first_seq {
            let is_there = seq < open.end();
            let (mark, first_seq, end) = open.mark(seq).filter(|_| is_there)?;
            let bytes = open.bytes.get(mark.offset..end)?;
            return Some(Piece {
                bytes: PieceBytes::Copy(bytes.to_owned()),
                first_seq,
                previous_us: mark.previous_us,
            });
        }
        let place = chunks.closed.partition_point(|chunk| chunk.end() <= seq);
        let chunk = Arc::clone(chunks.closed.get(place)?);
        drop(chunks);
        let (mark, first_seq, _) = chunk.mark(seq)?;
        Some(Piece {
            bytes: PieceBytes::Chunk(chunk, mark.offset),
            first_seq,
            previous_us: mark.previous_us,
        })
    }

    /// Takes note of what is durable, and of the first seq in the log.
    pub(crate) fn note_durable(&self, durable_seq: u64, log_floor: u64) {
        let mut chunks = self.chunks.lock();
        chunks.durable_seq = durable_seq;
        chunks.trim(self.bytes_max);
        self.log_floor.store(log_floor, Ordering::Release);
    }

    pub(crate) fn next_seq(&self) -> u64 {
        self.next_seq.load(Ordering::Acquire)
    }

    pub(crate) fn log_floor(&self) -> u64 {
        self.log_floor.load(Ordering::Acquire)
    }

    pub(crate) fn directory_id(&self) -> [u8; 16] {
        self.chunks.lock().directory_id
    }

    /// What there is of `seq`. Where that is in the open chunk, its bytes from `offset` on are copied, if its first seq is
    /// `chunk`, and all of them otherwise.
    pub(super) fn view(&self, seq: u64, chunk: u64, offset: usize, copy: &mut Vec<u8>) -> View {
        let next_seq = self.next_seq();
        if seq >= next_seq {
            return View::CaughtUp;
        }
        let chunks = self.chunks.lock();
        let first_seq = chunks.first_seq();
        if seq < first_seq {
            return View::Behind { first_seq };
        }
        let open = &chunks.open;
        if seq >= open.first_seq {
            let from = if chunk == open.first_seq { offset } else { 0 };
            copy.clear();
            copy.extend_from_slice(open.bytes.get(from..).unwrap_or_default());
            return View::Open {
                first_seq: open.first_seq,
                previous_us: open.previous_us,
                // The last may not be revealed.
                end: open.end().min(next_seq),
            };
        }
        let place = chunks.closed.partition_point(|chunk| chunk.end() <= seq);
        match chunks.closed.get(place) {
            Some(chunk) => View::Closed(Arc::clone(chunk)),
            None => View::CaughtUp,
        }
    }
}
