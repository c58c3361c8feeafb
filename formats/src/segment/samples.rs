//! Samples: the newest records of each collection, whole, so that a collection can be shown by example. They
//! stand by collection in byte order of its name, each collection's newest first, in blocks that are
//! compressed one by one.
//!
//! ```text
//! directory, 16 bytes for each collection
//!   u64     byte offset of its samples
//!   u64     the latest event time among them (µs)
//! of a collection
//!   varint  samples, 1 to 64
//!   blocks  varint raw length, varint compressed length, a zstd frame
//! an entry of a block
//!   varint  seq
//!   varint  event time (µs)
//!   u64     revision
//!   varint  actor
//!   u8      flags: 1 an update, 2 the body is DAG-CBOR
//!   varint  length, and the record key
//!   varint  length, and the record's body, byte for byte
//! ```

use std::ops::ControlFlow;

use zstd::bulk::{Compressor, Decompressor};

use super::Segment;
use super::build::bad;
use super::layout::Section;
use super::strings::{self, Strings};
use crate::bytes::{Reader, put_str, put_u64, put_varint};
use crate::chunks::Region;
use crate::event::Encoding;
use crate::{Error, Result};

/// The most samples of a collection in a segment.
pub const SAMPLES_MAX: usize = 64;
/// The longest body of a sample in bytes; nearly all records of the network are far shorter.
pub const SAMPLE_BODY_MAX: usize = 256 << 10;
/// The longest record key of a sample in bytes; the AT Protocol allows 512.
pub const SAMPLE_KEY_MAX: usize = 2048;

/// Entries go into one block up to this length, uncompressed; a longer entry has a block of its own. Longer blocks
/// compress better, shorter ones cost less to read the newest few from.
const BLOCK_BYTES: usize = 32 << 10;
/// The longest block, uncompressed: one entry, whose numbers take less than 64 bytes.
const RAW_MAX: usize = SAMPLE_BODY_MAX + SAMPLE_KEY_MAX + 64;
/// The compression level of zstd, as in the log.
const COMPRESSION_LEVEL: i32 = 3;
/// Bytes of the directory for each collection.
const ENTRY_BYTES: u64 = 16;
/// The most bytes of two varints.
const BLOCK_HEAD_MAX: u64 = 20;

const UPDATE: u8 = 1;
const DAG_CBOR: u8 = 2;

/// One record as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample<'a> {
    /// The collection.
    pub collection: &'a str,
    /// The event's number.
    pub seq: u64,
    /// The event's time in microseconds since 1970.
    pub time_us: u64,
    /// The repository's revision, a TID as a number.
    pub rev: u64,
    /// The author.
    pub actor: u32,
    /// Whether the event updated a record, rather than creating one.
    pub is_update: bool,
    /// How the body is encoded.
    pub encoding: Encoding,
    /// The record key, at most [`SAMPLE_KEY_MAX`] bytes.
    pub rkey: &'a str,
    /// The record, byte for byte as it came, at most [`SAMPLE_BODY_MAX`] bytes.
    pub body: &'a [u8],
}

/// A collection with samples in a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampleCollection<'a> {
    /// Its name.
    pub name: &'a str,
    /// The latest event time of its samples in microseconds since 1970.
    pub latest_us: u64,
}

/// Encodes samples collection by collection, in the order of their names.
pub(super) struct SamplesWriter {
    compressor: Compressor<'static>,
    raw: Vec<u8>,
    packed: Vec<u8>,
    /// Bytes of the collections so far.
    written: u64,
}

impl SamplesWriter {
    pub(super) fn new() -> Result<Self> {
        Ok(Self {
            compressor: Compressor::new(COMPRESSION_LEVEL).map_err(no_memory)?,
            raw: Vec::new(),
            packed: Vec::new(),
            written: 0,
        })
    }

