//! The file that a merge writes, section by section.

use crate::Result;
use crate::envelope::{FileWriter, Written};
use crate::segment::layout::Section;
use crate::segment::workspace::{Env, Workspace};
use crate::sink::Sink;

/// Bytes that are handed on at once.
const PIECE_BYTES: usize = 64 << 10;

pub(super) struct Output<O> {
    file: FileWriter<O>,
}

impl<O: Sink> Output<O> {
    pub(super) const fn new(file: FileWriter<O>) -> Self {
        Self { file }
    }

    /// Begins a section.
    pub(super) fn begin(&mut self, section: Section) -> Result<(), O::Error> {
        self.file.begin(section.id())
    }

    /// Appends to the section begun last.
    pub(super) fn write<W>(&mut self, env: &mut Env<'_, W>, bytes: &[u8]) -> Result<(), O::Error>
    where
        W: Workspace<Error = O::Error>,
    {
        for piece in bytes.chunks(PIECE_BYTES) {
            self.file.write(piece)?;
            env.wrote(piece.len())?;
        }
        Ok(())
    }

    /// Appends `buffer` once it is long, and empties it.
    #[inline]
    pub(super) fn settle<W>(
        &mut self,
        env: &mut Env<'_, W>,
        buffer: &mut Vec<u8>,
    ) -> Result<(), O::Error>
    where
        W: Workspace<Error = O::Error>,
    {
        if buffer.len() < PIECE_BYTES {
            return Ok(());
        }
        self.drain(env, buffer)
    }

    /// Appends `buffer`, and empties it.
    pub(super) fn drain<W>(
        &mut self,
        env: &mut Env<'_, W>,
        buffer: &mut Vec<u8>,
    ) -> Result<(), O::Error>
    where
        W: Workspace<Error = O::Error>,
    {
        self.write(env, buffer)?;
        buffer.clear();
        Ok(())
    }

    /// Writes a whole section.
    pub(super) fn section<W>(
        &mut self,
        env: &mut Env<'_, W>,
        section: Section,
        bytes: &[u8],
    ) -> Result<(), O::Error>
    where
        W: Workspace<Error = O::Error>,
    {
        self.begin(section)?;
        self.write(env, bytes)
    }

    /// Ends the file.
    pub(super) fn finish<W>(self, env: &mut Env<'_, W>) -> Result<Written, O::Error>
    where
        W: Workspace<Error = O::Error>,
    {
        let written = self.file.finish()?;
        env.report()?;
        Ok(written)
    }
}
