//! Shapes that no builder writes.

use super::damage::resealed;
use super::*;
use crate::segment::layout::Section;
use crate::segment::{cross, verify};

type Shapes = Vec<(u32, Vec<(u32, u32)>)>;

/// A segment of a row of each of these shapes.
fn segment_of(shapes: &[(&'static str, Vec<(&'static str, u32)>)]) -> Vec<u8> {
    let shapes: Vec<ShapeInput<'_>> = shapes
        .iter()
        .map(|(collection, runs)| ShapeInput {
            collection,
            runs: runs.clone(),
        })
        .collect();
    let links: u32 = shapes
        .iter()
        .flat_map(|shape| &shape.runs)
        .map(|run| run.1)
        .sum();
    let rows = (0..shapes.len() as u32).map(|shape| RowInput {
        seq: u64::from(shape) + 1,
        time_us: 1_000_000,
        actor: 1,
        shape,
        rkey: "self",
    });
    let input = SegmentInput {
        first_seq: 1,
        last_seq: shapes.len() as u64,
        first_time_us: 1_000_000,
        last_time_us: 1_000_000,
        rows: rows.collect(),
        shapes,
        targets: ["a", "b", "c"].map(TargetKey::Other).to_vec(),
        link_targets: (0..links).map(|link| link % 3).collect(),
        ..SegmentInput::default()
    };
    build(&input).unwrap()
}

fn section(shapes: &Shapes) -> Vec<u8> {
    super::super::build::encode_shapes(shapes).unwrap()
}

#[test]
fn shapes_that_no_builder_writes_are_found() {
    let bytes = segment_of(&[("c", vec![(".p", 1), (".q", 2)]), ("d", vec![(".p", 1)])]);
    let with = |shapes: &[u8]| {
        let bytes = resealed(&bytes, |id, contents| {
            if id == Section::Shapes.id() {
                *contents = shapes.to_vec();
            }
        });
        open(bytes).unwrap()
    };
    let sound = vec![(0, vec![(0, 1), (1, 2)]), (1, vec![(0, 1)])];
    let written = section(&sound);
    with(&written).verify().unwrap();
    let changed = |place: usize, shape: (u32, Vec<(u32, u32)>)| {
        let mut shapes = sound.clone();
        shapes[place] = shape;
        section(&shapes)
    };
    let at = |place: usize, byte: u8| {
        let mut shapes = written.clone();
        shapes[place] = byte;
        shapes
    };
    let mut longer = written.clone();
    longer.push(0);
    // A byte in front of the first shape, and one behind the last one's paths.
    let mut gap = written.clone();
    gap.insert(20, 0);
    for place in [0, 8, 16] {
        gap[place] += 1;
    }
    let mut rest = longer.clone();
    rest[16] += 1;
    let cases = [
        ("paths that fall", changed(0, (0, vec![(1, 2), (0, 1)]))),
        ("a path twice", changed(0, (0, vec![(0, 1), (0, 2)]))),
        (
            "a path without links",
            changed(0, (0, vec![(0, 3), (1, 0)])),
        ),
        (
            "a path behind the last",
            changed(0, (0, vec![(0, 1), (2, 2)])),
        ),
        ("a source that is none", changed(1, (1, vec![(1, 1)]))),
        (
            "a collection behind the last",
            changed(1, (2, vec![(0, 1)])),
        ),
        ("no links", changed(1, (1, vec![]))),
        (
            "shapes that fall",
            section(&vec![sound[1].clone(), sound[0].clone()]),
        ),
        ("more links than at the paths", at(4, 4)),
        ("an offset into another shape", at(8, written[8] - 1)),
        ("bytes behind the last offset", longer),
        ("bytes behind the paths of a shape", rest),
        ("bytes in front of the first shape", gap),
    ];
    for (what, shapes) in cases {
        let segment = with(&shapes);
        assert!(cross::shapes(&segment).is_err(), "{what}");
        assert!(segment.verify().is_err(), "{what}");
    }
    // Shapes of one collection are in the order of paths, then of links.
    for (runs, is_sound) in [
        ([vec![(0, 1)], vec![(0, 2)]], true),
        ([vec![(0, 2)], vec![(0, 1)]], false),
        ([vec![(0, 1)], vec![(0, 1), (1, 1)]], true),
        ([vec![(0, 1), (1, 1)], vec![(0, 1)]], false),
    ] {
        let [one, other] = runs.clone();
        let bytes = segment_of(&[("c", vec![(".p", 1), (".q", 1)]), ("c", vec![(".p", 2)])]);
        let bytes = resealed(&bytes, |id, contents| {
            if id == Section::Shapes.id() {
                *contents = section(&vec![(0, one.clone()), (0, other.clone())]);
            }
        });
        let checked = cross::shapes(&open(bytes).unwrap());
        assert_eq!(checked.is_ok(), is_sound, "{runs:?}");
    }
}

/// Each block of rows claims the links of the first: a check that reads what each row claims reads them again and again.
#[test]
fn links_that_many_rows_claim_are_not_read_for_each() {
    let (rows, links) = (20 * 128, 40);
    let row = |row: u32| RowInput {
        seq: u64::from(row) + 1,
        time_us: 1_000_000,
        actor: 1,
        shape: 0,
        rkey: "self",
    };
    let input = SegmentInput {
        first_seq: 1,
        last_seq: u64::from(rows),
        first_time_us: 1_000_000,
        last_time_us: 1_000_000,
        rows: (0..rows).map(row).collect(),
        shapes: vec![ShapeInput {
            collection: "c",
            runs: vec![(".p", links)],
        }],
        targets: ["a", "b", "c"].map(TargetKey::Other).to_vec(),
        link_targets: (0..rows * links).map(|link| link % 3).collect(),
        ..SegmentInput::default()
    };
    let of_block = 128 * links;
    let bytes = resealed(&build(&input).unwrap(), |id, contents| {
        if id == Section::Meta.id() {
            // Behind seven times of eight bytes and the rows.
            contents[60..64].copy_from_slice(&of_block.to_le_bytes());
        }
        if id == Section::RowDirectory.id() {
            for entry in contents.chunks_mut(16) {
                entry[4..8].fill(0);
            }
        }
    });
    let segment = open(bytes).unwrap();
    let mut read = 0;
    verify::walk_links(&segment, &mut read).unwrap_err();
    assert!(
        read <= u64::from(of_block) + 1,
        "{read} of {of_block} links"
    );
    segment.verify().unwrap_err();
}
