//! The mask file of a segment (`SPEC.md`, section 7): which of its rows are dead, which are hidden, and how
//! many links of each long list that takes out, as of one seq. Derived from the kills and the account states
//! of segments. Bits stand in chunks of 1,024 rows, those without any left out, and are read in place.

use std::ops::Deref;

use crate::bytes::{Reader, put_u32, put_u64};
use crate::chunks::{Region, SealedFile};
use crate::envelope::{FileBuilder, FileKind};
use crate::segment::ROWS_MAX;
use crate::{Error, Result};

/// The version of the layout that this build writes, and the only one it reads.
pub const VERSION: u16 = 1;
/// The bit of a row's state that says that the row is dead.
pub const DEAD: u8 = 1;
/// The bit of a row's state that says that the row is hidden.
pub const HIDDEN: u8 = 2;
/// Rows of a chunk.
pub const CHUNK_ROWS: u32 = 1_024;

/// Words of the bits of a chunk.
const WORDS: usize = CHUNK_ROWS as usize / 64;
const BITS_BYTES: usize = WORDS * 8;
const HEADER_BYTES: usize = 64;
/// Bytes of an entry of the directory: the places of the dead and of the hidden bits, counted from 1.
const ENTRY_BYTES: u64 = 8;
/// Bytes of an entry of the table of lists.
const LIST_BYTES: u64 = 8;

mod section {
    pub(super) const HEADER: u16 = 1;
    pub(super) const DIRECTORY: u16 = 2;
    pub(super) const BITS: u16 = 3;
    pub(super) const LISTS: u16 = 4;
}

/// What a mask file says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MaskHeader {
    /// The data directory.
    pub directory_id: [u8; 16],
    /// The segment's id in the manifest.
    pub segment_id: u64,
    /// XXH3-64 of the segment's file, as in the manifest.
    pub segment_checksum: u64,
    /// The effects of all events up to this seq are in the mask, and of no later one.
    pub through_seq: u64,
    /// Links of the masked rows.
    pub masked_links: u64,
    /// Rows of the segment.
    pub rows: u32,
    /// Rows that are dead or hidden.
    pub masked_rows: u32,
    /// Rows that are dead.
    pub dead_rows: u32,
    /// Rows that are hidden.
    pub hidden_rows: u32,
}

impl MaskHeader {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_BYTES);
        out.extend_from_slice(&self.directory_id);
        put_u64(&mut out, self.segment_id);
        put_u64(&mut out, self.segment_checksum);
        put_u64(&mut out, self.through_seq);
        put_u64(&mut out, self.masked_links);
        put_u32(&mut out, self.rows);
        put_u32(&mut out, self.masked_rows);
        put_u32(&mut out, self.dead_rows);
        put_u32(&mut out, self.hidden_rows);
        out
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        Ok(Self {
            directory_id: reader.array()?,
            segment_id: reader.u64()?,
            segment_checksum: reader.u64()?,
            through_seq: reader.u64()?,
            masked_links: reader.u64()?,
            rows: reader.u32()?,
            masked_rows: reader.u32()?,
            dead_rows: reader.u32()?,
            hidden_rows: reader.u32()?,
        })
    }
}

/// The bits of [`CHUNK_ROWS`] rows: bit *i* mod 64 of word *i* / 64 stands for row *i* of the chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Chunk {
    /// Dead rows.
    pub dead: [u64; WORDS],
    /// Hidden rows.
    pub hidden: [u64; WORDS],
}

impl Chunk {
    /// The bits of the word that holds `row` of the chunk, and the row's place in it.
    const fn place(row: u32) -> (usize, u32) {
        ((row % CHUNK_ROWS) as usize / 64, row % 64)
    }

    /// Sets the state of the row; its number is taken modulo [`CHUNK_ROWS`].
    pub fn set(&mut self, row: u32, state: u8) {
        let (word, bit) = Self::place(row);
        for (words, flag) in [(&mut self.dead, DEAD), (&mut self.hidden, HIDDEN)] {
            if let Some(word) = words.get_mut(word) {
                *word &= !(1 << bit);
                *word |= u64::from(state & flag != 0) << bit;
            }
        }
    }

    /// The state of the row; its number is taken modulo [`CHUNK_ROWS`].
    #[must_use]
    pub fn state(&self, row: u32) -> u8 {
        let (word, bit) = Self::place(row);
        let has = |words: &[u64; WORDS]| words.get(word).is_some_and(|word| word >> bit & 1 == 1);
        (u8::from(has(&self.dead)) * DEAD) | (u8::from(has(&self.hidden)) * HIDDEN)
    }

