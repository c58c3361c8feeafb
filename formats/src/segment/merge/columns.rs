//! Columns that come value by value and stand in the file behind a head that is known at the end.

use super::output::Output;
use super::spill::{Spool, Spooled};
use crate::monotone::Encoder;
use crate::segment::layout::Section;
use crate::segment::rows::offset_u64;
use crate::segment::strings;
use crate::segment::workspace::{Env, Workspace};
use crate::sink::Sink;

/// A monotone list.
pub(super) struct MonotoneColumn<W: Workspace> {
    encoder: Encoder,
    skips: Spool<W>,
    blocks: Spool<W>,
}

impl<W: Workspace> MonotoneColumn<W> {
    pub(super) fn new() -> Self {
        Self {
            encoder: Encoder::new(),
            skips: Spool::new(),
            blocks: Spool::new(),
        }
    }

    /// Values so far.
    pub(super) const fn len(&self) -> u32 {
        self.encoder.len()
    }

    /// The last value, 0 before the first.
    pub(super) const fn last(&self) -> u32 {
        self.encoder.last()
    }

    #[inline]
    pub(super) fn push(&mut self, env: &mut Env<'_, W>, value: u32) -> Result<(), W::Error> {
        let (skips, blocks) = (self.skips.tail(), self.blocks.tail());
        self.encoder.push(value, skips, blocks);
        self.skips.settle(env)?;
        self.blocks.settle(env)
    }

    fn finish(mut self, env: &mut Env<'_, W>) -> Result<[Spooled<W>; 3], W::Error> {
        let mut head = Vec::new();
        let (skips, blocks) = (self.skips.tail(), self.blocks.tail());
        self.encoder.finish(skips, blocks, &mut head);
        let (skips, blocks) = (self.skips.finish(env)?, self.blocks.finish(env)?);
        Ok([Spooled::Memory(head), skips, blocks])
    }

    /// Appends the list to the section begun last.
    pub(super) fn append<O>(self, env: &mut Env<'_, W>, out: &mut Output<O>) -> Result<(), W::Error>
    where
        O: Sink<Error = W::Error>,
    {
        for part in self.finish(env)? {
            out.write(env, part.bytes())?;
        }
        Ok(())
    }

    /// Writes the list as a section.
    pub(super) fn section<O>(
        self,
        env: &mut Env<'_, W>,
        section: Section,
        out: &mut Output<O>,
    ) -> Result<(), W::Error>
    where
        O: Sink<Error = W::Error>,
    {
        out.begin(section)?;
        self.append(env, out)
    }

    /// The bytes of the list, to be read.
    pub(super) fn spooled(self, env: &mut Env<'_, W>) -> Result<Spooled<W>, W::Error> {
        let mut whole = Spool::new();
        for part in self.finish(env)? {
            for piece in part.bytes().chunks(64 << 10) {
                whole.write(env, piece)?;
            }
        }
        whole.finish(env)
    }
}

/// A table of strings.
pub(super) struct StringColumn<W: Workspace> {
    what: &'static str,
    /// Offsets, while they are so few that they stand plainly.
    plain: Vec<u32>,
    offsets: MonotoneColumn<W>,
    bytes: Spool<W>,
}

impl<W: Workspace> StringColumn<W> {
    pub(super) fn new(what: &'static str) -> Self {
        Self {
            what,
            plain: Vec::new(),
            offsets: MonotoneColumn::new(),
            bytes: Spool::new(),
        }
    }

    /// Strings so far.
    pub(super) const fn len(&self) -> u32 {
        self.offsets.len()
    }

    pub(super) fn push(&mut self, env: &mut Env<'_, W>, string: &str) -> Result<(), W::Error> {
        self.offset(env)?;
        self.bytes.write(env, string.as_bytes())
    }

    /// Notes where the next string begins.
    fn offset(&mut self, env: &mut Env<'_, W>) -> Result<(), W::Error> {
        let at = offset_u64(self.bytes.len(), self.what)?;
        if self.plain.len() <= strings::PLAIN_MAX as usize {
            self.plain.push(at);
        }
        self.offsets.push(env, at)
    }

    /// Writes the table as a section.
    pub(super) fn section<O>(
        mut self,
        env: &mut Env<'_, W>,
        section: Section,
        out: &mut Output<O>,
    ) -> Result<(), W::Error>
    where
        O: Sink<Error = W::Error>,
    {
        let count = self.len();
        self.offset(env)?;
        out.begin(section)?;
        out.write(env, &count.to_le_bytes())?;
        out.write(env, &self.offsets.last().to_le_bytes())?;
        if count <= strings::PLAIN_MAX {
            for offset in &self.plain {
                out.write(env, &offset.to_le_bytes())?;
            }
        } else {
            self.offsets.append(env, out)?;
        }
        let bytes = self.bytes.finish(env)?;
        out.write(env, bytes.bytes())
    }
}