    /// Appends the samples of the next collection, newest first.
    pub(super) fn push(
        &mut self,
        samples: &[Sample<'_>],
        directory: &mut Vec<u8>,
        data: &mut Vec<u8>,
    ) -> Result<()> {
        if !(1..=SAMPLES_MAX).contains(&samples.len()) {
            return Err(bad(0, "1 to 64 samples of a collection", samples.len()));
        }
        put_u64(directory, self.written);
        let latest = samples.iter().map(|sample| sample.time_us).max();
        put_u64(directory, latest.unwrap_or(0));
        let start = data.len();
        put_varint(data, samples.len() as u64);
        for sample in samples {
            if sample.body.len() > SAMPLE_BODY_MAX || sample.rkey.len() > SAMPLE_KEY_MAX {
                let found = sample.body.len().max(sample.rkey.len());
                return Err(bad(0, "a sample of bounded length", found));
            }
            let end = self.raw.len();
            put_entry(sample, &mut self.raw);
            if end > 0 && self.raw.len() > BLOCK_BYTES {
                let entry = self.raw.split_off(end);
                self.flush(data)?;
                self.raw = entry;
            }
        }
        self.flush(data)?;
        self.written += (data.len() - start) as u64;
        Ok(())
    }

    fn flush(&mut self, data: &mut Vec<u8>) -> Result<()> {
        self.packed.clear();
        self.packed
            .reserve(zstd::zstd_safe::compress_bound(self.raw.len()));
        self.compressor
            .compress_to_buffer(&self.raw, &mut self.packed)
            .map_err(no_memory)?;
        put_varint(data, self.raw.len() as u64);
        put_varint(data, self.packed.len() as u64);
        data.extend_from_slice(&self.packed);
        self.raw.clear();
        Ok(())
    }
}

fn no_memory(error: std::io::Error) -> Error {
    Error::corrupt("samples", 0, "memory to compress", error)
}

fn put_entry(sample: &Sample<'_>, out: &mut Vec<u8>) {
    put_varint(out, sample.seq);
    put_varint(out, sample.time_us);
    put_u64(out, sample.rev);
    put_varint(out, sample.actor.into());
    let update = if sample.is_update { UPDATE } else { 0 };
    let encoding = match sample.encoding {
        Encoding::Json => 0,
        Encoding::DagCbor => DAG_CBOR,
    };
    out.push(update | encoding);
    put_str(out, sample.rkey);
    put_varint(out, sample.body.len() as u64);
    out.extend_from_slice(sample.body);
}

fn read_entry<'a>(reader: &mut Reader<'a>, collection: &'a str) -> Result<Sample<'a>> {
    let (seq, time_us, rev) = (reader.varint()?, reader.varint()?, reader.u64()?);
    let actor = reader.varint_u32()?;
    let flags = reader.u8()?;
    if flags & !(UPDATE | DAG_CBOR) != 0 {
        return Err(reader.corrupt("flags of a sample", flags));
    }
    let rkey = reader.str()?;
    let len = reader.varint()?;
    // What is no length in memory is none in the block either.
    let body = reader.bytes(usize::try_from(len).unwrap_or(usize::MAX))?;
    Ok(Sample {
        collection,
        seq,
        time_us,
        rev,
        actor,
        is_update: flags & UPDATE != 0,
        encoding: if flags & DAG_CBOR == 0 {
            Encoding::Json
        } else {
            Encoding::DagCbor
        },
        rkey,
        body,
    })
}

/// The names, the directory and the data of samples in order of (collection, seq).
pub(super) fn encode(samples: &[Sample<'_>]) -> Result<[Vec<u8>; 3]> {
    let (mut names, mut directory, mut data) = (Vec::new(), Vec::new(), Vec::new());
    let mut writer = SamplesWriter::new()?;
    let key = |sample: &Sample<'_>| (sample.collection.to_owned(), sample.seq);
    if !samples.is_sorted_by(|a, b| (a.collection, a.seq) < (b.collection, b.seq)) {
        let found = samples.first().map(key);
        return Err(bad(
            0,
            "samples by collection and seq",
            format!("{found:?}"),
        ));
    }
    for group in samples.chunk_by(|a, b| a.collection == b.collection) {
        names.extend(group.first().map(|sample| sample.collection));
        let newest_first: Vec<Sample<'_>> = group.iter().rev().copied().collect();
        writer.push(&newest_first, &mut directory, &mut data)?;
    }
    let names = strings::encode(&names, "collections of samples")?;
    Ok([names, directory, data])
}

/// The samples of a segment.
#[derive(Clone, Copy)]
pub(super) struct Samples<'a> {
    names: Strings<'a>,
    directory: Region<'a>,
    data: Region<'a>,
}

impl<'a> Samples<'a> {
    fn name(&self, id: u32) -> Result<SampleCollection<'a>> {
        Ok(SampleCollection {
            name: self.names.get(id)?,
            latest_us: self.directory.u64_at(u64::from(id) * ENTRY_BYTES + 8)?,
        })
    }

