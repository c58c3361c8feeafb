//! A backup: the newest catalog, and that each file is as that one has it.

use orrery_formats::Error as FormatError;

use super::Check;
use crate::offline::directory::found;
use crate::offline::{catalog, copy};
use crate::recovery::open_segment;
use crate::store::{LOG, SEGMENTS};
use crate::{Error, Result, manifest};

impl Check<'_> {
    /// Whether the directory is a backup.
    pub(super) fn is_backup(&self) -> Result<bool> {
        Ok(!catalog::numbers(&*self.fs, &self.path)?.is_empty()
            && !manifest::is_there(&*self.fs, &self.path)?)
    }

    /// Checks every byte that the newest catalog names.
    pub(super) fn backup(&mut self) -> Result<()> {
        for number in catalog::numbers(&*self.fs, &self.path)?.into_iter().rev() {
            let name = catalog::name(number);
            let catalog = match catalog::read(&*self.fs, &self.path, number) {
                Ok(catalog) => catalog,
                Err(error) => {
                    self.error(&name, error);
                    continue;
                }
            };
            self.read(0);
            for file in &catalog.files {
                let path = self.path.join(&file.name);
                match copy::checksum_of(&*self.fs, &path, file.bytes) {
                    Ok(checksum) if checksum == file.checksum => self.version_of(&file.name),
                    Ok(checksum) => {
                        let expected = format!("checksum {:#018x}", file.checksum);
                        self.damage(&file.name, "file", 0, expected, format!("{checksum:#018x}"));
                    }
                    Err(error) => self.error(&file.name, error),
                }
                self.read(file.bytes);
            }
            for dir in [SEGMENTS, LOG] {
                for file in found(&*self.fs, &self.path.join(dir), |_| Some(0))? {
                    let within = format!("{dir}/{}", file.name);
                    if !catalog.files.iter().any(|file| file.name == within) {
                        self.note(format!("{within}: {name} does not name this file"));
                    }
                }
            }
            return Ok(());
        }
        Ok(())
    }

    /// Notes where a whole segment is of a version that this build does not read. Whatever else is wrong with it was so
    /// when it was copied.
    fn version_of(&mut self, file: &str) {
        let name = file
            .strip_prefix(SEGMENTS)
            .and_then(|name| name.strip_prefix('/'));
        let Some(name) = name else { return };
        if let Err(Error::Format(error @ FormatError::Version { .. })) =
            open_segment(&*self.fs, &self.path, name, 0, 0)
        {
            self.other_version.get_or_insert(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use orrery_formats::Error as FormatError;
    use orrery_formats::segment::VERSION;
    use xxhash_rust::xxh3::xxh3_64;

    use crate::io::fault::{SimFs, SplitMix};
    use crate::offline::verify::verify_with_fs;
    use crate::offline::{backup_with_fs, catalog};
    use crate::power_cut_tests::{apply, script};
    use crate::quarantine::tests::{DIR, segments, three_segments};
    use crate::recovery::version_tests::of_version;
    use crate::{Error, Options, Store};

    #[test]
    fn every_damaged_file_of_a_backup_is_named() {
        let fs = SimFs::new();
        let store = Store::open_with_fs(fs.shared(), "data", Options::default()).unwrap();
        let mut writer = store.writer().unwrap();
        for (place, step) in (1..).zip(script(&mut SplitMix::new(1))) {
            apply(&mut writer, place, step).unwrap();
            if place == 40 {
                writer.seal().unwrap();
            }
        }
        writer.commit().unwrap();
        backup_with_fs(&fs.shared(), Path::new("data"), Path::new("to"), false).unwrap();
        let check = || {
            let mut files = Vec::new();
            let path = Path::new("to");
            let report = verify_with_fs(&fs.shared(), path, false, &mut |damage| {
                files.push(damage.file.clone());
            });
            (files, report.unwrap().notes)
        };
        assert_eq!(check(), (vec![], vec![]));
        let mut count = 0;
        for path in fs.paths() {
            let Ok(within) = path.strip_prefix("to") else {
                continue;
            };
            let mut bytes = fs.contents(&path).unwrap();
            let Some(middle) = bytes.len().checked_sub(1).map(|end| end / 2) else {
                continue;
            };
            for flip in [true, false] {
                let sound = bytes.clone();
                bytes[middle] ^= 1;
                if !flip {
                    bytes.truncate(middle);
                }
                fs.put(&path, &bytes);
                assert_eq!(check().0, [within.to_str().unwrap()]);
                fs.put(&path, &sound);
                bytes = sound;
                count += 1;
            }
        }
        assert!(count >= 8, "{count}");
    }

    #[test]
    fn a_check_of_a_backup_tells_segments_of_another_version() {
        let (fs, _) = three_segments(1);
        let (from, to) = (Path::new(DIR), Path::new("to"));
        backup_with_fs(&fs.shared(), from, to, false).unwrap();
        let check = || {
            let check = verify_with_fs(&fs.shared(), to, false, &mut |damage| panic!("{damage}"));
            check.map(drop)
        };
        check().unwrap();
        // As an older build made it: of a segment of its own version, and a catalog of that.
        let path = segments(&fs).remove(1);
        let older = of_version(fs.contents(&path).unwrap(), VERSION - 1);
        let number = catalog::numbers(&*fs.shared(), to).unwrap()[0];
        let mut known = catalog::read(&*fs.shared(), to, number).unwrap();
        for file in &mut known.files {
            if path.ends_with(&file.name) {
                file.checksum = xxh3_64(&older);
            }
        }
        let name = path.file_name().unwrap();
        fs.put(&to.join("segments").join(name), &older);
        fs.put(&to.join(catalog::name(number)), &known.encode().unwrap());
        let error = check().unwrap_err();
        assert!(
            matches!(&error, Error::Format(FormatError::Version { file, .. }) if path.ends_with(file)),
            "{error}"
        );
    }
}
