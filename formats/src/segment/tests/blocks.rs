//! Many rows at a time.

use super::*;

/// Lists of all forms: one row, few, scattered, in runs, and every second one.
#[test]
fn rows_and_authors_read_in_blocks_are_those_read_one_by_one() {
    let rows_count = 140_000u64;
    let mut x = 5u32;
    let mut random = || {
        x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        x >> 8
    };
    let holds = |target: u32, row: u64, random: u32| match target {
        0 => true,
        1 => row == 77_777,
        2 => row % 5_000 == 3,
        3 => random.is_multiple_of(300),
        4 => random.is_multiple_of(20),
        5 => row.is_multiple_of(2),
        6 => (row / 700) % 3 == 1,
        _ => row > 139_000,
    };
    let mut expected = vec![Vec::new(); 8];
    let (mut rows, mut link_targets, mut shapes) = (Vec::new(), Vec::new(), Vec::new());
    for row in 0..rows_count {
        let before = link_targets.len();
        for target in 0..8u32 {
            if holds(target, row, random()) {
                link_targets.push(target);
                expected[target as usize].push(row as u32);
            }
        }
        let links = (link_targets.len() - before) as u32;
        let shape = match shapes.iter().position(|known| *known == links) {
            Some(shape) => shape,
            None => {
                shapes.push(links);
                shapes.len() - 1
            }
        };
        rows.push(RowInput {
            seq: row + 1 + row / 3 * 2,
            time_us: row * 1_000,
            // Wide and narrow columns; the last block is not full.
            actor: if row < 70_000 {
                random() << 8
            } else {
                9 + random() % 4
            },
            shape: shape as u32,
            rkey: "self",
        });
    }
    let input = SegmentInput {
        first_seq: 1,
        last_seq: 2 * rows_count,
        first_time_us: 0,
        last_time_us: rows_count * 1_000,
        rows,
        shapes: shapes
            .iter()
            .map(|links| ShapeInput {
                collection: "c",
                runs: vec![(".p", *links)],
            })
            .collect(),
        targets: (1..9).map(TargetKey::Did).collect(),
        link_targets,
        ..SegmentInput::default()
    };
    let segment = open(build(&input).unwrap()).unwrap();
    for (target, expected) in (0..).zip(&expected) {
        let list = segment.find_list(target, 0).unwrap().unwrap();
        let len = expected.len() as u32;
        assert_eq!(list.len(), len);
        for range in [
            0..len,
            0..u32::MAX,
            1..len,
            127..130,
            128..256,
            300..301,
            5_000..7_001,
            len..len,
        ] {
            let mut blocks = list.blocks(range.clone());
            let mut column = segment.actor_column().unwrap();
            let mut seqs = segment.seq_column().unwrap();
            let mut at = range.start;
            let (mut block, mut authors) = ([0; LIST_BLOCK], [0; LIST_BLOCK]);
            loop {
                let filled = blocks.fill(&mut block).unwrap();
                let some = &block[..filled];
                assert_eq!(
                    some,
                    &expected[(at.min(len) as usize)..][..filled],
                    "{target} {range:?}"
                );
                column.fill(some, &mut authors).unwrap();
                for (row, author) in some.iter().zip(&authors) {
                    assert_eq!(segment.actor(*row).unwrap(), *author);
                    assert_eq!(seqs.get(*row).unwrap(), segment.seq(*row).unwrap());
                }
                at += filled as u32;
                if filled == 0 {
                    break;
                }
                assert!(at % LIST_BLOCK as u32 == 0 || at == range.end.min(len));
            }
            assert_eq!(at, range.end.min(len).max(range.start));
        }
    }
    let mut column = segment.actor_column().unwrap();
    let mut authors = [0; 3];
    let scattered = [139_999, 0, 70_001];
    column.fill(&scattered, &mut authors).unwrap();
    assert_eq!(authors, scattered.map(|row| segment.actor(row).unwrap()));
    assert!(column.fill(&[139_999, 140_000], &mut authors).is_err());
    let mut seqs = segment.seq_column().unwrap();
    for row in [139_998, 139_999, 0, 0, 70_001, 1, 1] {
        assert_eq!(seqs.get(row).unwrap(), segment.seq(row).unwrap());
    }
    assert!(seqs.get(140_000).is_err());
    assert_eq!(seqs.get(1).unwrap(), segment.seq(1).unwrap());
}
