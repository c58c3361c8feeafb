//! Every target reads its seeds, every kept input, and a few hundred changes of both. With
//! `ORRERY_FUZZ_SECONDS`, changes for that long.

#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test helper fails by panicking"
)]

use std::collections::BTreeSet;
use std::time::Duration;

use orrery_fuzz::drive::{Plan, drive};
use orrery_fuzz::{TARGETS, corpus, kept_segments, opens_as_segment, run, target};

/// Bytes of a changed input.
const LEN_MAX: usize = 1 << 14;

fn replay(name: &str) {
    let target = target(name).unwrap();
    for (number, input) in (target.seeds)().iter().enumerate() {
        if let Err(failure) = run(target, input) {
            panic!("{name}, seed {number}: {}", failure.why);
        }
    }
    for (file, input) in corpus::read(name).unwrap() {
        if let Err(failure) = run(target, &input) {
            panic!("corpus/{name}/{file}: {}", failure.why);
        }
    }
    let seconds = std::env::var("ORRERY_FUZZ_SECONDS").ok();
    let seconds = seconds.map(|text| {
        text.parse::<u64>()
            .expect("ORRERY_FUZZ_SECONDS is a number")
    });
    let plan = Plan {
        time_max: seconds.map_or(Duration::from_millis(200), Duration::from_secs),
        count_max: seconds.map_or(300, |_| u64::MAX),
        seed: 1,
        len_max: LEN_MAX,
    };
    let report = drive(target, &plan, &mut |_| {}).unwrap();
    if let Some((input, failure)) = report.failures.first() {
        panic!(
            "{name}, {} bytes {}: {}",
            input.len(),
            input.escape_ascii(),
            failure.why
        );
    }
}

macro_rules! replayed {
    ($($test:ident = $name:literal;)*) => {
        $(#[test]
        fn $test() {
            replay($name);
        })*

        const REPLAYED: &[&str] = &[$($name,)*];
    };
}

replayed! {
    bytes = "bytes";
    bits = "bits";
    monotone = "monotone";
    bitmap = "bitmap";
    filter = "filter";
    sketch = "sketch";
    envelope = "envelope";
    segment = "segment";
    keys = "keys";
    mask = "mask";
    cache_index = "cache-index";
    exclusions = "exclusions";
    cache_entry = "cache-entry";
    cache_file = "cache-file";
    segment_damage = "segment-damage";
    keys_damage = "keys-damage";
    mask_damage = "mask-damage";
    events = "events";
    effect = "effect";
    frame = "frame";
    log_file = "log-file";
    manifest = "manifest";
    edit = "edit";
    record = "record";
    link_target = "link-target";
    syntax = "syntax";
    record_json = "record-json";
    record_cbor = "record-cbor";
    car = "car";
    commit = "commit";
    tree = "tree";
    wire_event = "wire-event";
    wire_zstd = "wire-zstd";
    lines = "lines";
    cursor = "cursor";
    place = "place";
    query_string = "query-string";
    subscriber = "subscriber";
    accept = "accept";
    time = "time";
}

/// With `ORRERY_REGENERATE` set, the kept segments are written anew. One of another version's layout would end where it is
/// opened, and keep nothing from breaking again.
#[test]
fn each_kept_segment_opens() {
    let kept = kept_segments();
    if std::env::var_os("ORRERY_REGENERATE").is_some() {
        for (name, input) in &kept {
            std::fs::write(corpus::root().join("segment").join(name), input).unwrap();
        }
    }
    let found = corpus::read("segment").unwrap();
    for (file, input) in &found {
        if let Err(error) = opens_as_segment(input) {
            panic!("corpus/segment/{file}: {error}; make it anew");
        }
    }
    for (name, input) in &kept {
        assert!(input.len() <= LEN_MAX, "{name} is cut before it is changed");
        assert!(found.iter().any(|(file, _)| file == name), "no {name}");
        assert_eq!(
            kept.iter().filter(|other| other.1 == *input).count(),
            1,
            "{name}"
        );
    }
}

/// What recursion without a limit dies of. A test's thread has a stack of 2 MiB.
#[test]
fn nesting_a_hundred_thousand_deep_does_not_overflow_the_stack() {
    const DEPTH: usize = 100_000;
    for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[", "")] {
        let value = format!("{}1{}", open.repeat(DEPTH), close.repeat(DEPTH));
        let record = format!("{{\"a\":{value}}}");
        let event = format!(
            "{{\"did\":\"did:plc:a\",\"time_us\":1,\"kind\":\"commit\",\"x\":{value},\"commit\":{{\
             \"rev\":\"\",\"operation\":\"create\",\"collection\":\"\",\"rkey\":\"\",\"record\":{record}}}}}"
        );
        for (name, input) in [
            ("record", &record),
            ("record", &value),
            ("wire-event", &event),
        ] {
            if let Err(failure) = run(target(name).unwrap(), input.as_bytes()) {
                panic!("{name}, {open:?} {DEPTH} times: {}", failure.why);
            }
        }
    }
}

#[test]
fn every_target_is_replayed() {
    let targets: BTreeSet<_> = TARGETS.iter().map(|target| target.name).collect();
    assert_eq!(targets.len(), TARGETS.len());
    assert_eq!(targets, REPLAYED.iter().copied().collect());
}

#[test]
fn kept_inputs_are_few_and_each_has_its_target() {
    let mut bytes = 0;
    for entry in std::fs::read_dir(corpus::root()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(target(&name).is_some(), "corpus/{name} is of no target");
        bytes += corpus::read(&name)
            .unwrap()
            .iter()
            .map(|kept| kept.1.len() as u64)
            .sum::<u64>();
    }
    assert!(bytes <= corpus::BYTES_MAX, "{bytes} bytes of kept inputs");
}
