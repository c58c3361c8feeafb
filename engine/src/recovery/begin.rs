//! Whether a directory without a manifest may become a data directory.

use std::path::Path;

use crate::exclusions::EXCLUSIONS;
use crate::io::Fs;
use crate::io::fs::TEMPORARY_SUFFIX;
use crate::lock::LOCK_NAME;
use crate::mask::files::MASKS;
use crate::offline::is_catalog;
use crate::store::{CACHE, LOG, SCRATCH, SEGMENTS};
use crate::{Error, Result};

/// What a file system puts into an empty directory.
const OF_THE_SYSTEM: &str = "lost+found";

/// Refuses a directory without a manifest that is no empty one: a backup; one that has segments or a log, which no
/// crash leaves without a manifest; and one with files of somebody else. Changes nothing.
///
/// What a crash leaves of a new data directory is empty: the directories of it, the lock, a manifest that has only its
/// temporary name.
pub(crate) fn refuse_contents(fs: &dyn Fs, dir: &Path) -> Result<()> {
    let list = |dir: &Path| match fs.list(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        listed => listed.map_err(Error::io("list", dir)),
    };
    let refuse = |what: String| {
        Err(Error::Inconsistent {
            path: dir.to_owned(),
            what,
        })
    };
    let entries = list(dir)?;
    if entries.iter().any(|entry| is_catalog(&entry.name)) {
        return refuse(
            "this is a backup, not a data directory; `orrery restore` makes a data directory out of it, in another \
             place"
                .to_owned(),
        );
    }
    for (within, suffix) in [(SEGMENTS, ".seg"), (LOG, ".log")] {
        let files = list(&dir.join(within))?;
        if let Some(file) = files.iter().find(|file| file.name.ends_with(suffix)) {
            return refuse(format!(
                "it holds {within}/{} and has no manifest. If a restore into it was interrupted, restore the backup \
                 into a new directory. If the manifest was lost, leave everything as it is: `orrery repair` with a \
                 backup of this directory makes the manifest anew",
                file.name
            ));
        }
    }
    let is_own = |name: &str| {
        [
            SEGMENTS,
            LOG,
            MASKS,
            SCRATCH,
            CACHE,
            LOCK_NAME,
            OF_THE_SYSTEM,
        ]
        .contains(&name)
            // Of a restore that was interrupted.
            || name.strip_suffix(TEMPORARY_SUFFIX).unwrap_or(name) == EXCLUSIONS
            || (name.starts_with("MANIFEST-") && name.ends_with(TEMPORARY_SUFFIX))
    };
    match entries.iter().find(|entry| !is_own(&entry.name)) {
        Some(entry) => refuse(format!(
            "it is no data directory and holds {}; name an empty or a new directory",
            entry.name
        )),
        None => Ok(()),
    }
}

/// Why a directory without a manifest is no data directory.
pub(crate) fn no_manifest(fs: &dyn Fs, dir: &Path) -> Error {
    let why = || Error::Inconsistent {
        path: dir.to_owned(),
        what: "no manifest: this is not a data directory".to_owned(),
    };
    refuse_contents(fs, dir).err().unwrap_or_else(why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::fault::SimFs;
    use crate::{Options, Store};

    fn refusal(files: &[&str]) -> Option<String> {
        let fs = SimFs::new();
        fs.shared().create_dir_all(Path::new("data")).unwrap();
        for file in files {
            let path = Path::new("data").join(file);
            fs.shared().create_dir_all(path.parent().unwrap()).unwrap();
            fs.put(&path, b"something");
        }
        let before = fs.paths();
        let opened = Store::open_with_fs(fs.shared(), Path::new("data"), Options::default());
        let error = opened.err()?.to_string();
        assert_eq!(fs.paths(), before, "{error}");
        Some(error)
    }

    #[test]
    fn a_backup_is_named_as_one_and_stays_as_it_is() {
        let error = refusal(&["BACKUP-00000001", "segments/a.seg", "LOCK"]).unwrap();
        assert!(error.contains("this is a backup"), "{error}");
        assert!(error.contains("orrery restore"), "{error}");
        assert!(!error.contains("remove"), "{error}");
    }

    #[test]
    fn segments_or_a_log_without_a_manifest_are_never_said_to_be_removed() {
        for file in ["segments/a.seg", "log/a.log"] {
            let error = refusal(&[file]).unwrap();
            assert!(error.contains(file) && error.contains("repair"), "{error}");
            assert!(!error.contains("remove"), "{error}");
        }
    }

    #[test]
    fn a_directory_with_files_of_somebody_else_does_not_become_a_data_directory() {
        let error = refusal(&["notes.txt"]).unwrap();
        assert!(error.contains("notes.txt"), "{error}");
        assert_eq!(refusal(&["lost+found/x"]), None);
        assert_eq!(refusal(&["LOCK", "MANIFEST-00000001.tmp"]), None);
        assert_eq!(refusal(&[]), None);
    }
}
