//! The key index of one log file (`SPEC.md`, section 5): for each key that the file's commits touch,
//! the highest rev applied there and where in the log its newest event stands. A sealed file, read in place;
//! derived from its log file, which rebuilds it.
//!
//! A key is known by a 64-bit fingerprint of actor, collection and record key, made with a secret of
//! the directory, so that nobody outside can aim for two keys with one fingerprint; by chance, two of
//! the 20 million keys of a window share one with a probability of about 10^-5.

use std::cmp::Ordering;
use std::ops::{Deref, Range};

use crate::bits::{BitWriter, packed_len, read_bits, width_for};
use crate::bytes::{Reader, put_u32, put_u64};
use crate::chunks::{Region, SealedFile};
use crate::envelope::{FileBuilder, FileKind};
use crate::{Error, Result};
use xxhash_rust::xxh3::Xxh3;

/// The version of key indexes that this code writes, and the only one it reads: an index of another
/// version is rebuilt from its log file.
pub const VERSION: u16 = 3;
/// Bytes of the header section.
pub const HEADER_BYTES: usize = 96;
/// Frames are named by their offset in units of this many bytes (`frame::ALIGNMENT`).
pub const FRAME_UNIT: u64 = 8;
/// Buckets are the least power of two of which each holds fewer entries than twice as many, on average.
const BUCKET_ENTRIES: usize = 8;
/// One in so many revs at each end may be far from the others.
const FAR_SHARE: usize = 64;
/// Bytes of a far rev: the place of its entry and itself.
const FAR_BYTES: u64 = 12;

mod section {
    pub(super) const HEADER: u16 = 1;
    pub(super) const DIRECTORY: u16 = 2;
    pub(super) const ENTRIES: u16 = 3;
    pub(super) const FRAMES: u16 = 4;
    pub(super) const FAR_REVS: u16 = 5;
}

/// The seeded XXH3-64 of `collection`, a zero byte and `rkey`.
#[must_use]
pub fn key_hash(seed: u64, collection: &str, rkey: &str) -> u64 {
    const STACK: usize = 256;
    let (c, r) = (collection.as_bytes(), rkey.as_bytes());
    let length = c.len() + 1 + r.len();
    // One pass over a copy on the stack is several times as fast as the streaming hasher, whose state
    // alone is 576 bytes; both give the same value.
    let mut buffer = [0_u8; STACK];
    if let Some(room) = buffer.get_mut(..length)
        && let Some((first, rest)) = room.split_at_mut_checked(c.len())
        && let Some(last) = rest.get_mut(1..)
    {
        first.copy_from_slice(c);
        last.copy_from_slice(r);
        return xxhash_rust::xxh3::xxh3_64_with_seed(room, seed);
    }
    let mut hasher = Xxh3::with_seed(seed);
    hasher.update(c);
    hasher.update(&[0]);
    hasher.update(r);
    hasher.digest()
}

