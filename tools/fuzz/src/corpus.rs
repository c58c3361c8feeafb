//! Inputs that are kept as files: edge cases made by hand, and every input that once broke a check.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

/// Most bytes of all kept inputs together.
pub const BYTES_MAX: u64 = 1 << 20;

/// The folder of all corpora.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

/// The kept inputs of a target with the names of their files, by name.
///
/// # Errors
/// A file cannot be read.
pub fn read(target: &str) -> io::Result<Vec<(String, Vec<u8>)>> {
    let folder = root().join(target);
    let mut inputs = Vec::new();
    if folder.is_dir() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            inputs.push((name.into_owned(), fs::read(&path)?));
        }
    }
    inputs.sort();
    Ok(inputs)
}

/// Keeps an input that broke a check, and tells where.
///
/// # Errors
/// The file cannot be written.
pub fn keep(target: &str, input: &[u8]) -> io::Result<PathBuf> {
    let folder = root().join(target);
    fs::create_dir_all(&folder)?;
    let path = folder.join(format!("broke-{:016x}", xxh3_64(input)));
    fs::write(&path, input)?;
    Ok(path)
}
