//! Mask files of another time than the directory they lie in.

use std::path::Path;

use super::files::MASKS;
use crate::io::Fs;
use crate::io::fault::{Loss, SimFs};
use crate::power_cut_tests::{Step, answers, apply, model, open};

/// The directory went back in time, as an older copy of its other files does, and the masks did not.
#[test]
fn a_mask_file_from_behind_the_last_seal_is_not_believed() {
    let write = |key| Step::Write {
        actor: 0,
        key,
        target: 0,
    };
    let delete = |key| Step::Delete { actor: 0, key };
    let steps = [
        write(1),
        write(2),
        write(3),
        write(4),
        write(5),
        delete(1),
        delete(2),
        delete(3),
    ];
    let fs = SimFs::new();
    let mut writer = open(&fs, true).unwrap().writer().unwrap();
    let mut earlier = None;
    for (place, step) in (1..).zip(steps) {
        apply(&mut writer, place, step).unwrap();
        if place == 5 {
            writer.seal().unwrap();
            earlier = Some(fs.image().crash(Loss::Everything));
        }
    }
    writer.seal().unwrap();
    let earlier = earlier.unwrap();
    let masks = Path::new("data").join(MASKS);
    let mut newer = 0;
    for entry in fs.list(&masks).unwrap() {
        let path = masks.join(entry.name);
        if earlier.contents(&path).is_err() {
            earlier.put(&path, &fs.contents(&path).unwrap());
            newer += 1;
        }
    }
    assert!(newer >= 1);
    let store = open(&earlier, true).unwrap();
    assert_eq!(answers(&store), model(&steps, 5));
}
