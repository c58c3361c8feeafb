//! Same options, same bytes: on every platform and in every later version.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may panic; clippy sees no test in helpers of an integration test"
)]

use orrery_synth::{Generator, Options};
use xxhash_rust::xxh3::Xxh3;

/// XXH3 of the first 10,000 lines of seed 1, each with a line end. A change of it
/// changes what every recorded benchmark and seed stands for: never by accident.
const GOLDEN: u64 = 0x476e_269d_4ef1_e513;

fn hash(options: Options, lines: usize) -> u64 {
    let mut hash = Xxh3::new();
    for line in Generator::new(options).unwrap().take(lines) {
        hash.update(&line);
        hash.update(b"\n");
    }
    hash.digest()
}

#[test]
fn the_first_ten_thousand_events_of_seed_1_are_these() {
    let found = hash(Options::default(), 10_000);
    assert_eq!(found, GOLDEN, "found {found:#x}");
}

#[test]
fn equal_options_give_equal_bytes_and_other_seeds_give_others() {
    let options = || Options {
        hot_like_share: 0.1,
        actors: 5000,
        ..Options::finite(42, 5000)
    };
    assert_eq!(hash(options(), 5000), hash(options(), 5000));
    assert_ne!(
        hash(options(), 5000),
        hash(
            Options {
                seed: 43,
                ..options()
            },
            5000
        )
    );
}

#[test]
fn a_clone_goes_on_as_the_original_does() {
    let mut one = Generator::new(Options::finite(6, 2000)).unwrap();
    one.by_ref().take(1000).for_each(drop);
    let two = one.clone();
    assert!(one.eq(two));
}
