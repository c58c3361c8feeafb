//! A backup: the newest catalog, and that each file is as that one has it.

use super::Check;
use crate::offline::directory::found;
use crate::offline::{catalog, copy};
use crate::store::{LOG, SEGMENTS};
use crate::{Result, manifest};

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
                    Ok(checksum) if checksum == file.checksum => {}
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
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::io::fault::{SimFs, SplitMix};
    use crate::offline::backup_with_fs;
    use crate::offline::verify::verify_with_fs;
    use crate::power_cut_tests::{apply, script};
    use crate::{Options, Store};

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
}