    /// The count and the blocks of a collection.
    fn of(&self, id: u32) -> Result<(usize, Region<'a>)> {
        let at = u64::from(id) * ENTRY_BYTES;
        let start = self.directory.u64_at(at)?;
        let end = if id + 1 < self.names.count() {
            self.directory.u64_at(at + ENTRY_BYTES)?
        } else {
            self.data.len()
        };
        let Some(len) = end.checked_sub(start) else {
            return Err(self.directory.corrupt(at, "rising offsets", end));
        };
        let region = self.data.sub(start, len)?;
        // A varint of one byte.
        let count = region.u8_at(0)?;
        if !(1..=SAMPLES_MAX).contains(&usize::from(count)) {
            return Err(region.corrupt(0, "1 to 64 samples", count));
        }
        Ok((count.into(), region.from(1)?))
    }

    /// Calls `each` with the samples of a collection, newest first, until it breaks. Gives the bytes behind the last
    /// block that was read.
    fn walk(
        &self,
        id: u32,
        each: &mut dyn FnMut(Sample<'_>) -> ControlFlow<()>,
    ) -> Result<Region<'a>> {
        let name = self.names.get(id)?;
        let (mut left, mut region) = self.of(id)?;
        let mut raw = Vec::new();
        let mut decompressor = Decompressor::new().map_err(no_memory)?;
        let mut before = None;
        while left > 0 {
            let head = region.get(0, region.len().min(BLOCK_HEAD_MAX) as usize)?;
            let mut reader = Reader::new(Section::Samples.name(), head);
            let lengths = reader
                .varint()
                .and_then(|raw| Ok((raw, reader.varint()?)))
                .map_err(|_| region.corrupt(0, "the lengths of a block", "others"))?;
            let payload = region.sub(reader.position(), lengths.1)?;
            if lengths.0 > RAW_MAX as u64 {
                let expected = format!("at most {RAW_MAX} bytes of a block");
                return Err(region.corrupt(0, expected, lengths.0));
            }
            let raw_len = lengths.0 as usize;
            raw.clear();
            if raw.capacity() < raw_len {
                raw = Vec::new();
                raw.reserve_exact(raw_len);
            }
            let found = decompressor
                .decompress_to_buffer(payload.all()?, &mut raw)
                .map_err(|error| payload.corrupt(0, "a zstd frame", error))?;
            if found != raw_len {
                return Err(payload.corrupt(0, format!("{raw_len} bytes"), found));
            }
            let mut reader = Reader::new(Section::Samples.name(), &raw);
            while !reader.is_empty() {
                let entry = read_entry(&mut reader, name)
                    .map_err(|error| payload.corrupt(0, "samples in a block", error))?;
                if left == 0 || before.is_some_and(|before| before <= entry.seq) {
                    let expected = "as many samples as are told, of falling seqs";
                    return Err(payload.corrupt(0, expected, entry.seq));
                }
                before = Some(entry.seq);
                left -= 1;
                if each(entry).is_break() {
                    return Ok(region);
                }
            }
            region = region.from(reader_end(&region, &payload))?;
        }
        Ok(region)
    }