    /// Whether no row is dead or hidden.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Dead rows, hidden rows, and rows that are either.
    fn counts(&self) -> (u32, u32, u32) {
        let mut counts = (0, 0, 0);
        for (dead, hidden) in self.dead.iter().zip(&self.hidden) {
            counts.0 += dead.count_ones();
            counts.1 += hidden.count_ones();
            counts.2 += (dead | hidden).count_ones();
        }
        counts
    }

    /// Clears the bits from row `rows` of the chunk on.
    fn truncate(&mut self, rows: u32) {
        for (word, first) in (0..).step_by(64).enumerate().take(WORDS) {
            let kept = rows.saturating_sub(first).min(64);
            let keep = u64::MAX.checked_shr(64 - kept).unwrap_or(0);
            for words in [&mut self.dead, &mut self.hidden] {
                if let Some(word) = words.get_mut(word) {
                    *word &= keep;
                }
            }
        }
    }
}

/// Builds a mask file. `of` names the segment, the seq and the masked links; its counts of masked rows are
/// found out. `fill` is called with the number of each chunk in turn and sets its bits; `lists` are the
/// masked links of long lists, by rising list. Memory: the file.
///
/// # Errors
/// [`Error::TooLarge`] for more rows than a segment has; as `fill` does.
pub fn build(
    mut of: MaskHeader,
    fill: &mut dyn FnMut(u32, &mut Chunk) -> Result<()>,
    lists: &[(u32, u32)],
) -> Result<Vec<u8>> {
    if of.rows > ROWS_MAX {
        return Err(Error::TooLarge {
            what: "the number of rows of a mask",
            found: of.rows.into(),
            limit: ROWS_MAX.into(),
        });
    }
    (of.masked_rows, of.dead_rows, of.hidden_rows) = (0, 0, 0);
    let (mut directory, mut bits) = (Vec::new(), Vec::new());
    for number in 0..of.rows.div_ceil(CHUNK_ROWS) {
        let mut chunk = Chunk::default();
        fill(number, &mut chunk)?;
        chunk.truncate(of.rows - number * CHUNK_ROWS);
        let (dead, hidden, masked) = chunk.counts();
        of.dead_rows += dead;
        of.hidden_rows += hidden;
        of.masked_rows += masked;
        for (words, count) in [(&chunk.dead, dead), (&chunk.hidden, hidden)] {
            if count == 0 {
                put_u32(&mut directory, 0);
                continue;
            }
            for word in words {
                put_u64(&mut bits, *word);
            }
            // At most twice the number of chunks.
            put_u32(&mut directory, (bits.len() / BITS_BYTES) as u32);
        }
    }
    let mut table = Vec::with_capacity(lists.len().saturating_mul(LIST_BYTES as usize));
    for (list, masked) in lists {
        put_u32(&mut table, *list);
        put_u32(&mut table, *masked);
    }
    let mut file = FileBuilder::new(FileKind::Mask, VERSION);
    file.section(section::HEADER, &of.encode());
    file.section(section::DIRECTORY, &directory);
    file.section(section::BITS, &bits);
    file.section(section::LISTS, &table);
    Ok(file.finish())
}

/// An open mask file. Nothing in memory grows with it.
///
/// Methods that return a `Result` fail with [`Error::Corrupt`] where the bytes they read are damaged, or
/// where a row is not one of the segment's.
#[derive(Debug)]
pub struct MaskFile {
    file: SealedFile,
    header: MaskHeader,
}

impl MaskFile {
    /// Opens the bytes of a mask file. Reads the header alone.
    ///
    /// # Errors
    /// [`Error::Corrupt`] or [`Error::Version`]; either way the mask is to be made anew.
    pub fn open(
        name: String,
        data: impl Deref<Target = [u8]> + Send + Sync + 'static,
    ) -> Result<Self> {
        let file = SealedFile::open(name, data, FileKind::Mask, VERSION..=VERSION)?;
        let header = read_header(&file).map_err(|error| error.in_file(file.name()))?;
        Ok(Self { file, header })
    }

    /// What the file says of itself.
    #[must_use]
    pub const fn header(&self) -> &MaskHeader {
        &self.header
    }

    /// Bytes of the file.
    #[must_use]
    pub fn file_bytes(&self) -> u64 {
        self.file.file_len()
    }

    /// The name given at opening.
    #[must_use]
    pub fn name(&self) -> &str {
        self.file.name()
    }

