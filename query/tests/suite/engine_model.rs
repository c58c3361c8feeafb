//! Random sequences of events through the engine and through the model, every kind of answer compared.
use crate::model::compare::{self, Dice};
use crate::model::ops::{self, Action, Op, Recipe, Standing};
use crate::model::real::{self, Real};
use crate::model::run::Driver;
use crate::model::universe::Universe;
use crate::model::view::View as _;
use orrery_engine::Options;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// Runs `cases` sequences with the options given by case; the same ones every time.
fn hold(cases: u32, length: std::ops::Range<usize>, seal_events: u32, eager_commit: bool) {
    hold_with(
        cases,
        length,
        real::options(seal_events, eager_commit),
        false,
    );
}

/// The same with the log trimmed at each seal as far as it can be.
fn hold_beyond_the_window(cases: u32, length: std::ops::Range<usize>, seal_events: u32) {
    let mut options = real::options(seal_events, false);
    options.log_bytes_max = 0;
    hold_with(cases, length, options, true);
}

fn hold_with(cases: u32, length: std::ops::Range<usize>, options: Options, in_order: bool) {
    let universe = Universe::small();
    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 2_000,
        ..Config::default()
    };
    let cases = std::env::var("ORRERY_MODEL_CASES")
        .ok()
        .and_then(|text| text.parse().ok());
    let config = Config {
        cases: cases.unwrap_or(config.cases),
        ..config
    };
    let mut runner =
        TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let outcome = runner.run(&ops::sequences(&universe, length), |ops| {
        let driver = Driver::new(universe.clone(), Real::new(options.clone()));
        let mut driver = if in_order { driver.in_order() } else { driver };
        driver.run(&ops);
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

#[test]
fn answers_equal_the_models_while_everything_is_in_memory() {
    hold(40, 1..120, 1_000_000, false);
}

#[test]
fn answers_equal_the_models_with_a_segment_for_every_few_events() {
    hold(40, 1..120, 9, true);
}

#[test]
fn answers_equal_the_models_with_some_segments_and_lazy_commits() {
    hold(40, 1..160, 47, false);
}

#[test]
fn short_sequences_equal_the_models_with_a_segment_for_every_event() {
    hold(60, 1..40, 1, true);
}

#[test]
fn events_from_before_the_window_move_nothing_with_a_segment_for_every_event() {
    hold_beyond_the_window(60, 1..60, 1);
}

#[test]
fn events_from_before_the_window_move_nothing_with_a_segment_for_every_few_events() {
    hold_beyond_the_window(60, 1..120, 9);
}

#[test]
fn events_from_before_the_window_move_nothing_with_some_segments() {
    hold_beyond_the_window(40, 1..160, 47);
}

/// A write, an account change or a delete, by chance.
fn chance(universe: &Universe, dice: &mut Dice) -> Op {
    // The lower of two throws: some accounts and targets are much busier than others.
    let did = dice
        .roll(universe.dids.len())
        .min(dice.roll(universe.dids.len()));
    let key = dice.roll(universe.keys().len());
    let targets = universe.targets.len();
    let busy = |dice: &mut Dice| {
        dice.roll(targets)
            .min(dice.roll(targets))
            .min(dice.roll(targets))
    };
    match dice.roll(100) {
        0..70 => {
            let recipe = Recipe {
                subject: Some(busy(dice)),
                via: (dice.roll(5) == 0).then(|| busy(dice)),
                items: (0..dice.roll(3)).map(|_| busy(dice)).collect(),
                facets: Vec::new(),
            };
            let action = if dice.roll(4) == 0 {
                Action::Update(recipe)
            } else {
                Action::Create(recipe)
            };
            Op::Commit {
                did,
                writes: vec![(key, action)],
            }
        }
        70..92 => Op::Commit {
            did,
            writes: vec![(key, Action::Delete)],
        },
        92..96 => Op::Identity { did },
        96 => Op::Account {
            did,
            standing: Standing::Deleted,
        },
        97 => Op::Account {
            did,
            standing: Standing::Deactivated,
        },
        _ => Op::Account {
            did,
            standing: Standing::Active,
        },
    }
}

#[test]
fn twenty_thousand_events_over_many_segments_equal_the_model() {
    let universe = Universe::large();
    let mut driver = Driver::new(universe.clone(), Real::new(real::options(1_700, false)));
    let mut dice = Dice(0x0b5e_55ed);
    for number in 0..20_000 {
        let op = chance(&universe, &mut dice);
        driver.step(&format!("event {number}"), &op);
        if number % 997 == 0 {
            let mut asked = Dice(number);
            for _ in 0..3 {
                let through_us = driver.through_us();
                compare::glance(
                    "mid-stream",
                    &driver.real.snapshot(),
                    &*driver.world,
                    through_us,
                    &universe,
                    &mut asked,
                );
            }
        }
        match number % 5_000 {
            2_500 => driver.step("clean restart", &Op::Restart),
            4_900 => driver.step("crash", &Op::Crash),
            1_200 => driver.step("merge", &Op::Merge),
            _ => {}
        }
    }
    assert!(
        driver.real.segments() >= 4,
        "only {} segments",
        driver.real.segments()
    );
    driver.real.verify();
    driver.step(
        "a rewind of 60",
        &Op::Rewind {
            back: 60,
            interleave: None,
        },
    );
    driver.compare_all("at the end", 5);
    driver.redeliver_everything();
    driver.compare_all("after everything came again", 6);
    driver.step("sealed", &Op::Seal);
    driver.compare_all("when all is sealed", 8);
    driver.step("merged", &Op::Compact);
    driver.compare_all("when all is in one segment", 9);
    driver.real.verify();
    driver.redeliver_everything();
    driver.compare_all("after everything came again to one segment", 10);
}

#[test]
fn lists_of_many_blocks_with_dead_and_hidden_rows_equal_the_model() {
    let universe = Universe::crowded();
    let mut driver = Driver::new(universe.clone(), Real::new(real::options(2_600, false)));
    let mut dice = Dice(0xb10c);
    for number in 0..6_000 {
        let op = chance(&universe, &mut dice);
        driver.step(&format!("event {number}"), &op);
        match number {
            2_700 | 4_100 => driver.step("held", &Op::Hold),
            3_300 => driver.compare_all("with what changed since in memory", 1),
            5_500 => driver.step("merge", &Op::Merge),
            _ => {}
        }
    }
    // Live ones alone: blocks have 128 rows, and masks are kept of lists of more than 64.
    let busiest = compare::question(&universe.targets[0], compare::source(&universe, 0));
    let live = driver.real.snapshot().count(&busiest);
    assert!(live > 300, "the longest list has {live} live rows");
    driver.compare_all("at the end", 2);
    // What was held is asked too.
    driver.step("restart", &Op::Restart);
    driver.compare_all("with masks from their files", 3);
    driver.step("in one segment", &Op::Compact);
    driver.compare_all("in one segment", 4);
}
