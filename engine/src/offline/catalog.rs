//! The catalogs in the directory of a backup.

use std::path::Path;

use orrery_formats::backup::Catalog;

use crate::io::Fs;
use crate::{Error, Result};

const PREFIX: &str = "BACKUP-";

/// A catalog with its number, where there is one.
pub(super) type Numbered = Option<(u64, Catalog)>;

pub(super) fn name(number: u64) -> String {
    format!("{PREFIX}{number:08}")
}

pub(super) fn number_of(file: &str) -> Option<u64> {
    let number = file.strip_prefix(PREFIX)?.parse().ok()?;
    (name(number) == file).then_some(number)
}

/// Whether a file of that name is a catalog, which only the directory of a backup has.
pub(crate) fn is_catalog(file: &str) -> bool {
    number_of(file).is_some()
}

/// The numbers of the catalogs in `dir`, rising.
///
/// # Errors
/// [`Error::Io`].
pub(super) fn numbers(fs: &dyn Fs, dir: &Path) -> Result<Vec<u64>> {
    let entries = fs.list(dir).map_err(Error::io("list", dir))?;
    let mut numbers: Vec<u64> = entries
        .iter()
        .filter_map(|entry| number_of(&entry.name))
        .collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// Reads a catalog.
///
/// # Errors
/// [`Error::Io`]; [`Error::Format`] where it is damaged.
pub(super) fn read(fs: &dyn Fs, dir: &Path, number: u64) -> Result<Catalog> {
    let path = dir.join(name(number));
    let file = fs.open(&path).map_err(Error::io("open", &path))?;
    let length = file.len().map_err(Error::io("read the length of", &path))?;
    let mut bytes = Vec::new();
    let mut hasher = xxhash_rust::xxh3::Xxh3::new();
    super::copy::read_range(
        file.as_ref(),
        &path,
        (0, length),
        &mut hasher,
        &mut |_, block| {
            bytes.extend_from_slice(block);
            Ok(())
        },
    )?;
    Ok(Catalog::decode(&name(number), bytes)?)
}

/// The newest catalog that is sound, with its number, and the errors of newer ones.
///
/// # Errors
/// [`Error::Io`].
pub(super) fn newest(fs: &dyn Fs, dir: &Path) -> Result<(Numbered, Vec<Error>)> {
    let mut errors = Vec::new();
    for number in numbers(fs, dir)?.into_iter().rev() {
        match read(fs, dir, number) {
            Ok(catalog) => return Ok((Some((number, catalog)), errors)),
            Err(error) => errors.push(error),
        }
    }
    Ok((None, errors))
}