/// The fingerprint of a key: its [`key_hash`] mixed with its actor. For one actor it is a bijection of
/// the hash. The constants are those of MurmurHash3's 64-bit finalizer (Appleby 2011).
#[must_use]
#[inline]
pub const fn fingerprint(actor: u32, hash: u64) -> u64 {
    let mut x = hash ^ (actor as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    x = (x ^ (x >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    x ^ (x >> 33)
}

/// What the index knows about a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyEntry {
    /// [`fingerprint`] of the key.
    pub fingerprint: u64,
    /// The highest rev applied to it.
    pub rev: u64,
    /// Offset of the frame with its newest event, in units of [`FRAME_UNIT`].
    pub frame: u32,
    /// That event's place in the frame.
    pub ordinal: u32,
}

/// What a key index says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeysHeader {
    /// The first seq of the log file, which names it.
    pub first_seq: u64,
    /// The last seq of the log file.
    pub last_seq: u64,
    /// The length of the log file. An index whose log file has another length is stale.
    pub log_bytes: u64,
    /// The seed of the checksums of the log file ([`crate::frame::FileHeader::seed`]).
    pub log_seed: u64,
    /// The least rev in the index, 0 without entries.
    pub min_rev: u64,
    /// The greatest rev in the index, 0 without entries.
    pub max_rev: u64,
    /// Number of entries.
    pub count: u32,
    /// The directory has 2 to this power buckets, by the top bits of the fingerprint.
    pub bucket_bits: u32,
}

/// Builds the index of the log file that `of` names (its `first_seq`, `last_seq`, `log_bytes` and
/// `log_seed`; the rest is found out) from entries in any order, each fingerprint once.
///
/// # Errors
/// [`Error::TooLarge`] for more entries than a `u32` counts.
pub fn build(of: KeysHeader, mut entries: Vec<KeyEntry>) -> Result<Vec<u8>> {
    let Ok(count) = u32::try_from(entries.len()) else {
        return Err(Error::TooLarge {
            what: "the number of keys of a log file",
            found: entries.len() as u64,
            limit: u64::from(u32::MAX),
        });
    };
    entries.sort_unstable_by_key(|entry| entry.fingerprint);
    let bucket_bits = (entries.len() / BUCKET_ENTRIES)
        .next_power_of_two()
        .trailing_zeros();
    let mut frames: Vec<u32> = entries.iter().map(|entry| entry.frame).collect();
    frames.sort_unstable();
    frames.dedup();
    let max = |of: fn(&KeyEntry) -> u64| entries.iter().map(of).max().unwrap_or(0);
    let (base_rev, rev_bits) = rev_range(&entries);
    let layout = Layout {
        bucket_bits,
        base_rev,
        rev_bits,
        // At most as many as there are entries.
        frames: frames.len() as u32,
        far_revs: 0,
        frame_bits: width_for(frames.len().saturating_sub(1) as u64),
        ordinal_bits: width_for(max(|entry| entry.ordinal.into())),
    };
    let mut directory = Vec::with_capacity((1 << bucket_bits) * 4 + 4);
    let (mut packed, mut far) = (BitWriter::new(), Vec::new());
    let mut buckets = 0;
    for (index, entry) in entries.iter().enumerate() {
        while buckets <= bucket_of(entry.fingerprint, bucket_bits) {
            put_u32(&mut directory, index as u32);
            buckets += 1;
        }
        packed.write(entry.fingerprint, layout.fingerprint_bits());
        packed.write(layout.near(entry.rev).unwrap_or(u64::MAX), rev_bits);
        if layout.near(entry.rev).is_none() {
            put_u32(&mut far, index as u32);
            put_u64(&mut far, entry.rev);
        }
        let frame = frames.binary_search(&entry.frame).unwrap_or_default();
        packed.write(frame as u64, layout.frame_bits);
        packed.write(entry.ordinal.into(), layout.ordinal_bits);
    }
    while buckets <= 1 << bucket_bits {
        put_u32(&mut directory, count);
        buckets += 1;
    }
    let mut header = Vec::with_capacity(HEADER_BYTES);
    let min_rev = entries.iter().map(|entry| entry.rev).min().unwrap_or(0);
    for value in [of.first_seq, of.last_seq, of.log_bytes, of.log_seed] {
        put_u64(&mut header, value);
    }
    for value in [min_rev, max(|entry| entry.rev), base_rev] {
        put_u64(&mut header, value);
    }
    let far_revs = (far.len() as u64 / FAR_BYTES) as u32;
    for value in [count, bucket_bits, layout.frames, far_revs] {
        put_u32(&mut header, value);
    }
    for bits in [rev_bits, layout.frame_bits, layout.ordinal_bits] {
        // At most 64.
        header.push(bits as u8);
    }
    header.resize(HEADER_BYTES, 0);
    let mut offsets = Vec::with_capacity(frames.len() * 4);
    for frame in frames {
        put_u32(&mut offsets, frame);
    }
    let mut file = FileBuilder::new(FileKind::KeyIndex, VERSION);
    file.section(section::HEADER, &header);
    file.section(section::DIRECTORY, &directory);
    file.section(section::ENTRIES, &packed.finish());
    file.section(section::FRAMES, &offsets);
    file.section(section::FAR_REVS, &far);
    Ok(file.finish())
}

/// The least of the revs that stand in entries, and the width of what they lie above it: nearly all of them, without what
/// is far from the rest at either end, as seqs of account events and revs of wrong clocks are. O(entries).
fn rev_range(entries: &[KeyEntry]) -> (u64, u32) {
    let mut revs: Vec<u64> = entries.iter().map(|entry| entry.rev).collect();
    let skipped = revs.len() / FAR_SHARE;
    let Some(last) = revs.len().checked_sub(1 + skipped) else {
        return (0, 0);
    };
    let high = *revs.select_nth_unstable(last).1;
    let low = *revs.select_nth_unstable(skipped).1;
    // One more than the widest, so that no rev in an entry has all bits set. A rev has 63 bits.
    (low, width_for(high.saturating_sub(low).saturating_add(1)))
}

/// How entries are packed.
#[derive(Debug, Clone, Copy)]
struct Layout {
    bucket_bits: u32,
    base_rev: u64,
    rev_bits: u32,
    frames: u32,
    far_revs: u32,
    frame_bits: u32,
    ordinal_bits: u32,
}

impl Layout {
    const fn fingerprint_bits(&self) -> u32 {
        64 - self.bucket_bits
    }

    const fn entry_bits(&self) -> u64 {
        (self.fingerprint_bits() + self.rev_bits + self.frame_bits + self.ordinal_bits) as u64
    }

    /// What stands for a far rev.
    const fn far(&self) -> u64 {
        match u64::MAX.checked_shr(64 - self.rev_bits) {
            Some(far) => far,
            None => 0,
        }
    }

    /// What stands in an entry for a rev, none where it is far.
    fn near(&self, rev: u64) -> Option<u64> {
        rev.checked_sub(self.base_rev)
            .filter(|above| *above < self.far())
    }

    /// The lowest bits of a fingerprint, which its entry has.
    const fn low(&self, fingerprint: u64) -> u64 {
        fingerprint & (u64::MAX >> self.bucket_bits)
    }
}

/// The bucket of a fingerprint: its top bits.
const fn bucket_of(fingerprint: u64, bucket_bits: u32) -> u64 {
    // A shift by 64, for a single bucket, is what `checked_shr` leaves out.
    match fingerprint.checked_shr(64 - bucket_bits) {
        Some(bucket) => bucket,
        None => 0,
    }
}

/// An open key index.
#[derive(Debug)]
pub struct KeysFile {
    file: SealedFile,
    header: KeysHeader,
    layout: Layout,
}

impl KeysFile {
    /// Opens the bytes of an index.
    ///
    /// # Errors
    /// [`Error::Corrupt`] or [`Error::Version`]; either way the index is to be rebuilt.
    pub fn open(
        name: String,
        data: impl Deref<Target = [u8]> + Send + Sync + 'static,
    ) -> Result<Self> {
        let file = SealedFile::open(name, data, FileKind::KeyIndex, VERSION..=VERSION)?;
        let (header, layout) = read_header(&file).map_err(|error| error.in_file(file.name()))?;
        Ok(Self {
            file,
            header,
            layout,
        })
    }

    /// What the index says of itself.
    #[must_use]
    pub const fn header(&self) -> &KeysHeader {
        &self.header
    }

    /// Bytes of the file.
    #[must_use]
    pub fn file_bytes(&self) -> u64 {
        self.file.file_len()
    }

    /// The entry with that fingerprint. O(1) expected: one bucket of the directory, about eight entries.
    ///
    /// # Errors
    /// [`Error::Corrupt`] where the bytes are damaged.
    pub fn find(&self, fingerprint: u64) -> Result<Option<KeyEntry>> {
        let bucket = bucket_of(fingerprint, self.header.bucket_bits);
        let entries = self.entries_region()?;
        let wanted = self.layout.low(fingerprint);
        for index in self.bucket(bucket)? {
            let at = u64::from(index) * self.layout.entry_bits();
            let low = read_bits(entries, at, self.layout.fingerprint_bits())?;
            if low >= wanted {
                let found = (low == wanted).then(|| self.entry(entries, index, bucket));
                return found.transpose();
            }
        }
        Ok(None)
    }

    /// Every entry, by fingerprint.
    ///
    /// # Errors
    /// Each item fails where the bytes are damaged.
    pub fn entries(&self) -> impl Iterator<Item = Result<KeyEntry>> + '_ {
        (0..1_u64 << self.header.bucket_bits).flat_map(move |bucket| {
            let (range, error) = match self.bucket(bucket) {
                Ok(range) => (range, None),
                Err(error) => (0..0, Some(Err(error))),
            };
            let entries = range.map(move |index| self.entry(self.entries_region()?, index, bucket));
            entries.chain(error)
        })
    }

    fn entries_region(&self) -> Result<Region<'_>> {
        Ok(self.file.section(section::ENTRIES)?.named("entries"))
    }

    /// The entries of a bucket.
    fn bucket(&self, bucket: u64) -> Result<Range<u32>> {
        let directory = self.file.section(section::DIRECTORY)?.named("directory");
        let at = bucket * 4;
        let (begin, end) = (directory.u32_at(at)?, directory.u32_at(at + 4)?);
        if begin > end || end > self.header.count {
            return Err(directory.corrupt(at, "rising buckets", format!("{begin} to {end}")));
        }
        Ok(begin..end)
    }

    fn entry(&self, entries: Region<'_>, index: u32, bucket: u64) -> Result<KeyEntry> {
        let layout = &self.layout;
        let mut at = u64::from(index) * layout.entry_bits();
        let mut next = |bits: u32| {
            let value = read_bits(entries, at, bits);
            at += u64::from(bits);
            value
        };
        let low = next(layout.fingerprint_bits())?;
        let rev = next(layout.rev_bits)?;
        let frame = next(layout.frame_bits)?;
        let ordinal = next(layout.ordinal_bits)?;
        let top = bucket.checked_shl(layout.fingerprint_bits());
        let frames = self.file.section(section::FRAMES)?.named("frames");
        Ok(KeyEntry {
            fingerprint: top.unwrap_or_default() | low,
            rev: match rev == layout.far() {
                true => self.far_rev(index)?,
                false => layout.base_rev.saturating_add(rev),
            },
            frame: frames.u32_at(frame * 4)?,
            // At most 32 bits wide.
            ordinal: ordinal as u32,
        })
    }

    /// The rev that stands beside the entries. O(log of those).
    fn far_rev(&self, index: u32) -> Result<u64> {
        let far = self.file.section(section::FAR_REVS)?.named("far revs");
        let (mut low, mut high) = (0, u64::from(self.layout.far_revs));
        while low < high {
            let middle = low + (high - low) / 2;
            match far.u32_at(middle * FAR_BYTES)?.cmp(&index) {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                Ordering::Equal => return far.u64_at(middle * FAR_BYTES + 4),
            }
        }
        Err(far.corrupt(low * FAR_BYTES, format!("the rev of entry {index}"), "none"))
    }

    /// Checks all checksums, and that entries and directory agree.
    ///
    /// # Errors
    /// [`Error::Corrupt`] naming the first damage.
    pub fn verify(&self) -> Result<()> {
        self.file.verify_all()?;
        let directory = self.file.section(section::DIRECTORY)?.named("directory");
        let entries = self.entries_region()?;
        let (mut previous, mut met, mut far) = (None, 0_u32, 0_u32);
        for entry in self.entries() {
            let entry = entry?;
            let in_range = (self.header.min_rev..=self.header.max_rev).contains(&entry.rev);
            if previous >= Some(entry.fingerprint) || !in_range {
                let at = u64::from(met) * self.layout.entry_bits() / 8;
                return Err(entries.corrupt(at, "a greater entry in range", format!("{entry:?}")));
            }
            previous = Some(entry.fingerprint);
            met = met.saturating_add(1);
            far = far.saturating_add(u32::from(self.layout.near(entry.rev).is_none()));
        }
        // Each bucket is sound by itself; together they are where each begins with the end of the one before.
        let first = directory.u32_at(0)?;
        if first != 0 || met != self.header.count {
            let expected = format!("{} entries from 0 on", self.header.count);
            return Err(directory.corrupt(0, expected, format!("{met} from {first} on")));
        }
        if far != self.layout.far_revs {
            let region = self.file.section(section::FAR_REVS)?.named("far revs");
            return Err(region.corrupt(0, format!("{far} far revs"), self.layout.far_revs));
        }
        let frames = self.file.section(section::FRAMES)?.named("frames");
        rise(frames, self.layout.frames, 4)?;
        let far = self.file.section(section::FAR_REVS)?.named("far revs");
        rise(far, self.layout.far_revs, FAR_BYTES)
    }
}

