//! The exclude list of a directory, looked at from outside: it is replaced whole, so that it can be read beside a
//! running store.

use std::path::Path;

use crate::Result;
use crate::exclusions::{ExclusionList, Exclusions};
use crate::io::OsFs;

/// What is excluded from the answers of the data directory at `path`.
///
/// # Errors
/// When the list cannot be read, or is damaged.
pub fn exclusions(path: &Path) -> Result<Exclusions> {
    let list = ExclusionList::open(&OsFs, path)?;
    Ok(Exclusions::clone(&list.current()))
}
