//! Images of the simulated file system at each change, and what a power cut leaves of one at worst. Where
//! [`SimFs::crash`] throws coins, these losses are chosen, so that a sync that is missing shows without luck.

use super::{Inode, NameChange, SimFs, State};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What of the things that were not synced a power cut takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Contents and changes of names.
    Everything,
    /// Contents, while names are as they were changed.
    Contents,
    /// Changes of names, while contents are as they were written.
    Names,
    /// Names that were made, while names that were removed are gone: nothing orders the two but a sync.
    MadeNames,
}

impl Loss {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Everything,
        Self::Contents,
        Self::Names,
        Self::MadeNames,
    ];
}

/// The file system as it was at some moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// How many calls there had been.
    pub calls: u64,
    inodes: Vec<Inode>,
    names: BTreeMap<PathBuf, usize>,
    disk_names: BTreeMap<PathBuf, usize>,
    pending: Vec<NameChange>,
    dirs: BTreeSet<PathBuf>,
}

impl Image {
    fn of(state: &State) -> Self {
        Self {
            calls: state.calls,
            inodes: state.inodes.clone(),
            names: state.names.clone(),
            disk_names: state.disk_names.clone(),
            pending: state.pending.clone(),
            dirs: state.dirs.clone(),
        }
    }

    fn is_of(&self, state: &State) -> bool {
        // In the order of what changes most often.
        self.pending == state.pending
            && self.inodes == state.inodes
            && self.disk_names == state.disk_names
            && self.names == state.names
            && self.dirs == state.dirs
    }

    /// What is found after a power cut at that moment that takes `loss`: another file system.
    #[must_use]
    pub fn crash(&self, loss: Loss) -> SimFs {
        let mut names = match loss {
            Loss::Everything | Loss::Names | Loss::MadeNames => self.disk_names.clone(),
            Loss::Contents => self.names.clone(),
        };
        if loss == Loss::MadeNames {
            for change in &self.pending {
                if matches!(change, NameChange::Unlink(_)) {
                    change.apply(&mut names);
                }
            }
        }
        let settle = |inode: &Inode| {
            let left = match loss {
                Loss::Everything | Loss::Contents => &inode.disk,
                Loss::Names | Loss::MadeNames => &inode.data,
            };
            Inode {
                data: left.clone(),
                disk: left.clone(),
                dirty: BTreeSet::new(),
            }
        };
        let after = State {
            inodes: self.inodes.iter().map(settle).collect(),
            disk_names: names.clone(),
            names,
            dirs: self.dirs.clone(),
            ..State::default()
        };
        SimFs {
            state: Arc::new(Mutex::new(after)),
        }
    }

    /// What is found when the process alone ends at that moment: another file system, in which nothing is lost and
    /// nothing more is durable.
    #[must_use]
    pub fn resume(&self) -> SimFs {
        let after = State {
            inodes: self.inodes.clone(),
            names: self.names.clone(),
            disk_names: self.disk_names.clone(),
            pending: self.pending.clone(),
            dirs: self.dirs.clone(),
            ..State::default()
        };
        SimFs {
            state: Arc::new(Mutex::new(after)),
        }
    }

    /// The files of `dir` with contents that were not synced.
    #[must_use]
    pub fn unsynced(&self, dir: &Path) -> Vec<PathBuf> {
        let is_unsynced = |inode: &Inode| !inode.dirty.is_empty() || inode.disk != inode.data;
        self.files_of(dir, &|_, inode| {
            self.inodes.get(inode).is_some_and(is_unsynced)
        })
    }

    /// The files of `dir` whose names were not synced.
    #[must_use]
    pub fn unsettled(&self, dir: &Path) -> Vec<PathBuf> {
        self.files_of(dir, &|path, inode| {
            self.disk_names.get(path) != Some(&inode)
        })
    }

    fn files_of(&self, dir: &Path, has: &dyn Fn(&Path, usize) -> bool) -> Vec<PathBuf> {
        let here = self
            .names
            .iter()
            .filter(|(path, _)| path.parent() == Some(dir));
        let found = here.filter(|(path, inode)| has(path, **inode));
        found.map(|(path, _)| path.clone()).collect()
    }
}

impl State {
    /// Takes an image if images are taken and something has changed since the last one.
    pub(super) fn take_image(&mut self) {
        let Some(images) = &self.images else { return };
        if images.last().is_some_and(|image| image.is_of(self)) {
            return;
        }
        let image = Image::of(self);
        self.images.get_or_insert_default().push(image);
    }
}

impl SimFs {
    /// Takes an image before each call from here on.
    pub fn record(&self) {
        self.state.lock().images = Some(Vec::new());
    }

    /// The images taken, and one of this moment; no more are taken. Images that are alike are taken once.
    #[must_use]
    pub fn images(&self) -> Vec<Image> {
        let mut state = self.state.lock();
        state.take_image();
        state.images.take().unwrap_or_default()
    }

    /// An image of this moment.
    #[must_use]
    pub fn image(&self) -> Image {
        Image::of(&self.state.lock())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::Fs;

    #[test]
    fn each_loss_takes_what_was_not_synced_and_nothing_else() {
        let fs = SimFs::new();
        let dir = Path::new("d");
        fs.create_dir_all(dir).unwrap();
        fs.record();
        let synced = fs.create(&dir.join("a")).unwrap();
        synced.write_at(0, b"one").unwrap();
        synced.sync_all().unwrap();
        fs.sync_dir(dir).unwrap();
        synced.write_at(0, b"two").unwrap();
        fs.rename(&dir.join("a"), &dir.join("b")).unwrap();
        let images = fs.images();
        let last = images.last().unwrap();
        let left = |loss| {
            let fs = last.crash(loss);
            ["a", "b"].map(|name| fs.contents(&dir.join(name)).ok())
        };
        assert_eq!(left(Loss::Everything), [Some(b"one".to_vec()), None]);
        assert_eq!(left(Loss::Contents), [None, Some(b"one".to_vec())]);
        assert_eq!(left(Loss::Names), [Some(b"two".to_vec()), None]);
        assert_eq!(left(Loss::MadeNames), [Some(b"two".to_vec()), None]);
        let resumed = last.resume();
        resumed.unlink(&dir.join("b")).unwrap();
        let gone = resumed.image().crash(Loss::MadeNames);
        assert!(
            gone.contents(&dir.join("a")).is_ok(),
            "it was never renamed"
        );
        assert_eq!(last.unsynced(dir), [dir.join("b")]);
        assert_eq!(last.unsettled(dir), [dir.join("b")]);
        // Before: nothing, created, written, synced, settled, written again, renamed.
        assert_eq!(images.len(), 7);
    }
}
