//! Data directories made for tests: small segments, so that there are several, a log that goes on behind
//! the last seal, and helpers to compare them.

use std::path::{Path, PathBuf};

use orrery_engine::{Options, Store};
use orrery_ingest::{FileSource, Pipeline, pump};

/// How a test's store seals: often.
pub fn options(seal_events: u32) -> Options {
    let mut options = Options::default();
    options.seal_events = seal_events;
    options.commit_bytes = 64 << 10;
    options
}

/// Applies lines of events to the store at `data`. What the last seal did not take stays in the log.
pub fn apply(data: &Path, lines: &str, options: Options) {
    try_apply(data, lines, options).unwrap();
}

/// The same, up to the event that cannot be applied.
pub fn try_apply(data: &Path, lines: &str, options: Options) -> Result<(), orrery_ingest::Error> {
    let store = Store::open(data, options).unwrap();
    let mut writer = store.writer().unwrap();
    let reader = std::io::Cursor::new(lines.as_bytes().to_vec());
    let mut source = FileSource::from_reader("test", reader, None).unwrap();
    pump(&mut source, &mut writer, Pipeline::default()).map(drop)
}

/// Every file below `dir`, by its path from there, sorted.
pub fn files(dir: &Path) -> Vec<PathBuf> {
    fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(dir, &mut found);
    let mut found: Vec<PathBuf> = found
        .iter()
        .map(|path| path.strip_prefix(dir).unwrap().to_owned())
        .collect();
    found.sort();
    found
}

/// Copies a directory.
pub fn copy(from: &Path, to: &Path) {
    for file in files(from) {
        let target = to.join(&file);
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::copy(from.join(&file), target).unwrap();
    }
}

/// Numbers that look random (SplitMix64).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}
