//! What is kept of an authority between runs: the account with its key, and the newest certificate with its key. Readable by the
//! program's user alone. A crash leaves the file as it was before or the whole new one.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// The account: JSON.
pub(super) const ACCOUNT: &str = "account.json";
/// The key, and behind it the chain: PEM, in one file, so that they always belong together.
pub(super) const CERTIFICATE: &str = "certificate.pem";
/// The address of the directory, for people.
const DIRECTORY: &str = "directory.url";

/// A directory for one authority.
#[derive(Debug, Clone)]
pub(super) struct Cache {
    pub(super) dir: PathBuf,
}

impl Cache {
    /// Makes the directory for the authority at the URL `directory`, and tries whether it can be written.
    pub(super) fn open(base: &Path, directory: &str) -> io::Result<Self> {
        let place = directory.trim_start_matches("https://");
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        let name: String = place.chars().map(plain).take(200).collect();
        let dir = base.join(name);
        DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        let cache = Self { dir };
        cache.put(DIRECTORY, format!("{directory}\n").as_bytes())?;
        Ok(cache)
    }

    /// The file of that name; nothing where there is none.
    pub(super) fn get(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        match std::fs::read(self.dir.join(name)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes it anew: the bytes are on the disk before the name leads to them.
    pub(super) fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let new = self.dir.join(format!("{name}.new"));
        match std::fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            // What an earlier end left.
            _ => {}
        }
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&new, self.dir.join(name))?;
        File::open(&self.dir)?.sync_all()
    }

    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.dir.join(name))
    }
}
