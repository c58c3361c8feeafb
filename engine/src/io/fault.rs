//! A file system in memory that can lose power and fail, for tests. It keeps apart what programs see
//! and what the disk holds, and moves from one to the other only what was synced.
//!
//! After a power cut, each 512-byte sector that was written and not synced is there or not, each by a
//! coin; a file's length is the old, the new, or one between; names that were made, changed or removed
//! without a sync of their directory are undone from some point on. A failed sync drops the written
//! sectors for good while reads go on seeing them, and the next sync of the file reports success: what
//! Linux file systems do. Directories themselves are durable at once.

mod calls;
mod images;

pub use images::{Image, Loss};

use super::fs::Fs;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes that a disk writes whole or not at all.
const SECTOR_BYTES: usize = 512;

/// The simulated file system. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct SimFs {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    inodes: Vec<Inode>,
    names: BTreeMap<PathBuf, usize>,
    disk_names: BTreeMap<PathBuf, usize>,
    pending: Vec<NameChange>,
    dirs: BTreeSet<PathBuf>,
    locks: BTreeSet<PathBuf>,
    calls: u64,
    syncs: u64,
    fail_call: Option<u64>,
    fail_sync: Option<u64>,
    stop_call: Option<u64>,
    /// The most bytes that all files together take.
    capacity: Option<u64>,
    /// From that call on there is room for so many bytes.
    fill: Option<(u64, u64)>,
    /// Whether the free space is told as it is.
    hides_free_space: bool,
    /// What the file system was before each call, where that is recorded.
    images: Option<Vec<Image>>,
}

#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Inode {
    data: Vec<u8>,
    disk: Vec<u8>,
    dirty: BTreeSet<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum NameChange {
    Link(PathBuf, usize),
    Unlink(PathBuf),
    Rename(PathBuf, PathBuf),
}

impl NameChange {
    fn dir(&self) -> Option<&Path> {
        match self {
            Self::Link(path, _) | Self::Unlink(path) | Self::Rename(path, _) => path.parent(),
        }
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, usize>) {
        match self {
            Self::Link(path, inode) => {
                names.insert(path.clone(), *inode);
            }
            Self::Unlink(path) => {
                names.remove(path);
            }
            Self::Rename(from, to) => {
                if let Some(inode) = names.remove(from) {
                    names.insert(to.clone(), inode);
                }
            }
        }
    }
}

/// What to do with a call.
enum Verdict {
    Go,
    /// Fail, having done a part of it.
    Fail,
}

impl State {
    /// Counts a call and decides its fate.
    fn call(&mut self, is_sync: bool) -> io::Result<Verdict> {
        self.take_image();
        let call = self.calls;
        self.calls += 1;
        if self.stop_call.is_some_and(|stop| call >= stop) {
            return Err(io::Error::other("simulated: the power is off"));
        }
        if let Some((_, left)) = self.fill.take_if(|(at, _)| call >= *at) {
            self.capacity = Some(self.used() + left);
        }
        let mut fails = self.fail_call == Some(call);
        if is_sync {
            fails |= self.fail_sync == Some(self.syncs);
            self.syncs += 1;
        }
        Ok(if fails { Verdict::Fail } else { Verdict::Go })
    }

    /// A call that has no half-done state.
    fn whole_call(&mut self) -> io::Result<()> {
        match self.call(false)? {
            Verdict::Go => Ok(()),
            Verdict::Fail => Err(failure()),
        }
    }

    /// Bytes of all files that have a name.
    fn used(&self) -> u64 {
        let files = self
            .names
            .values()
            .filter_map(|inode| self.inodes.get(*inode));
        files.map(|file| file.data.len() as u64).sum()
    }

    fn free(&self) -> u64 {
        self.capacity
            .map_or(u64::MAX, |capacity| capacity.saturating_sub(self.used()))
    }

