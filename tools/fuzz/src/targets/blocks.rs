//! The pieces that formats are made of: integers, bits, lists, sets, filters.

use orrery_formats::bitmap::Bitmap;
use orrery_formats::bits::{BitWriter, read_bits};
use orrery_formats::bytes::{Reader, put_str, put_varint};
use orrery_formats::chunks::Region;
use orrery_formats::filter::{self, Filter};
use orrery_formats::monotone::{self, Monotone};
use orrery_formats::sketch::{ENCODED_MAX, REGISTERS, Sketch, estimate_of};
use roaring::RoaringBitmap;

use super::samples::sketch;
use super::take;
use crate::{Outcome, Target, heap};

/// What errors and small tables take; no decoder here needs more, whatever its input.
const HEAP_MAX: usize = 4096;
/// Values of a list or set that are looked at.
const VALUES_MAX: usize = 70_000;

pub(super) const BYTES: Target = Target {
    name: "bytes",
    about: "integers, varints and strings, by a script of reads",
    seeds: || {
        let mut text = vec![4, 6, 7, 8, 9, 0xac, 2];
        put_str(&mut text, "a string");
        put_varint(&mut text, u64::MAX);
        vec![text, vec![3, 6, 6, 6, 0x80, 0, 1]]
    },
    words: &[],
    check: bytes,
};

/// The first byte tells how many bytes say what to read from the rest.
fn bytes(mut input: &[u8]) -> Outcome {
    let [count] = take(&mut input);
    let (script, data) = input.split_at(usize::from(count).min(input.len()));
    let mut reader = Reader::new("data", data);
    let mut outcomes = Vec::new();
    for step in script {
        let start = reader.position() as usize;
        let mut again = Vec::new();
        let read = heap::at_most(HEAP_MAX, || match step % 10 {
            0 => reader.u8().map(|v| again.extend(v.to_le_bytes())),
            1 => reader.u16().map(|v| again.extend(v.to_le_bytes())),
            2 => reader.u32().map(|v| again.extend(v.to_le_bytes())),
            3 => reader.u64().map(|v| again.extend(v.to_le_bytes())),
            4 => reader.i64().map(|v| again.extend(v.to_le_bytes())),
            5 => reader
                .zeros(usize::from(step / 10))
                .map(|()| again.resize(usize::from(step / 10), 0)),
            6 => reader.varint().map(|v| put_varint(&mut again, v)),
            7 => reader
                .varint_u32()
                .map(|v| put_varint(&mut again, v.into())),
            8 => reader.str().map(|v| again.reserve(v.len())),
            _ => reader
                .str_of(usize::from(step / 10))
                .map(|v| again.reserve(v.len())),
        });
        let end = reader.position() as usize;
        assert_eq!(end + reader.remaining(), data.len());
        match read {
            Ok(()) if step % 10 < 8 => assert_eq!(data[start..end], again, "step {step}"),
            Ok(()) => {}
            Err(_) => assert_eq!(start, end, "a failed read moved"),
        }
        outcomes.push((step % 10, read.is_ok()));
    }
    Outcome::of(&outcomes.split_off(outcomes.len().saturating_sub(3)))
}

pub(super) const BITS: Target = Target {
    name: "bits",
    about: "packed integers of 1 to 64 bits, against one bit at a time",
    seeds: || vec![vec![7, 1, 2, 3, 4, 5, 6, 7, 8, 9], vec![64; 40], vec![0, 9]],
    words: &[],
    check: bits,
};

fn bits(mut input: &[u8]) -> Outcome {
    let [width] = take(&mut input);
    let width = u32::from(width) % 70;
    let region = Region::over("bits", input);
    let mut writer = BitWriter::new();
    let mut at = 0;
    while at < input.len() as u64 * 8 {
        let read = read_bits(region, at, width);
        let bits_read = u64::from(width.min(64));
        let is_inside = at + bits_read <= input.len() as u64 * 8;
        assert_eq!(read.is_ok(), is_inside, "{width} bits at {at}");
        let Ok(value) = read else { break };
        let naive = (0..bits_read).fold(0, |sum, bit| {
            let place = at + bit;
            sum | u64::from(input[(place / 8) as usize] >> (place % 8) & 1) << bit
        });
        assert_eq!(value, naive, "{width} bits at {at}");
        writer.write(value, width.min(64));
        at += bits_read.max(1);
    }
    if width > 0 {
        let written = writer.finish();
        let whole = written.len().saturating_sub(1);
        assert_eq!(written[..whole], input[..whole]);
    }
    Outcome::counts(&[width.into()])
}

