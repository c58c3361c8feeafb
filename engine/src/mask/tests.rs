use std::collections::BTreeMap;

use orrery_formats::mask::CHUNK_ROWS;
use proptest::prelude::*;

use super::*;

const ROWS: u32 = 5_000;

#[derive(Debug, Clone)]
enum Step {
    Set(u32, u64),
    AddToList(u32, i64),
    /// The mask is written to a file.
    Write,
    /// What was so far is kept to be compared with.
    Keep,
}

fn step() -> impl Strategy<Value = Step> {
    // Half of the rows are few, so that some are set again.
    let row = prop_oneof![0_u32..40, 0..ROWS];
    prop_oneof![
        20 => (row, 0_u64..4).prop_map(|(row, state)| Step::Set(row, state)),
        10 => (0_u32..20, -3_i64..9).prop_map(|(list, change)| Step::AddToList(list, change)),
        1 => Just(Step::Write),
        1 => Just(Step::Keep),
    ]
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Model {
    rows: BTreeMap<u32, u64>,
    lists: BTreeMap<u32, i64>,
}

impl Model {
    fn apply(&mut self, step: &Step) {
        match *step {
            Step::Set(row, state) => {
                let state = if state & DEAD != 0 { DEAD } else { state };
                self.rows.remove(&row);
                if state != 0 {
                    self.rows.insert(row, state);
                }
            }
            Step::AddToList(list, change) => {
                let masked = self.lists.entry(list).or_default();
                *masked = (*masked + change).max(0);
            }
            Step::Write | Step::Keep => {}
        }
    }

    fn state(&self, row: u32) -> u64 {
        self.rows.get(&row).copied().unwrap_or(0)
    }
}

fn written(mask: &Mask) -> Mask {
    let bytes = mask
        .encode(MaskHeader {
            rows: ROWS,
            ..MaskHeader::default()
        })
        .unwrap();
    let file = MaskFile::open("test.mask".to_owned(), bytes).unwrap();
    let rewritten = Mask::of_file(Arc::new(file));
    assert_eq!(rewritten.changes(), 0);
    rewritten
}

fn agree(mask: &Mask, model: &Model) {
    let mut column = mask.column();
    for row in 0..ROWS {
        assert_eq!(mask.state(row).unwrap(), model.state(row), "row {row}");
        assert_eq!(column.state(row).unwrap(), model.state(row), "row {row}");
    }
    for list in 0..21 {
        let expected = model.lists.get(&list).copied().unwrap_or(0);
        assert_eq!(i64::from(mask.list(list).unwrap()), expected, "list {list}");
    }
    let count = |state| model.rows.values().filter(|known| **known == state).count() as u64;
    assert_eq!(mask.dead_rows(), count(DEAD));
    assert_eq!(mask.hidden_rows(), count(HIDDEN));
    assert_eq!(mask.masked_rows(), model.rows.len() as u64);
    let hidden: Vec<u32> = mask.hidden_row_numbers().map(Result::unwrap).collect();
    let expected = model.rows.iter().filter(|(_, state)| **state == HIDDEN);
    assert_eq!(hidden, expected.map(|(row, _)| *row).collect::<Vec<_>>());
}

fn differ_as(old: (&Mask, &Model), new: (&Mask, &Model)) {
    let changed: Vec<_> = Mask::changed_rows(old.0, new.0)
        .map(Result::unwrap)
        .collect();
    let expected: Vec<_> = (0..ROWS)
        .filter(|row| old.1.state(*row) != new.1.state(*row))
        .map(|row| (row, new.1.state(row)))
        .collect();
    assert_eq!(changed, expected);
}

proptest! {
    #[test]
    fn a_file_and_changes_hold_what_plain_sets_hold(
        steps in proptest::collection::vec(step(), 0..200),
    ) {
        let (mut mask, mut model) = (Mask::default(), Model::default());
        let mut kept = vec![(mask.clone(), model.clone())];
        for step in &steps {
            match *step {
                Step::Set(row, state) => {
                    let was = i64::from(model.state(row) != 0);
                    let change = mask.set_state(row, state).unwrap();
                    prop_assert_eq!(change, i64::from(state != 0) - was);
                }
                Step::AddToList(list, change) => mask.add_to_list(list, change).unwrap(),
                Step::Write => mask = written(&mask),
                Step::Keep => kept.push((mask.clone(), model.clone())),
            }
            model.apply(step);
        }
        agree(&mask, &model);
        agree(&written(&mask), &model);
        // Copies stay as they were, and differ by what came since, in both directions.
        for (old, old_model) in &kept {
            agree(old, old_model);
            differ_as((old, old_model), (&mask, &model));
            differ_as((&mask, &model), (old, old_model));
        }
    }
}

#[test]
fn what_is_as_in_the_file_is_not_kept() {
    let mut mask = Mask::default();
    mask.set_state(7, DEAD).unwrap();
    mask.add_to_list(3, 5).unwrap();
    assert_eq!(mask.changes(), 2);
    let mut mask = written(&mask);
    mask.set_state(7, HIDDEN).unwrap();
    mask.add_to_list(3, 1).unwrap();
    assert_eq!(mask.changes(), 2);
    mask.set_state(7, DEAD | HIDDEN).unwrap();
    mask.add_to_list(3, -1).unwrap();
    assert_eq!(mask.changes(), 0);
}

#[test]
fn a_damaged_file_is_an_error_where_it_is_read() {
    let mut mask = Mask::default();
    for row in (0..1 << 22).step_by(2) {
        mask.set_state(row, DEAD).unwrap();
    }
    let mut bytes = mask
        .encode(MaskHeader {
            rows: 1 << 22,
            ..MaskHeader::default()
        })
        .unwrap();
    let row = 3_000_000;
    let at = 32 + 64 + (1 << 12) * 8 + (row / CHUNK_ROWS) as usize * 128;
    *bytes.get_mut(at).unwrap() ^= 1;
    let file = MaskFile::open("test.mask".to_owned(), bytes).unwrap();
    let mut mask = Mask::of_file(Arc::new(file));
    let chunks = (0..1_u32 << 22).step_by(1_024);
    let lost = chunks.filter(|row| mask.state(*row).is_err()).count();
    // 64 KiB of 128 bytes each, and what stands across their ends.
    assert!((512..=514).contains(&lost), "{lost} chunks are lost");
    mask.state(row).unwrap_err();
    mask.column().state(row).unwrap_err();
    assert!(mask.hidden_row_numbers().any(|row| row.is_err()));
    assert!(Mask::changed_rows(&Mask::default(), &mask).any(|row| row.is_err()));
    // What is known to have changed is known.
    mask.rows.insert(row, 0);
    assert_eq!(mask.state(row).unwrap(), 0);
}