    /// The state of a row, [`DEAD`] and [`HIDDEN`]. O(1).
    ///
    /// # Errors
    /// See [`MaskFile`].
    #[inline]
    pub fn state(&self, row: u32) -> Result<u8> {
        let (dead, hidden) = self.entry(row / CHUNK_ROWS, row)?;
        if dead | hidden == 0 {
            return Ok(0);
        }
        let bits = self.bits()?;
        let bit = |slot: u32| -> Result<u8> {
            let Some(place) = slot.checked_sub(1) else {
                return Ok(0);
            };
            let at = u64::from(place) * BITS_BYTES as u64 + u64::from(row % CHUNK_ROWS / 64) * 8;
            Ok((bits.u64_at(at)? >> (row % 64) & 1) as u8)
        };
        Ok((bit(dead)? * DEAD) | (bit(hidden)? * HIDDEN))
    }

    /// Reads the states of many rows, faster than one by one where they stand close together.
    #[must_use]
    pub const fn column(&self) -> MaskColumn<'_> {
        MaskColumn {
            file: self,
            chunk: u32::MAX,
            dead: None,
            hidden: None,
        }
    }

    /// The bits of the chunk `number`. O(1).
    ///
    /// # Errors
    /// See [`MaskFile`].
    pub fn chunk(&self, number: u32) -> Result<Chunk> {
        let (dead, hidden) = self.entry(number, number.saturating_mul(CHUNK_ROWS))?;
        let mut chunk = Chunk::default();
        for (words, slot) in [(&mut chunk.dead, dead), (&mut chunk.hidden, hidden)] {
            if let Some(bytes) = self.slot(slot)? {
                let (parts, _) = bytes.as_chunks::<8>();
                for (word, part) in words.iter_mut().zip(parts) {
                    *word = u64::from_le_bytes(*part);
                }
            }
        }
        Ok(chunk)
    }

    /// The number of chunks.
    #[must_use]
    pub const fn chunks(&self) -> u32 {
        self.header.rows.div_ceil(CHUNK_ROWS)
    }

    /// The masked links of a long list, 0 where the file has none. O(log lists).
    ///
    /// # Errors
    /// See [`MaskFile`].
    pub fn list(&self, list: u32) -> Result<u32> {
        let table = self.table()?;
        let (mut low, mut high) = (0, table.len() / LIST_BYTES);
        while low < high {
            let middle = low + (high - low) / 2;
            match table.u32_at(middle * LIST_BYTES)?.cmp(&list) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return table.u32_at(middle * LIST_BYTES + 4),
            }
        }
        Ok(0)
    }

    /// The long lists of which links are masked, with the number of these, by rising list.
    ///
    /// # Errors
    /// See [`MaskFile`]; each item may fail.
    pub fn lists(&self) -> Result<impl Iterator<Item = Result<(u32, u32)>> + '_> {
        let table = self.table()?;
        let places = 0..table.len() / LIST_BYTES;
        Ok(places.map(move |place| {
            let at = place * LIST_BYTES;
            Ok((table.u32_at(at)?, table.u32_at(at + 4)?))
        }))
    }

    /// Checks all checksums, and that bits, counts and lists agree. One pass over the file.
    ///
    /// # Errors
    /// [`Error::Corrupt`] naming the first damage.
    pub fn verify(&self) -> Result<()> {
        self.file.verify_all()?;
        let directory = self.directory()?;
        let (mut next_slot, mut sums) = (1, (0, 0, 0));
        for number in 0..self.chunks() {
            let (dead, hidden) = self.entry(number, number * CHUNK_ROWS)?;
            let chunk = self.chunk(number)?;
            let (dead_rows, hidden_rows, masked_rows) = chunk.counts();
            for (slot, rows) in [(dead, dead_rows), (hidden, hidden_rows)] {
                let expected = if rows == 0 { 0 } else { next_slot };
                if slot != expected {
                    let at = u64::from(number) * ENTRY_BYTES;
                    return Err(directory.corrupt(at, format!("the place {expected}"), slot));
                }
                next_slot += u32::from(rows != 0);
            }
            let mut cut = chunk;
            cut.truncate(self.header.rows - number * CHUNK_ROWS);
            if cut != chunk {
                let bits = self.bits()?;
                return Err(bits.corrupt(0, "no bits behind the last row", "some"));
            }
            sums.0 += dead_rows;
            sums.1 += hidden_rows;
            sums.2 += masked_rows;
        }
        let header = &self.header;
        let expected = (header.dead_rows, header.hidden_rows, header.masked_rows);
        let slots = u64::from(next_slot - 1) * BITS_BYTES as u64;
        let bits = self.bits()?;
        if sums != expected || bits.len() != slots {
            return Err(bits.corrupt(
                0,
                format!("{slots} bytes and (dead, hidden, masked) of {expected:?}"),
                format!("{} bytes and {sums:?}", bits.len()),
            ));
        }
        let (table, mut least) = (self.table()?, 0);
        for (place, list) in (0..).zip(self.lists()?) {
            let (list, masked) = list?;
            if u64::from(list) < least || masked == 0 || u64::from(masked) > header.masked_links {
                let expected = format!("a list from {least} on with some masked links");
                let found = format!("list {list} with {masked}");
                return Err(table.corrupt(place * LIST_BYTES, expected, found));
            }
            least = u64::from(list) + 1;
        }
        Ok(())
    }

    #[inline]
    fn directory(&self) -> Result<Region<'_>> {
        Ok(self.file.section(section::DIRECTORY)?.named("directory"))
    }

    #[inline]
    fn bits(&self) -> Result<Region<'_>> {
        Ok(self.file.section(section::BITS)?.named("bits"))
    }

    fn table(&self) -> Result<Region<'_>> {
        Ok(self.file.section(section::LISTS)?.named("lists"))
    }

    /// The places of the bits of a chunk, counted from 1; 0 for none.
    #[inline]
    fn entry(&self, chunk: u32, row: u32) -> Result<(u32, u32)> {
        let directory = self.directory()?;
        if row >= self.header.rows {
            return Err(directory.corrupt(0, format!("a row below {}", self.header.rows), row));
        }
        let entry = directory.u64_at(u64::from(chunk) * ENTRY_BYTES)?;
        // The two halves.
        Ok((entry as u32, (entry >> 32) as u32))
    }

    fn slot(&self, slot: u32) -> Result<Option<&[u8; BITS_BYTES]>> {
        let Some(place) = slot.checked_sub(1) else {
            return Ok(None);
        };
        let at = u64::from(place) * BITS_BYTES as u64;
        Ok(self.bits()?.get(at, BITS_BYTES)?.first_chunk())
    }
}