pub(super) const MONOTONE: Target = Target {
    name: "monotone",
    about: "lists that do not decrease",
    seeds: || {
        let lists: [Vec<u32>; 6] = [
            Vec::new(),
            vec![u32::MAX],
            vec![3, 8, 8, 21],
            (0..300).map(|i| i * i).collect(),
            (0..129).map(|_| 7).collect(),
            vec![0, 1, u32::MAX - 1, u32::MAX],
        ];
        let encode = |values: &Vec<u32>| {
            let mut out = Vec::new();
            monotone::encode(values, &mut out);
            out
        };
        lists.iter().map(encode).collect()
    },
    words: &[],
    check: monotone,
};

fn monotone(input: &[u8]) -> Outcome {
    let region = Region::over("list", input);
    let list = match heap::at_most(HEAP_MAX, || Monotone::open(region)) {
        Ok(list) => list,
        Err(error) => return Outcome::of(&error),
    };
    assert!(list.encoded_len() <= input.len() as u64);
    let probes = [
        0,
        1,
        list.len() / 2,
        list.len().wrapping_sub(1),
        list.len(),
        u32::MAX,
    ];
    for i in probes {
        // A damaged list may answer wrongly, but answers, and only below its length.
        assert!(list.get(i).is_err() || i < list.len());
        assert!(list.lower_bound(i).is_ok_and(|at| at <= list.len()) || list.verify().is_err());
        for walk in [
            list.iter_from(i).take(300).count(),
            list.iter_back_from(i).take(300).count(),
        ] {
            assert!(walk <= list.len() as usize);
        }
    }
    if let Err(error) = list.verify() {
        return Outcome::of(&error);
    }
    let values: Vec<u32> = list
        .iter_from(0)
        .take(VALUES_MAX)
        .map(Result::unwrap)
        .collect();
    assert!(values.is_sorted());
    if values.len() < VALUES_MAX {
        assert_eq!(values.len() as u32, list.len());
        assert_eq!(
            (list.first(), list.last()),
            (values.first().copied(), values.last().copied())
        );
        let mut back: Vec<u32> = list.iter_back_from(u32::MAX).map(Result::unwrap).collect();
        back.reverse();
        assert_eq!(values, back);
        let mut again = Vec::new();
        monotone::encode(&values, &mut again);
        let again = Monotone::open(Region::over("again", &again)).unwrap();
        assert!(
            again
                .iter_from(0)
                .map(Result::unwrap)
                .eq(values.iter().copied())
        );
        for x in probes.into_iter().chain(values.iter().copied().take(200)) {
            let expected = values.partition_point(|value| *value < x);
            assert_eq!(
                list.lower_bound(x).unwrap() as usize,
                expected,
                "bound of {x}"
            );
        }
    }
    for (i, value) in (0..).zip(&values).step_by(values.len() / 200 + 1) {
        assert_eq!(list.get(i).unwrap(), *value);
    }
    Outcome::counts(&[u64::from(list.len()), u64::from(list.last().unwrap_or(0))])
}

pub(super) const BITMAP: Target = Target {
    name: "bitmap",
    about: "sets in the Roaring layout, against crate roaring",
    seeds: || {
        let mut runs: RoaringBitmap = (10..3000).chain(70_000..70_005).collect();
        let sparse: RoaringBitmap = (0..20).map(|i| i * 50_000).collect();
        let dense: RoaringBitmap = (0..9000).filter(|i| i % 2 == 0).collect();
        runs.optimize();
        let bytes = |set: &RoaringBitmap| {
            let mut out = Vec::new();
            set.serialize_into(&mut out).unwrap();
            out
        };
        [RoaringBitmap::new(), sparse, dense, runs]
            .iter()
            .map(bytes)
            .collect()
    },
    words: &[],
    check: bitmap,
};

