//! A finding of a review: a log window that fills the directory up to its limit leaves merges no room for ever.

use std::path::Path;

use crate::io::fault::SimFs;
use crate::power_cut_tests::{Step, apply};
use crate::{Error, Options, Store};

/// Rounds of 20,000 records, each replaced by the next round; what lives is one round. Gives after how many rounds
/// the writer paused, and merges that were made.
fn rounds(log_bytes_max: u64, limit: u64) -> (u64, u64) {
    let fs = SimFs::new();
    let options = Options {
        compact: false,
        compact_fan_in: 8,
        compact_share: 1.0,
        commit_bytes: 4 << 10,
        disk_reserve: 0,
        disk_limit: Some(limit),
        log_bytes_max,
        ..Options::default()
    };
    let store = Store::open_with_fs(fs.shared(), Path::new("data"), options).unwrap();
    let mut writer = store.writer().unwrap();
    let (mut place, mut merges) = (0, 0);
    // A tick is how a pause ends; whatever is due is merged before each.
    let mut settle = |writer: &mut crate::Writer| {
        for _ in 0..8 {
            merges += u64::from(matches!(writer.merge_due(), Ok(true)));
            writer.tick().unwrap();
        }
        merges
    };
    for round in 0..60 {
        for key in 0..20_000 {
            place += 1;
            let step = Step::Write {
                actor: 0,
                key,
                target: place % 3,
            };
            let mut applied = apply(&mut writer, place, step);
            if matches!(applied, Err(Error::DiskFull { .. })) {
                settle(&mut writer);
                applied = apply(&mut writer, place, step);
            }
            match applied {
                Ok(()) => {}
                Err(Error::DiskFull { .. }) => return (round, settle(&mut writer)),
                Err(error) => panic!("{error}"),
            }
        }
        if writer.seal().is_ok() {
            settle(&mut writer);
        }
    }
    (60, settle(&mut writer))
}

#[test]
fn merges_go_on_under_a_disk_limit_whatever_the_window_may_take() {
    let limit = 9 << 20;
    let without = rounds(0, limit);
    assert_eq!(without.0, 60, "without a window all goes well: {without:?}");
    let with = rounds(2 << 30, limit);
    assert_eq!(with.0, 60);
    assert!(
        with.1 > 0,
        "rounds and merges with one: {with:?}, without: {without:?}"
    );
}
