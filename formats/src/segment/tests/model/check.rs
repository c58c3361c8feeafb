//! Every answer of a segment against the model's.

use super::*;

/// Compares every answer of `segment` with the input's.
pub(in crate::segment::tests) fn check(input: &SegmentInput<'_>, segment: &Segment) {
    check_buckets(input, segment);
    let info = segment.info();
    assert_eq!(
        (
            info.first_seq,
            info.last_seq,
            info.first_time_us,
            info.last_time_us
        ),
        (
            input.first_seq,
            input.last_seq,
            input.first_time_us,
            input.last_time_us
        ),
    );
    assert_eq!(info.rows as usize, input.rows.len());
    assert_eq!(info.links as usize, input.link_targets.len());
    assert_eq!(info.targets as usize, input.targets.len());
    let lists = check_rows(input, segment);
    check_lists(input, segment, &lists);
    check_keys(input, segment);
    check_actors(input, segment);
    check_samples(input, segment);
    for section in segment.section_sizes() {
        assert!(!section.0.is_empty());
    }
}

fn check_samples(input: &SegmentInput<'_>, segment: &Segment) {
    let groups = input.samples.chunk_by(|a, b| a.collection == b.collection);
    let groups: Vec<_> = groups.collect();
    let names = unwrap_all(segment.sample_collections().unwrap());
    assert_eq!(names.len(), groups.len());
    for (group, SampleCollection { name, latest_us }) in groups.into_iter().zip(names) {
        assert_eq!(name, group[0].collection);
        assert_eq!(segment.samples_len(name).unwrap(), group.len());
        let latest = group.iter().map(|sample| sample.time_us).max();
        assert_eq!(Some(latest_us), latest);
        for most in [1, group.len() / 2 + 1, group.len()] {
            let mut left = group.iter().rev().take(most);
            let mut count = 0;
            let mut each = |sample: Sample<'_>| {
                assert_eq!(Some(&sample), left.next());
                count += 1;
                if count < most {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            };
            segment.samples(name, &mut each).unwrap();
            assert_eq!(count, most.min(group.len()));
        }
    }
    let mut none = |sample: Sample<'_>| panic!("{sample:?}");
    segment.samples("app.absent", &mut none).unwrap();
    assert_eq!(segment.samples_len("app.absent").unwrap(), 0);
}

/// Rows by (target, collection, path).
type ListModel<'a> = BTreeMap<(TargetKey<'a>, &'a str, &'a str), BTreeSet<u32>>;

