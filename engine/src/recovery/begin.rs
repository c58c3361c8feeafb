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

/// What a directory without a manifest holds that no data directory begins with.
enum Contents {
    /// What is said of it, wherever a data directory is wanted.
    Known(String),
    /// A file of somebody else.
    Foreign(String),
}

/// Refuses a directory without a manifest that is no empty one: a backup; one that has segments or a log, which no
/// crash leaves without a manifest; and one with files of somebody else. Changes nothing.
///
/// What a crash leaves of a new data directory is empty: the directories of it, the lock, a manifest that has only its
/// temporary name.
pub(crate) fn refuse_contents(fs: &dyn Fs, dir: &Path) -> Result<()> {
    let what = match contents(fs, dir)? {
        None => return Ok(()),
        Some(Contents::Known(what)) => what,
        Some(Contents::Foreign(name)) => {
            format!("it is no data directory and holds {name}; name an empty or a new directory")
        }
    };
    Err(Error::Inconsistent {
        path: dir.to_owned(),
        what,
    })
}

fn contents(fs: &dyn Fs, dir: &Path) -> Result<Option<Contents>> {
    let list = |dir: &Path| match fs.list(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        listed => listed.map_err(Error::io("list", dir)),
    };
    let known = |what: String| Ok(Some(Contents::Known(what)));
    let entries = list(dir)?;
    if entries.iter().any(|entry| is_catalog(&entry.name)) {
        return known(
            "this is a backup, not a data directory; `orrery restore` makes a data directory out of it, in another \
             place"
                .to_owned(),
        );
    }
    for (within, suffix) in [(SEGMENTS, ".seg"), (LOG, ".log")] {
        let files = list(&dir.join(within))?;
        if let Some(file) = files.iter().find(|file| file.name.ends_with(suffix)) {
            return known(format!(
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
    let foreign = entries.into_iter().find(|entry| !is_own(&entry.name));
    Ok(foreign.map(|entry| Contents::Foreign(entry.name)))
}

/// Why a directory without a manifest is no data directory, said to whoever looks for one that is there.
pub(crate) fn no_manifest(fs: &dyn Fs, dir: &Path) -> Error {
    const LOOKS_SO: &str = "one holds a file MANIFEST-NUMBER and the directories segments and log; \
                            name the one that was given to `serve` or `ingest`";
    let what = match contents(fs, dir) {
        Err(error) => return error,
        Ok(Some(Contents::Known(what))) => what,
        Ok(Some(Contents::Foreign(name))) => {
            format!("this is not a data directory: it holds {name}, and no manifest; {LOOKS_SO}")
        }
        Ok(None) => format!("this is not a data directory: it has no manifest; {LOOKS_SO}"),
    };
    Error::Inconsistent {
        path: dir.to_owned(),
        what,
    }
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
    fn whoever_looks_for_a_data_directory_is_told_what_one_looks_like_and_to_name_no_new_one() {
        let fs = SimFs::new();
        let dir = Path::new("data");
        fs.shared().create_dir_all(dir).unwrap();
        for (file, named) in [
            (None, "no manifest"),
            (Some("notes.txt"), "it holds notes.txt"),
        ] {
            if let Some(file) = file {
                fs.put(&dir.join(file), b"something");
            }
            let said = no_manifest(&*fs.shared(), dir).to_string();
            for words in [
                "this is not a data directory",
                named,
                "MANIFEST-",
                "segments",
            ] {
                assert!(said.contains(words), "{said}");
            }
            assert!(!said.contains("new directory"), "{said}");
        }
        fs.put(&dir.join("BACKUP-00000001"), b"something");
        let said = no_manifest(&*fs.shared(), dir).to_string();
        assert!(said.contains("this is a backup"), "{said}");
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