/// Reads states of rows, keeping its place.
#[derive(Debug, Clone)]
pub struct MaskColumn<'a> {
    file: &'a MaskFile,
    /// The chunk read last; no chunk has the number `u32::MAX`.
    chunk: u32,
    dead: Option<&'a [u8; BITS_BYTES]>,
    hidden: Option<&'a [u8; BITS_BYTES]>,
}

impl MaskColumn<'_> {
    /// The state of a row, [`DEAD`] and [`HIDDEN`]. O(1); cheapest for rows in rising or falling order.
    ///
    /// # Errors
    /// See [`MaskFile`].
    #[inline]
    pub fn get(&mut self, row: u32) -> Result<u8> {
        let chunk = row / CHUNK_ROWS;
        if chunk != self.chunk || row >= self.file.header.rows {
            self.seek(chunk, row)?;
        }
        let bit = |bits: Option<&[u8; BITS_BYTES]>| {
            let byte = bits.and_then(|bits| bits.get((row % CHUNK_ROWS / 8) as usize));
            byte.map_or(0, |byte| byte >> (row % 8) & 1)
        };
        Ok((bit(self.dead) * DEAD) | (bit(self.hidden) * HIDDEN))
    }

    fn seek(&mut self, chunk: u32, row: u32) -> Result<()> {
        let (dead, hidden) = self.file.entry(chunk, row)?;
        self.dead = self.file.slot(dead)?;
        self.hidden = self.file.slot(hidden)?;
        self.chunk = chunk;
        Ok(())
    }
}

fn read_header(file: &SealedFile) -> Result<MaskHeader> {
    let region = file.section(section::HEADER)?.named("header");
    let mut reader = Reader::new("header", region.get(0, HEADER_BYTES)?);
    let header = MaskHeader::decode(&mut reader)?;
    if region.len() != HEADER_BYTES as u64 {
        return Err(region.corrupt(0, format!("{HEADER_BYTES} bytes"), region.len()));
    }
    let directory = file.section(section::DIRECTORY)?.len();
    let bits = file.section(section::BITS)?.len();
    let lists = file.section(section::LISTS)?.len();
    let chunks = u64::from(header.rows.div_ceil(CHUNK_ROWS));
    if header.rows > ROWS_MAX
        || header.masked_rows > header.rows
        || header.dead_rows.max(header.hidden_rows) > header.masked_rows
        || directory != chunks * ENTRY_BYTES
        || bits % BITS_BYTES as u64 != 0
        || bits > 2 * chunks * BITS_BYTES as u64
        || lists % LIST_BYTES != 0
    {
        return Err(region.corrupt(
            48,
            "counts that agree with the sections",
            format!("{header:?}, {directory} bytes of directory, {bits} of bits, {lists} of lists"),
        ));
    }
    Ok(header)
}

#[cfg(test)]
mod tests;