fn check_rows<'a>(input: &SegmentInput<'a>, segment: &Segment) -> ListModel<'a> {
    let mut lists = ListModel::new();
    let mut links = input.link_targets.iter();
    let mut names = segment.row_names().unwrap();
    let paths = input.shapes.iter().flat_map(|shape| &shape.runs);
    let paths: BTreeSet<&str> = paths.map(|(path, _)| *path).chain([".absent"]).collect();
    let at_paths = paths.into_iter().take(4);
    let mut at_paths: Vec<_> = at_paths
        .map(|path| (path, segment.targets_at(path).unwrap()))
        .collect();
    let mut targets = Vec::new();
    for (number, row) in (0u32..).zip(&input.rows) {
        assert_eq!(segment.seq(number).unwrap(), row.seq);
        assert_eq!(segment.time_us(number).unwrap(), row.time_us / 1000 * 1000);
        assert_eq!(segment.actor(number).unwrap(), row.actor);
        let shape = &input.shapes[row.shape as usize];
        assert_eq!(segment.collection(number).unwrap(), shape.collection);
        let rkey = segment.rkey(number).unwrap();
        assert_eq!(rkey.to_string(), row.rkey);
        assert_eq!(&*rkey.text(), row.rkey);
        let (actor, collection) = (row.actor, shape.collection);
        let name = names.get(number).unwrap();
        assert_eq!(
            (name.actor, name.collection, name.rkey),
            (actor, collection, rkey)
        );
        // From a row far off, and back.
        let far = (number * 7 + 300) % input.rows.len() as u32;
        assert_eq!(names.get(far).unwrap().actor, segment.actor(far).unwrap());
        assert_eq!(names.get(far).unwrap().rkey, segment.rkey(far).unwrap());
        assert!(rkey == *row.rkey);
        for (path, readers) in &mut at_paths {
            let all = segment.links(number).unwrap().map(Result::unwrap);
            let at = all.filter(|link| segment.path(link.path).unwrap() == *path);
            let expected: Vec<u32> = at.map(|link| link.target).collect();
            readers.get(number, &mut targets).unwrap();
            assert_eq!(targets, expected);
        }
        let mut found = segment.links(number).unwrap();
        for (path, count) in &shape.runs {
            for _ in 0..*count {
                let link = found.next().unwrap().unwrap();
                let expected = input.targets[*links.next().unwrap() as usize];
                assert_eq!(segment.path(link.path).unwrap(), *path);
                let mut text = Text::default();
                let target = segment.target(link.target).unwrap();
                assert_eq!(target.key(&mut text), expected);
                assert_eq!(segment.find_target(&expected).unwrap(), Some(link.target));
                let source = segment
                    .find_source(shape.collection, path)
                    .unwrap()
                    .unwrap();
                let list = segment.find_list(link.target, source).unwrap().unwrap();
                assert_eq!(
                    segment.list_id(number, link.path, link.target).unwrap(),
                    list.id()
                );
                lists
                    .entry((expected, shape.collection, path))
                    .or_default()
                    .insert(number);
            }
        }
        assert!(found.next().is_none());
        let mut of_row = Vec::new();
        let read = segment.each_list(number, &mut |link, list, rows| {
            of_row.push((link, list, rows))
        });
        read.unwrap();
        let expected = segment.links(number).unwrap().map(|link| {
            let link = link.unwrap();
            let list = segment.list_id(number, link.path, link.target).unwrap();
            (link, list, segment.list(list).unwrap().len())
        });
        assert!(expected.eq(of_row));
    }
    check_long_lists(segment);
    check_many_targets(segment);
    for seq in input
        .rows
        .iter()
        .flat_map(|row| [row.seq - 1, row.seq, row.seq + 1])
    {
        let expected = input.rows.partition_point(|row| row.seq < seq);
        assert_eq!(segment.lower_bound_seq(seq).unwrap() as usize, expected);
    }
    assert_eq!(
        segment.lower_bound_seq(u64::MAX).unwrap(),
        segment.info().rows
    );
    assert!(segment.links(segment.info().rows).is_err());
    lists
}

fn check_lists(input: &SegmentInput<'_>, segment: &Segment, lists: &ListModel<'_>) {
    assert_eq!(segment.info().lists as usize, lists.len());
    let mut ids = BTreeSet::new();
    for target in &input.targets {
        let ordinal = segment.find_target(target).unwrap().unwrap();
        let found = unwrap_all(segment.lists_of(ordinal).unwrap());
        let expected: Vec<_> = lists.iter().filter(|(key, _)| key.0 == *target).collect();
        assert_eq!(found.len(), expected.len());
        for (info, ((_, collection, path), rows)) in found.iter().zip(expected) {
            assert!(ids.insert(info.id));
            assert_eq!((info.collection, info.path), (*collection, *path));
            let list = segment.list(info.id).unwrap();
            let rows: Vec<u32> = rows.iter().copied().collect();
            assert_eq!(
                (list.id(), list.len(), info.len),
                (info.id, info.len, rows.len() as u32)
            );
            assert_eq!(list.is_long(), rows.len() > 64);
            for i in [0, rows.len() / 2, rows.len()] {
                assert_eq!(unwrap_all(list.iter_from(i as u32)), &rows[i..]);
                let mut back = unwrap_all(list.iter_back_from(i as u32));
                back.reverse();
                assert_eq!(back, &rows[..i]);
            }
            for (i, row) in (0u32..).zip(&rows) {
                assert_eq!(list.get(i).unwrap(), *row);
                assert_eq!(list.lower_bound(*row).unwrap(), i);
                let after = rows.partition_point(|other| *other < row + 1);
                assert_eq!(list.lower_bound(row + 1).unwrap() as usize, after);
            }
            assert!(list.get(list.len()).is_err());
        }
        for source in 0..segment.info().sources {
            let present = found.iter().any(|info| info.source == source);
            assert_eq!(
                segment.find_list(ordinal, source).unwrap().is_some(),
                present
            );
        }
    }
    assert!(ids.iter().copied().eq(0..segment.info().lists));
    for absent in [
        TargetKey::Did(77),
        TargetKey::Other("nowhere"),
        TargetKey::Record {
            actor: 3,
            collection: "app.post",
            rkey: "absent",
        },
        TargetKey::Record {
            actor: 41,
            collection: "app.post",
            rkey: "3jzfcijpj2z2a",
        },
        TargetKey::Record {
            actor: 3,
            collection: "absent",
            rkey: "self",
        },
    ] {
        assert_eq!(segment.find_target(&absent).unwrap(), None);
    }
    assert_eq!(segment.find_source("app.like", ".absent").unwrap(), None);
    assert!(segment.list(segment.info().lists).is_err());
    assert!(segment.target(segment.info().targets).is_err());
}