    fn inode(&self, path: &Path) -> io::Result<usize> {
        self.names
            .get(path)
            .copied()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn get(&self, inode: usize) -> io::Result<&Inode> {
        self.inodes
            .get(inode)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn get_mut(&mut self, inode: usize) -> io::Result<&mut Inode> {
        self.inodes
            .get_mut(inode)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn change_name(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.pending.push(change);
    }
}

fn full() -> io::Error {
    io::Error::new(
        io::ErrorKind::StorageFull,
        "simulated: no space left on device",
    )
}

fn failure() -> io::Error {
    io::Error::other("simulated: input/output error")
}

impl Inode {
    fn write(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        let first_touched = offset.min(self.data.len());
        if end > self.data.len() {
            self.data.resize(end, 0);
        }
        if let Some(place) = self.data.get_mut(offset..end) {
            place.copy_from_slice(bytes);
        }
        self.dirty
            .extend(first_touched / SECTOR_BYTES..end.div_ceil(SECTOR_BYTES));
    }

    fn sync(&mut self) {
        for sector in std::mem::take(&mut self.dirty) {
            self.write_back(sector);
        }
        self.disk.resize(self.data.len(), 0);
    }

    fn write_back(&mut self, sector: usize) {
        let start = sector * SECTOR_BYTES;
        let end = (start + SECTOR_BYTES).min(self.data.len());
        if start >= end {
            return;
        }
        if self.disk.len() < end {
            self.disk.resize(end, 0);
        }
        if let (Some(to), Some(from)) = (self.disk.get_mut(start..end), self.data.get(start..end)) {
            to.copy_from_slice(from);
        }
    }

    /// What is found after a power cut.
    fn after_crash(mut self, random: &mut SplitMix) -> Self {
        let old = self.disk.len();
        let new = self.data.len();
        // A third each: nothing that was not synced got there, all of it did, or a torn part.
        let mode = random.below(3);
        let dirty = std::mem::take(&mut self.dirty);
        for sector in dirty {
            if mode == 1 || (mode == 2 && random.below(2) == 0) {
                self.write_back(sector);
            }
        }
        let length = match mode {
            0 => old,
            1 => new,
            _ => {
                let (low, high) = (old.min(new), old.max(new));
                low + random.below(high - low + 1)
            }
        };
        self.disk.resize(length, 0);
        self.data.clone_from(&self.disk);
        self
    }
}

/// Steele, Lea and Flood's SplitMix64, so that a seed means the same run for ever.
#[derive(Debug, Clone)]
pub struct SplitMix(u64);

impl SplitMix {
    /// A generator with that seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub const fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`, or 0.
    pub const fn below(&mut self, limit: usize) -> usize {
        if limit == 0 {
            0
        } else {
            (self.next_u64() % limit as u64) as usize
        }
    }
}

impl SimFs {
    /// An empty file system.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// As a shared trait object.
    #[must_use]
    pub fn shared(&self) -> Arc<dyn Fs> {
        Arc::new(self.clone())
    }

    /// How many calls there have been, of any kind.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.state.lock().calls
    }

    /// How many of them were syncs.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.state.lock().syncs
    }

    /// Makes the call of that number (from 0, counted from the start) fail, once. A failing write
    /// writes half; a failing sync loses what it should have synced.
    pub fn fail_call(&self, call: u64) {
        self.state.lock().fail_call = Some(call);
    }

    /// Makes the sync of that number fail, once.
    pub fn fail_sync(&self, sync: u64) {
        self.state.lock().fail_sync = Some(sync);
    }

    /// Makes every call from that number on fail without any effect, as if the power were off.
    pub fn stop_at(&self, call: u64) {
        self.state.lock().stop_call = Some(call);
    }

    /// Lets all files together take so many bytes; `None`: as many as they like.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        let mut state = self.state.lock();
        state.capacity = bytes;
        state.fill = None;
    }

    /// From the call of that number on there is room for `left` more bytes.
    pub fn fill_at(&self, call: u64, left: u64) {
        self.state.lock().fill = Some((call, left));
    }

    /// Tells of more free space than there is, as a disk does that others fill, or one with a quota.
    pub fn hide_free_space(&self) {
        self.state.lock().hides_free_space = true;
    }