/// Whether the integers that `count` records of so many bytes begin with rise.
fn rise(region: Region<'_>, count: u32, record_bytes: u64) -> Result<()> {
    let mut before = None;
    for at in (0..u64::from(count)).map(|place| place * record_bytes) {
        let value = region.u32_at(at)?;
        if before >= Some(value) {
            return Err(region.corrupt(at, "rising numbers", value));
        }
        before = Some(value);
    }
    Ok(())
}

fn read_header(file: &SealedFile) -> Result<(KeysHeader, Layout)> {
    let region = file.section(section::HEADER)?.named("header");
    let mut reader = Reader::new("header", region.get(0, HEADER_BYTES)?);
    let mut header = KeysHeader {
        first_seq: reader.u64()?,
        last_seq: reader.u64()?,
        log_bytes: reader.u64()?,
        log_seed: reader.u64()?,
        min_rev: reader.u64()?,
        max_rev: reader.u64()?,
        count: 0,
        bucket_bits: 0,
    };
    let base_rev = reader.u64()?;
    header.count = reader.u32()?;
    header.bucket_bits = reader.u32()?;
    let layout = Layout {
        bucket_bits: header.bucket_bits,
        base_rev,
        frames: reader.u32()?,
        far_revs: reader.u32()?,
        rev_bits: reader.u8()?.into(),
        frame_bits: reader.u8()?.into(),
        ordinal_bits: reader.u8()?.into(),
    };
    reader.zeros(HEADER_BYTES - 75)?;
    let length = |id| Ok::<u64, Error>(file.section(id)?.len());
    let (entries, directory) = (length(section::ENTRIES)?, length(section::DIRECTORY)?);
    let (frames, far) = (length(section::FRAMES)?, length(section::FAR_REVS)?);
    let are_widths = header.bucket_bits <= 32
        && layout.rev_bits <= 64
        && layout.frame_bits <= 32
        && layout.ordinal_bits <= 32;
    if !are_widths
        || directory != ((1 << header.bucket_bits) + 1) * 4
        || entries != packed_len(header.count.into(), layout.entry_bits() as u32)
        || frames != u64::from(layout.frames) * 4
        || far != u64::from(layout.far_revs) * FAR_BYTES
    {
        return Err(region.corrupt(
            56,
            format!("{entries} bytes of entries, {directory} of directory, {frames} of frames, {far} of far revs"),
            format!("{} entries in 2^{} buckets, {layout:?}", header.count, header.bucket_bits),
        ));
    }
    Ok((header, layout))
}

#[cfg(test)]
mod tests;