    /// Checks that names rise, that collections stand back to back, and all samples.
    pub(super) fn verify(&self, seqs: std::ops::RangeInclusive<u64>) -> Result<()> {
        let entries = u64::from(self.names.count()) * ENTRY_BYTES;
        if self.directory.len() != entries {
            let found = self.directory.len();
            return Err(self.directory.corrupt(0, format!("{entries} bytes"), found));
        }
        if self.names.count() == 0 && !self.data.is_empty() {
            return Err(self.data.corrupt(0, "no samples", self.data.len()));
        }
        let mut before = None;
        for id in 0..self.names.count() {
            let SampleCollection { name, latest_us } = self.name(id)?;
            let at = u64::from(id) * ENTRY_BYTES;
            if before.is_some_and(|before| before >= name) {
                return Err(self.directory.corrupt(at, "rising collections", name));
            }
            if before.is_none() && self.directory.u64_at(at)? != 0 {
                return Err(self.directory.corrupt(at, "offset 0", "another"));
            }
            before = Some(name);
            let (mut latest, mut outside) = (0, None);
            let rest = self.walk(id, &mut |sample| {
                latest = latest.max(sample.time_us);
                if !seqs.contains(&sample.seq) {
                    outside = Some(sample.seq);
                }
                ControlFlow::Continue(())
            })?;
            if let Some(seq) = outside {
                return Err(rest.corrupt(0, "seqs in the range of the segment", seq));
            }
            if latest != latest_us {
                return Err(self
                    .directory
                    .corrupt(at + 8, latest.to_string(), latest_us));
            }
            if !rest.is_empty() {
                return Err(rest.corrupt(0, "the end of the collection", rest.len()));
            }
        }
        Ok(())
    }
}

/// Where in `region` the bytes behind `payload`, a part of it, begin.
fn reader_end(region: &Region<'_>, payload: &Region<'_>) -> u64 {
    payload.base() + payload.len() - region.base()
}

impl Segment {
    pub(super) fn sample_blocks(&self) -> Result<Samples<'_>> {
        Ok(Samples {
            names: self.strings(Section::SampleCollections)?,
            directory: self.section(Section::SampleDirectory)?,
            data: self.section(Section::Samples)?,
        })
    }

    /// The collections with samples, in byte order of their names. Ends after an error.
    ///
    /// # Errors
    /// See [`Segment`].
    pub fn sample_collections(&self) -> Result<SampleCollections<'_>> {
        Ok(SampleCollections {
            samples: self.sample_blocks()?,
            next: 0,
        })
    }

    /// How many samples of the collection there are. O(log collections).
    ///
    /// # Errors
    /// See [`Segment`].
    pub fn samples_len(&self, collection: &str) -> Result<usize> {
        let samples = self.sample_blocks()?;
        match samples.names.find(collection)? {
            Some(id) => Ok(samples.of(id)?.0),
            None => Ok(0),
        }
    }

    /// Calls `each` with the samples of the collection, newest first, until it breaks. Decompresses block by
    /// block; memory is bounded by the largest sample.
    ///
    /// # Errors
    /// See [`Segment`].
    pub fn samples(
        &self,
        collection: &str,
        each: &mut dyn FnMut(Sample<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        let samples = self.sample_blocks()?;
        match samples.names.find(collection)? {
            Some(id) => samples.walk(id, each).map(drop),
            None => Ok(()),
        }
    }

    /// Bytes of the sections of samples.
    #[must_use]
    pub fn samples_bytes(&self) -> u64 {
        SECTIONS
            .iter()
            .map(|section| section.of(self.file()).map_or(0, |region| region.len()))
            .sum()
    }
}

const SECTIONS: [Section; 3] = [
    Section::SampleCollections,
    Section::SampleDirectory,
    Section::Samples,
];

/// Whether the section of that name is about samples.
#[must_use]
pub fn is_sample_section(name: &str) -> bool {
    SECTIONS.iter().any(|section| section.name() == name)
}

/// The collections with samples of a segment.
#[derive(Clone)]
pub struct SampleCollections<'s> {
    samples: Samples<'s>,
    next: u32,
}

impl<'s> Iterator for SampleCollections<'s> {
    type Item = Result<SampleCollection<'s>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.samples.names.count() {
            return None;
        }
        let name = self.samples.name(self.next);
        self.next = if name.is_ok() {
            self.next + 1
        } else {
            u32::MAX
        };
        Some(name)
    }
}