fn bitmap(input: &[u8]) -> Outcome {
    let set = match heap::at_most(HEAP_MAX, || Bitmap::open(Region::over("set", input))) {
        Ok(set) => set,
        Err(error) => return Outcome::of(&error),
    };
    let probes = [0, 1, 9, 0xffff, 0x1_0000, 0x1_0001, 1 << 31, u32::MAX];
    for x in probes {
        let _ = (set.contains(x), set.rank(x), set.lower_bound(x));
        let _ = (set.select(x.into()), set.first(), set.last());
        let _ = (
            set.iter_from(x).take(300).count(),
            set.iter_back_from(x).take(300).count(),
        );
    }
    if let Err(error) = set.verify() {
        return Outcome::of(&error);
    }
    let values: Vec<u32> = set
        .iter_from(0)
        .take(VALUES_MAX)
        .map(Result::unwrap)
        .collect();
    assert!(values.is_sorted_by(|a, b| a < b));
    if values.len() < VALUES_MAX {
        assert_eq!(values.len() as u64, set.len());
        let mut back: Vec<u32> = set.iter_back_from(u32::MAX).map(Result::unwrap).collect();
        back.reverse();
        assert_eq!(values, back);
        // What both accept, both read alike. The layout has no order for damage, so either may be stricter.
        if let Ok(other) = RoaringBitmap::deserialize_from(input) {
            assert!(other.iter().eq(values.iter().copied()));
        }
        let some = values.iter().copied().step_by(values.len() / 100 + 1);
        for x in probes.into_iter().chain(some) {
            let rank = values.partition_point(|value| *value <= x);
            assert_eq!(set.rank(x).unwrap() as usize, rank, "rank of {x}");
            let bound = values.partition_point(|value| *value < x);
            assert_eq!(set.lower_bound(x).unwrap(), values.get(bound).copied());
            assert_eq!(set.contains(x).unwrap(), bound < rank);
            assert_eq!(
                set.select(bound as u64).unwrap(),
                values.get(bound).copied()
            );
        }
    }
    Outcome::counts(&[set.len(), u64::from(set.last().unwrap().unwrap_or(0))])
}

pub(super) const FILTER: Target = Target {
    name: "filter",
    about: "binary fuse filters: read, and made of the input as keys",
    seeds: || {
        let keys: Vec<u64> = (0..100u64)
            .map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15))
            .collect();
        vec![
            filter::build(&[]),
            filter::build(&[7]),
            filter::build(&keys),
        ]
    },
    words: &[],
    check: filter,
};

pub(super) const SKETCH: Target = Target {
    name: "sketch",
    about: "sketches: read, united, and written again",
    seeds: || [0, 3, 128, 129, 2_000, 60_000].map(sketch).to_vec(),
    words: &[],
    check: check_sketch,
};

fn check_sketch(input: &[u8]) -> Outcome {
    let mut read = Sketch::new();
    let united = heap::at_most(HEAP_MAX + REGISTERS, || read.unite_encoded(input));
    if united.is_ok() {
        let mut bytes = Vec::new();
        read.encode(&mut bytes);
        assert!(bytes.len() <= ENCODED_MAX, "{} bytes", bytes.len());
        let mut again = Sketch::new();
        again.unite_encoded(&bytes).unwrap();
        assert_eq!(again, read);
        assert_eq!(estimate_of(&bytes).unwrap(), read.estimate());
        again.unite(&read);
        assert_eq!(again, read, "a union with itself");
    }
    Outcome::of(&united)
}

fn filter(input: &[u8]) -> Outcome {
    let keys: Vec<u64> = input
        .chunks_exact(8)
        .take(64)
        .map(|key| u64::from_le_bytes(key.try_into().unwrap()))
        .collect();
    let made = filter::build(&keys);
    let made = Filter::open(Region::over("made", &made)).unwrap();
    made.verify().unwrap();
    for key in &keys {
        assert!(
            made.contains(*key).unwrap(),
            "{key:#x} is not in a filter of it"
        );
    }
    let read = heap::at_most(HEAP_MAX, || {
        let found = Filter::open(Region::over("filter", input))?;
        let verified = found.verify();
        for key in keys.iter().copied().chain([0, 1, u64::MAX]) {
            let contains = found.contains(key);
            assert!(
                contains.is_ok() || verified.is_err(),
                "{contains:?} of a sound filter"
            );
        }
        verified
    });
    Outcome::of(&read)
}
