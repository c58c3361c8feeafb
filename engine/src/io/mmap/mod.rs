//! Read-only views of sealed files. This module and its children are the only ones with `unsafe`: here one
//! call, which maps a file; in [`sigbus`] what tells of a read error in a mapping; in [`heap`] when freed memory is
//! unmapped.
//!
//! What makes the mapping sound is a rule of the data directory, kept by the rest of the engine: a
//! sealed file is written under a temporary name, synced and renamed, and from then on it is never
//! written, truncated or grown by anyone; it is only ever unlinked, which leaves existing mappings
//! whole. The exclusive lock of [`crate::lock`] keeps a second engine out.

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::path::Path;

mod heap;
mod sigbus;
mod table;

pub use heap::give_back_freed_memory;
pub use sigbus::catch_faults;

/// The bytes of a sealed file: mapped, or read onto the heap.
#[derive(Debug)]
pub struct Mapped(Bytes);

#[derive(Debug)]
enum Bytes {
    Map(Listed),
    Heap(Box<[u8]>),
}

/// A mapping that faults are looked up in. The entry goes before the mapping does.
#[derive(Debug)]
struct Listed {
    _entry: Option<table::Entry>,
    map: memmap2::Mmap,
}

impl Mapped {
    /// Maps the whole of a sealed file, which is at `path`. An empty file gives an empty slice.
    ///
    /// # Errors
    /// What the system says against the mapping.
    pub fn map(file: &File, path: &Path) -> io::Result<Self> {
        if file.metadata()?.len() == 0 {
            return Ok(Self::heap(Vec::new()));
        }
        // SAFETY: `Mmap` demands that the file is not modified while it is mapped. `file` is a sealed
        // file of the data directory (see the module's documentation): nothing in this process writes
        // to it or truncates it, and no other process that honours the directory's lock does. The
        // mapping is read-only and its length is the file's length at this moment.
        let map = unsafe { memmap2::Mmap::map(file)? };
        Ok(Self(Bytes::Map(Listed {
            _entry: sigbus::enter(path, &map),
            map,
        })))
    }

    /// Bytes held on the heap, for file systems without mappings and for reading past a damaged disk.
    #[must_use]
    pub fn heap(bytes: Vec<u8>) -> Self {
        Self(Bytes::Heap(bytes.into_boxed_slice()))
    }

    /// Whether the bytes are mapped from a file.
    #[must_use]
    pub const fn is_mapped(&self) -> bool {
        matches!(self.0, Bytes::Map(_))
    }

    /// Tells the kernel that reads will be scattered, so that it reads no pages ahead. Only a hint.
    pub fn advise_random(&self) {
        if let Bytes::Map(Listed { map, .. }) = &self.0 {
            drop(map.advise(memmap2::Advice::Random));
        }
    }
}

impl Deref for Mapped {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.0 {
            Bytes::Map(listed) => &listed.map,
            Bytes::Heap(bytes) => bytes,
        }
    }
}