fn check_keys(input: &SegmentInput<'_>, segment: &Segment) {
    let mut by_key: BTreeMap<(u32, &str, &str), Vec<u32>> = BTreeMap::new();
    let mut by_actor: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for (number, row) in (0u32..).zip(&input.rows) {
        let collection = input.shapes[row.shape as usize].collection;
        by_key
            .entry((row.actor, collection, row.rkey))
            .or_default()
            .push(number);
        by_actor.entry(row.actor).or_default().push(number);
    }
    let find = |actor, collection: &str, rkey: &str| {
        let mut found = Vec::new();
        segment
            .find_rows(actor, collection, rkey, &mut |row| found.push(row))
            .unwrap();
        found
    };
    for ((actor, collection, rkey), rows) in &by_key {
        assert!(segment.may_hold_key(*actor, collection, rkey).unwrap());
        assert_eq!(find(*actor, collection, rkey), *rows);
        for other in ["app.like", "x", "absent"] {
            let expected = by_key
                .get(&(*actor, other, *rkey))
                .cloned()
                .unwrap_or_default();
            assert_eq!(find(*actor, other, rkey), expected);
        }
    }
    assert_eq!(find(0, "app.like", "absent key"), []);
    for (actor, rows) in &by_actor {
        assert_eq!(unwrap_all(segment.actor_rows(*actor).unwrap()), *rows);
        for from in [
            1,
            130,
            segment.info().rows / 2,
            segment.info().rows,
            u32::MAX,
        ] {
            let rest: Vec<u32> = rows.iter().copied().filter(|row| *row >= from).collect();
            let found = segment.actor_rows_from(*actor, from).unwrap();
            assert_eq!(unwrap_all(found), rest, "from {from}");
        }
    }
    for actor in [0, 6, 1000, u32::MAX] {
        let expected = by_actor.get(&actor).cloned().unwrap_or_default();
        assert_eq!(unwrap_all(segment.actor_rows(actor).unwrap()), expected);
    }
}

fn check_actors(input: &SegmentInput<'_>, segment: &Segment) {
    let first = input.actors.first_id;
    let names = segment.did_names().unwrap();
    for (id, did) in (first..).zip(&input.actors.dids) {
        assert_eq!(segment.did(id).unwrap().unwrap().to_string(), *did);
        assert_eq!(names.get(id).unwrap(), segment.did(id).unwrap());
    }
    for absent in [
        0,
        first.saturating_sub(1),
        first + input.actors.dids.len() as u32,
    ] {
        if absent != first {
            assert_eq!(segment.did(absent).unwrap(), None);
            assert_eq!(names.get(absent).unwrap(), None);
        }
    }
    let ids: BTreeMap<&str, u32> = (first..)
        .zip(&input.actors.dids)
        .map(|(id, did)| (*did, id))
        .collect();
    for (did, id) in &ids {
        let found = segment.find_did(did).unwrap().unwrap();
        // One of them, where the input has a DID twice.
        assert_eq!(input.actors.dids[(found - first) as usize], *did, "{id}");
        let mut absent = (*did).to_owned();
        absent.push('!');
        assert_eq!(segment.find_did(&absent).unwrap(), None);
    }
    for absent in ["", "did:plc:", "did:plc:zzzzzzzzzzzzzzzzzzzzzzz2"] {
        assert_eq!(segment.find_did(absent).unwrap(), None);
    }
    assert_eq!(
        unwrap_all(segment.passed_keys().unwrap()),
        input.passed,
        "{:?}",
        segment.info()
    );
    for &key in &input.passed {
        assert!(segment.holds_passed_key(key).unwrap());
        let PassedKey { actor, hash } = key;
        for (actor, hash) in [(actor, hash ^ 1), (actor ^ 1, hash), (actor, 0), (0, hash)] {
            let near = PassedKey { actor, hash };
            let expected = input.passed.contains(&near);
            assert_eq!(segment.holds_passed_key(near).unwrap(), expected);
        }
        for actor in [actor.wrapping_sub(1), actor, actor + 1] {
            let expected = input.passed.iter().any(|key| key.actor == actor);
            assert_eq!(segment.holds_passed_keys_of(actor).unwrap(), expected);
        }
    }
    let states = &input.actors.states;
    assert_eq!(&unwrap_all(segment.states().unwrap()), states);
    for state in states {
        assert_eq!(segment.state(state.id).unwrap(), Some(*state));
        for near in [state.id.wrapping_sub(1), state.id.wrapping_add(1)] {
            let expected = states.iter().find(|state| state.id == near).copied();
            assert_eq!(segment.state(near).unwrap(), expected);
        }
    }
    let with_account = states
        .iter()
        .filter(|state| (state.account_seq, state.status) != (0, 0));
    assert!(
        unwrap_all(segment.account_states().unwrap())
            .iter()
            .eq(with_account)
    );
    let kills: BTreeSet<u64> = input.kills.iter().copied().collect();
    assert!(unwrap_all(segment.kills().unwrap()).into_iter().eq(kills));
}

