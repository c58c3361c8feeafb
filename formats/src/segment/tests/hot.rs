//! Whole segments in which few targets get most of the links.

use super::*;

/// Links of rows with one or two of them: most to eight targets, many to a hundred, the rest to any.
pub(super) fn crowded(rows_count: u64) -> SegmentInput<'static> {
    let mut x = 11u32;
    let mut random = |below: u32| {
        x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (x >> 8) % below
    };
    let (mut rows, mut link_targets) = (Vec::new(), Vec::new());
    for row in 0..rows_count {
        let shape = random(2);
        for _ in 0..=shape {
            let below = [8, 8, 8, 100, 5_000][random(5) as usize];
            // Not beside each other in the order of targets.
            link_targets.push(random(below) * 1_237 % 5_000);
        }
        rows.push(RowInput {
            seq: 1 + row,
            time_us: (1 + row) * 1_000,
            actor: random(40),
            shape,
            rkey: "self",
        });
    }
    SegmentInput {
        first_seq: 1,
        last_seq: rows_count,
        first_time_us: 1_000,
        last_time_us: rows_count * 1_000,
        rows,
        shapes: [1, 2]
            .map(|links| ShapeInput {
                collection: "c",
                runs: vec![(".p", links)],
            })
            .to_vec(),
        targets: (0..5_000).map(TargetKey::Did).collect(),
        link_targets,
        ..SegmentInput::default()
    }
}

#[test]
fn a_segment_with_hot_targets_is_sound_and_its_links_are_read_in_any_order() {
    let input = crowded(3_000);
    let segment = open(build(&input).unwrap()).unwrap();
    assert!(segment.info().hot_targets > 0);
    let [one, _, three] = segment.info().hot_widths;
    assert!(one < three, "classes of one width say little");
    segment.verify().unwrap();
    let mut expected: Vec<Vec<u32>> = Vec::new();
    let mut links = input.link_targets.iter();
    for row in &input.rows {
        // Targets are DIDs, so each has its actor's number.
        let of_row = links.by_ref().take(row.shape as usize + 1);
        expected.push(of_row.copied().collect());
    }
    let mut reader = segment.targets_at(".p").unwrap();
    let mut found = Vec::new();
    for row in (0..3_000u32).rev().chain((0..3_000).step_by(131)) {
        let expected = &expected[row as usize];
        reader.get(row, &mut found).unwrap();
        assert_eq!(&found, expected, "row {row}");
        let links = segment.links(row).unwrap().map(|link| link.unwrap().target);
        assert_eq!(&links.collect::<Vec<_>>(), expected, "row {row}");
    }
}

#[test]
fn merges_of_segments_with_hot_targets_are_what_the_builder_makes() {
    super::merge::check_merges(&crowded(3_000), 3, 2, 5);
}

#[test]
fn a_hot_target_that_no_link_names_is_found_where_it_stands_twice_or_out_of_order() {
    let sound = open(build(&crowded(16_000)).unwrap()).unwrap();
    let info = *sound.info();
    let room: u32 = info.hot_widths.iter().map(|width| 1 << width).sum();
    assert!(info.hot_targets < room, "no room for one more");
    let width = width_for(u64::from(info.targets - 1));
    let (links, count) = (sound.link_targets().unwrap(), info.hot_targets);
    let mut hot: Vec<u32> = (0..count).map(|at| links.hot_target(at).unwrap()).collect();
    for more in [hot[0], hot[count as usize - 1], 0, info.targets] {
        hot.push(more);
        let mut builder = crate::envelope::FileBuilder::new(KIND, VERSION);
        for (id, _) in sound.file().sections() {
            let contents = match section_name(id) {
                "hot targets" => {
                    let mut bits = BitWriter::new();
                    hot.iter()
                        .for_each(|target| bits.write((*target).into(), width));
                    bits.finish()
                }
                "meta" => {
                    let info = SegmentInfo {
                        hot_targets: count + 1,
                        ..info
                    };
                    info.encode()
                }
                _ => sound.file().section(id).unwrap().all().unwrap().to_vec(),
            };
            builder.section(id, &contents);
        }
        let error = open(builder.finish()).unwrap().verify().unwrap_err();
        assert!(error.to_string().contains("section hot targets"), "{error}");
        hot.pop();
    }
}

#[test]
fn damage_of_hot_targets_under_sound_checksums_ends_without_a_panic_and_readers_agree() {
    let rows = 400;
    let sound = open(build(&crowded(rows)).unwrap()).unwrap();
    assert!(sound.info().hot_targets > 0);
    let mut found = Vec::new();
    for (section, len) in sound.section_sizes() {
        let step = match section {
            "hot targets" | "link directory" => 7,
            "links" => 89,
            "meta" => 3,
            _ => continue,
        };
        for bit in (0..len * 8).step_by(step) {
            let Ok(segment) = open(damage::with_changed_bit(&sound, section, bit)) else {
                continue;
            };
            let Ok(mut reader) = segment.targets_at(".p") else {
                continue;
            };
            for row in 0..segment.info().rows.min(rows as u32) {
                let links = segment.links(row).and_then(|links| {
                    let targets = links.map(|link| link.map(|link| link.target));
                    targets.collect::<crate::Result<Vec<_>>>()
                });
                if reader.get(row, &mut found).is_ok() {
                    assert_eq!(links.as_ref(), Ok(&found), "bit {bit} of {section}");
                }
            }
            let drop_none = |_| false;
            let input = MergeInput {
                segment: &segment,
                is_dropped: &drop_none,
            };
            let merged = super::super::merge(
                &[input],
                &|_| true,
                &SampleRules::ALL,
                &mut Vec::new(),
                &mut InMemory,
            );
            drop(merged);
        }
    }
}
