//! The limits of answers. The published lexicons state the same numbers.

/// The fewest items a page can be asked to hold.
pub const PAGE_ITEMS_MIN: u32 = 1;
/// The most items a page can be asked to hold.
pub const PAGE_ITEMS_MAX: u32 = 1_000;
/// The items of a page when nothing is asked.
pub const PAGE_ITEMS_DEFAULT: u32 = 100;
/// The most distinct subjects one table of many-to-many counts may hold. A table takes up to 90 bytes
/// a subject while it is made, so this bounds one query to some 200 MiB; beyond, the query is refused and
/// has to be narrowed.
pub const OTHER_SUBJECTS_MAX: usize = 2_000_000;
/// The most (subject, DID) pairs held at once while a table of many-to-many counts is made: 8 bytes each, and in the end
/// 4 more, some 200 MiB beside those for subjects.
pub const OTHER_PAIRS_MAX: usize = 16_000_000;
/// The bytes of the cache of distinct DIDs and many-to-many tables when nothing is configured.
pub const CACHE_BYTES_DEFAULT: usize = 64 << 20;
/// The links from which on a list's derived tables are kept when nothing is configured. Shorter lists are
/// walked each time: that costs tens of microseconds, and a cache full of them would hold nothing else.
pub const KEPT_LINKS_MIN_DEFAULT: u64 = 1_024;

/// The most collections of which records are given by example where none is named.
pub const SAMPLE_COLLECTIONS_MAX: usize = 1000;
/// The most collections that are looked at for those: some may have nothing to show, since all their records were
/// deleted or are hidden. Looking at such a one takes some microseconds in each segment.
pub const SAMPLE_COLLECTIONS_LOOKED_AT_MAX: usize = 4_000;
/// The most bytes of records that one answer gives by example.
pub const SAMPLE_BYTES_MAX: usize = 16 << 20;