/// The long lists of many rows are those of each of them.
fn check_long_lists(segment: &Segment) {
    for (longer_than, step) in [(0, 1), (0, 3), (1, 1), (2, 2), (64, 1)] {
        let rows: Vec<u32> = (0..segment.info().rows).step_by(step).collect();
        let (mut expected, mut found) = (BTreeMap::new(), BTreeMap::new());
        let (mut links, mut expected_links, mut found_links) = (0, Vec::new(), Vec::new());
        for row in &rows {
            let each = &mut |link, list, rows| {
                links += 1;
                expected_links.push((*row, link));
                if rows > longer_than {
                    *expected.entry((list, *row)).or_insert(0) += 1;
                }
            };
            segment.each_list(*row, each).unwrap();
        }
        let each = &mut |list, row| *found.entry((list, row)).or_insert(0) += 1;
        let each_link = &mut |row, link| found_links.push((row, link));
        let all = segment.long_lists_of(&rows, longer_than, each, each_link);
        assert_eq!((all.unwrap(), found), (links, expected));
        assert_eq!(found_links, expected_links);
    }
    let rows: Vec<u32> = (0..segment.info().rows).rev().step_by(3).collect();
    let (mut expected, mut found) = (Vec::new(), Vec::new());
    for row in &rows {
        let links = segment.links(*row).unwrap();
        expected.extend(links.map(|link| (*row, link.unwrap())));
    }
    let each = &mut |row, link| found.push((row, link));
    segment.links_of_rows(&rows, each).unwrap();
    assert_eq!(found, expected, "in whichever order the rows are");
    let behind = [segment.info().rows];
    assert!(segment.links_of_rows(&behind, &mut |_, _| {}).is_err());
    let none = segment.long_lists_of(&behind, 0, &mut |_, _| {}, &mut |_, _| {});
    assert!(none.is_err());
}

/// Many targets read at once are those that are read one by one.
fn check_many_targets(segment: &Segment) {
    for step in [1, 2, 30, 200] {
        let ordinals: Vec<u32> = (0..segment.info().targets).step_by(step).collect();
        let mut expected = ordinals
            .iter()
            .map(|target| segment.target(*target).unwrap());
        segment
            .each_target(
                &ordinals,
                |target| *target,
                |target| {
                    assert_eq!(Some(target), expected.next());
                    Ok::<(), crate::Error>(())
                },
            )
            .unwrap();
        assert_eq!(expected.next(), None);
        let actor = |target: &u32| match segment.target(*target).unwrap() {
            TargetRef::Did(actor) | TargetRef::Record { actor, .. } => Some(actor),
            TargetRef::Other(_) => None,
        };
        let actors: Vec<u32> = ordinals.iter().filter_map(actor).collect();
        let mut found = Vec::new();
        let each_actor = &mut |actor| found.push(actor);
        segment.fetch_targets(&ordinals, each_actor);
        assert_eq!(found, actors);
    }
    let beyond = [segment.info().targets];
    let none = segment.each_target(&beyond, |target| *target, |_| Ok::<(), crate::Error>(()));
    assert!(none.is_err());
}
