//! Where a merge keeps what would not fit into memory, and how it lets others go first.

use std::ops::Deref;

use crate::Error;
use crate::sink::Sink;

/// Bytes that are written once and then read.
pub trait Scratch: Sink {
    /// The bytes as they are read; given back when dropped.
    type Bytes: Deref<Target = [u8]>;

    /// Ends the writing.
    ///
    /// # Errors
    /// The bytes could not be kept.
    fn finish(self) -> Result<Self::Bytes, Self::Error>;
}

/// What a merge works with.
pub trait Workspace {
    /// What can go wrong.
    type Error: From<Error>;
    /// Scratch space, such as a file without a name.
    type Scratch: Scratch<Error = Self::Error>;

    /// New scratch space, empty. A merge has a few dozen at a time at most.
    ///
    /// # Errors
    /// There is none.
    fn scratch(&mut self) -> Result<Self::Scratch, Self::Error>;

    /// Called every few thousand rows, targets, lists or actors, and at least every 256 KiB written;
    /// `bytes` were written to the output and to scratch space since the last call. May wait. The
    /// longest work between two calls is one sort in memory, of [`sort_bytes`](Self::sort_bytes), or one
    /// shard of a filter, of half a million keys: a tenth of a second.
    ///
    /// # Errors
    /// To give up; the merge ends with that error.
    fn progress(&mut self, bytes: u64) -> Result<(), Self::Error>;

    /// Memory in bytes that one sort may take. Three run at a time at most; while none runs, as much is taken for new
    /// ordinals of targets.
    fn sort_bytes(&self) -> usize {
        4 << 20
    }
}

/// All in memory: for segments that are built from memory anyway.
#[derive(Debug, Clone, Copy, Default)]
pub struct InMemory;

impl Scratch for Vec<u8> {
    type Bytes = Self;

    fn finish(self) -> Result<Self, Error> {
        Ok(self)
    }
}

impl Workspace for InMemory {
    type Error = Error;
    type Scratch = Vec<u8>;

    fn scratch(&mut self) -> Result<Vec<u8>, Error> {
        Ok(Vec::new())
    }

    fn progress(&mut self, _bytes: u64) -> Result<(), Error> {
        Ok(())
    }
}

/// Bytes between two reports of progress.
const REPORT_BYTES: u64 = 256 << 10;
/// Steps between two reports of progress.
const REPORT_STEPS: u32 = 4096;

/// A workspace, and what was done since it was last told.
pub(super) struct Env<'w, W> {
    pub(super) workspace: &'w mut W,
    bytes: u64,
    steps: u32,
}

impl<'w, W: Workspace> Env<'w, W> {
    pub(super) fn new(workspace: &'w mut W) -> Self {
        Self {
            workspace,
            bytes: 0,
            steps: 0,
        }
    }

    /// `bytes` were written.
    #[inline]
    pub(super) fn wrote(&mut self, bytes: usize) -> Result<(), W::Error> {
        self.bytes += bytes as u64;
        if self.bytes >= REPORT_BYTES {
            return self.report();
        }
        Ok(())
    }

    /// `count` rows, targets, lists or actors were looked at.
    #[inline]
    pub(super) fn stepped(&mut self, count: u32) -> Result<(), W::Error> {
        self.steps += count;
        if self.steps >= REPORT_STEPS {
            return self.report();
        }
        Ok(())
    }

    pub(super) fn report(&mut self) -> Result<(), W::Error> {
        self.steps = 0;
        self.workspace.progress(std::mem::take(&mut self.bytes))
    }
}
