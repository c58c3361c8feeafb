//! The exclude list while a backup runs beside a store.

use std::path::Path;
use std::time::Duration;

use super::{Run, open_whole};
use crate::exclusions::Excluded;
use crate::io::fault::SimFs;
use crate::offline::restore_with_fs;
use crate::power_cut_tests::{Step, answers, apply, did, model};
use crate::store::{LOG, SEGMENTS};
use crate::{Options, Store};

#[test]
fn an_account_that_was_excluded_and_removed_while_a_backup_ran_is_shown_by_what_is_restored() {
    let steps = [Step::Write {
        actor: 1,
        key: 1,
        target: 2,
    }];
    let fs = SimFs::new();
    let (shared, from, to) = (fs.shared(), Path::new("data"), Path::new("to"));
    let store = Store::open_with_fs(fs.shared(), from, Options::default()).unwrap();
    let mut writer = store.writer().unwrap();
    apply(&mut writer, 1, steps[0]).unwrap();
    writer.seal().unwrap();

    let source = open_whole(&shared, from).unwrap();
    for dir in [SEGMENTS, LOG] {
        shared.create_dir_all(&to.join(dir)).unwrap();
    }
    let mut run = Run::begin(&shared, from, to, false, &source).unwrap();
    let entries = [Excluded::parse(&did(1), false).unwrap()];
    store.exclude(&entries, Duration::ZERO).unwrap();
    writer.apply_exclusions().unwrap();
    let state = run.copy_all(source).unwrap();
    store.include(&entries, Duration::ZERO).unwrap();
    writer.apply_exclusions().unwrap();
    run.finish(state).unwrap();

    restore_with_fs(&shared, to, Path::new("restored")).unwrap();
    let store = Store::open_with_fs(fs.shared(), Path::new("restored"), Options::default());
    let store = store.unwrap();
    assert_eq!(answers(&store), model(&steps, 1));
    assert!(store.exclusions().is_empty());
}