    /// Bytes of all files.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.state.lock().used()
    }

    /// What is found after a power cut at this moment: another file system, without faults planned.
    /// This one stays as it is.
    #[must_use]
    pub fn crash(&self, seed: u64) -> Self {
        let state = self.state.lock();
        let mut random = SplitMix::new(seed);
        let mut names = state.disk_names.clone();
        let kept = random.below(state.pending.len() + 1);
        for change in state.pending.iter().take(kept) {
            change.apply(&mut names);
        }
        let mut inodes = Vec::with_capacity(state.inodes.len());
        for inode in &state.inodes {
            inodes.push(inode.clone().after_crash(&mut random));
        }
        let after = State {
            inodes,
            disk_names: names.clone(),
            names,
            dirs: state.dirs.clone(),
            ..State::default()
        };
        Self {
            state: Arc::new(Mutex::new(after)),
        }
    }

    /// What the next process finds when this one ends and the power stays on: another file system, without faults
    /// planned. What was not synced is there, and a power cut may still take it. This one stays as it is.
    #[must_use]
    pub fn killed(&self) -> Self {
        let state = self.state.lock();
        let after = State {
            inodes: state.inodes.clone(),
            names: state.names.clone(),
            disk_names: state.disk_names.clone(),
            pending: state.pending.clone(),
            dirs: state.dirs.clone(),
            ..State::default()
        };
        Self {
            state: Arc::new(Mutex::new(after)),
        }
    }

    /// The paths of all files as programs see them, sorted, without counting a call.
    #[must_use]
    pub fn paths(&self) -> Vec<PathBuf> {
        self.state.lock().names.keys().cloned().collect()
    }

    /// The contents of a file as programs see it, without counting a call.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn contents(&self, path: &Path) -> io::Result<Vec<u8>> {
        let state = self.state.lock();
        Ok(state.get(state.inode(path)?)?.data.clone())
    }

    /// Puts a file there, durably, without counting a call.
    pub fn put(&self, path: &Path, bytes: &[u8]) {
        let mut state = self.state.lock();
        let inode = state.inodes.len();
        let (data, disk) = (bytes.to_vec(), bytes.to_vec());
        state.inodes.push(Inode {
            data,
            disk,
            dirty: BTreeSet::new(),
        });
        state.names.insert(path.to_owned(), inode);
        state.disk_names.insert(path.to_owned(), inode);
        if let Some(dir) = path.parent() {
            state.dirs.insert(dir.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(name: &str) -> PathBuf {
        Path::new("/d").join(name)
    }

    fn with_file(synced: &[u8], unsynced: &[u8]) -> SimFs {
        let fs = SimFs::new();
        fs.create_dir_all(Path::new("/d")).unwrap();
        let file = fs.create(&path("f")).unwrap();
        file.write_at(0, synced).unwrap();
        file.sync_data().unwrap();
        fs.sync_dir(Path::new("/d")).unwrap();
        file.write_at(synced.len() as u64, unsynced).unwrap();
        fs
    }

    #[test]
    fn synced_bytes_survive_every_power_cut_and_others_may_not() {
        let fs = with_file(&[1; 1000], &[2; 3000]);
        let mut outcomes = BTreeSet::new();
        for seed in 0..200 {
            let after = fs.crash(seed).contents(&path("f")).unwrap();
            assert!(after.len() >= 1000);
            assert_eq!(after[..1000], [1; 1000]);
            outcomes.insert(after);
        }
        assert!(outcomes.len() > 20, "torn in {} ways", outcomes.len());
        assert!(outcomes.contains(&vec![1; 1000]), "all lost is one of them");
    }

    #[test]
    fn a_name_without_a_directory_sync_may_be_undone() {
        let fs = with_file(b"old", b"");
        fs.rename(&path("f"), &path("g")).unwrap();
        let names: BTreeSet<String> = (0..50)
            .map(|seed| {
                fs.crash(seed).list(Path::new("/d")).unwrap()[0]
                    .name
                    .clone()
            })
            .collect();
        assert_eq!(names, BTreeSet::from(["f".to_owned(), "g".to_owned()]));
        fs.sync_dir(Path::new("/d")).unwrap();
        for seed in 0..50 {
            assert_eq!(fs.crash(seed).list(Path::new("/d")).unwrap()[0].name, "g");
        }
    }

    #[test]
    fn the_sync_after_a_failed_one_lies() {
        let fs = with_file(b"old", b"new");
        fs.fail_sync(fs.syncs());
        let file = fs.open_rw(&path("f")).unwrap();
        file.sync_data().unwrap_err();
        file.sync_data().unwrap();
        assert_eq!(fs.contents(&path("f")).unwrap(), b"oldnew");
        for seed in 0..50 {
            assert_ne!(fs.crash(seed).contents(&path("f")).unwrap(), b"oldnew");
        }
    }
}
