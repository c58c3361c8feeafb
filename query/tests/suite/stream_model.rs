//! Random sequences of events through the engine and the model, and the link stream over them: applying what it tells,
//! in order, gives at every event exactly the links that the model shows, from whatever cursor it is resumed.
use std::ops::Range;

use crate::model::ops;
use crate::model::real;
use crate::model::universe::Universe;
use crate::stream::driver::Driver;
use orrery_engine::Options;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

fn hold(cases: u32, length: Range<usize>, options: &Options, in_order: bool) {
    let universe = Universe::small();
    let asked = std::env::var("ORRERY_MODEL_CASES").ok();
    let config = Config {
        cases: asked.and_then(|text| text.parse().ok()).unwrap_or(cases),
        failure_persistence: None,
        max_shrink_iters: 300,
        ..Config::default()
    };
    let mut runner =
        TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let outcome = runner.run(&ops::sequences(&universe, length), |ops| {
        Driver::new(universe.clone(), options.clone(), in_order).run(&ops);
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

#[test]
fn the_stream_tells_what_the_model_shows_while_everything_is_in_memory() {
    hold(30, 1..120, &real::options(1_000_000, false), false);
}

#[test]
fn the_stream_tells_what_the_model_shows_with_a_segment_for_every_few_events() {
    hold(30, 1..120, &real::options(9, true), false);
}

#[test]
fn the_stream_tells_what_the_model_shows_with_some_segments_and_lazy_commits() {
    hold(20, 1..160, &real::options(47, false), false);
}

/// The log is trimmed at each seal as far as it can be.
fn beyond_the_window(seal_events: u32) -> Options {
    let mut options = real::options(seal_events, false);
    options.log_bytes_max = 0;
    options
}

#[test]
fn what_is_left_of_events_from_before_the_window_and_the_log_make_one_stream() {
    hold(30, 1..60, &beyond_the_window(3), true);
    hold(20, 1..120, &beyond_the_window(13), true);
    hold(12, 1..160, &beyond_the_window(47), true);
}
