//! Asks two views the same questions and demands the same answers.

use super::universe::{PATHS, START_US, Universe};
use super::view::{Other, Question, View};

/// Small pseudo-random numbers (SplitMix64, Steele, Lea and Flood 2014), so that a seed in a failing case
/// asks the same questions again.
#[derive(Debug, Clone)]
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % below as u64) as usize
    }

    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.roll(of.len())]
    }
}

/// A source, by number: every collection with every path.
pub fn source(universe: &Universe, number: usize) -> (String, String) {
    let collection = &universe.collections[number / PATHS.len() % universe.collections.len()].0;
    (collection.clone(), PATHS[number % PATHS.len()].to_owned())
}

/// An unfiltered question.
pub fn question(target: &str, (collection, path): (String, String)) -> Question {
    Question {
        target: target.to_owned(),
        collection,
        path,
        dids: None,
        since_us: None,
        until_us: None,
    }
}

/// Adds filters by chance.
fn narrowed(
    mut question: Question,
    universe: &Universe,
    through_us: u64,
    dice: &mut Dice,
) -> Question {
    if dice.roll(2) == 0 {
        let mut dids: Vec<String> = (0..dice.roll(4))
            .map(|_| dice.pick(&universe.dids).clone())
            .collect();
        if dice.roll(3) == 0 {
            dids.push("did:plc:unknown".to_owned());
        }
        question.dids = Some(dids);
    }
    // Odd milliseconds, where events have even ones.
    let steps = ((through_us - START_US) / 2_000) as usize + 2;
    let moment = |dice: &mut Dice| START_US + dice.roll(steps) as u64 * 2_000 + 1_000;
    if dice.roll(3) == 0 {
        question.since_us = Some(moment(dice));
    }
    if dice.roll(3) == 0 {
        question.until_us = Some(moment(dice));
    }
    question
}

macro_rules! same {
    ($context:expr, $actual:expr, $model:expr, $method:ident ( $($argument:expr),* )) => {{
        let expected = $model.$method($($argument),*);
        let found = $actual.$method($($argument),*);
        assert!(
            found == expected,
            "{}: {} {:#?}\n   found {found:?}\nexpected {expected:?}",
            $context,
            stringify!($method),
            ($($argument,)*),
        );
    }};
}

/// Everything about one question.
pub fn answers(
    context: &str,
    actual: &dyn View,
    model: &dyn View,
    question: &Question,
    universe: &Universe,
    dice: &mut Dice,
) {
    same!(context, actual, model, count(question));
    same!(context, actual, model, count_distinct(question));
    let limit = [1, 2, 3, 7, 1_000][dice.roll(5)];
    let reverse = dice.roll(2) == 0;
    same!(context, actual, model, records(question, reverse, limit));
    same!(context, actual, model, records(question, !reverse, 1_000));
    same!(
        context,
        actual,
        model,
        distinct_dids(question, reverse, limit)
    );
    let subjects = (dice.roll(3) == 0).then(|| {
        (0..dice.roll(4))
            .map(|_| (*dice.pick(&universe.questions())).to_owned())
            .collect()
    });
    let other = Other {
        path: dice.pick(&PATHS).to_string(),
        subjects,
    };
    same!(
        context,
        actual,
        model,
        many(question, &other, reverse, limit)
    );
    same!(
        context,
        actual,
        model,
        many_counts(question, &other, reverse, limit)
    );
}

/// One target: all its sources, and one of them in depth with chance filters.
pub fn target(
    context: &str,
    actual: &dyn View,
    model: &dyn View,
    target: &str,
    through_us: u64,
    universe: &Universe,
    dice: &mut Dice,
) {
    same!(context, actual, model, all(target));
    same!(context, actual, model, all_counts(target));
    // A source that has links, where there is one.
    let sources = model.all(target);
    let at = if sources.is_empty() || dice.roll(8) == 0 {
        source(universe, dice.roll(64))
    } else {
        let (collection, path, ..) = dice.pick(&sources).clone();
        (collection, path)
    };
    let plain = question(target, at);
    answers(context, actual, model, &plain, universe, dice);
    answers(
        context,
        actual,
        model,
        &narrowed(plain, universe, through_us, dice),
        universe,
        dice,
    );
}

/// A few targets and the totals: for use after every event.
pub fn glance(
    context: &str,
    actual: &dyn View,
    model: &dyn View,
    through_us: u64,
    universe: &Universe,
    dice: &mut Dice,
) {
    same!(context, actual, model, totals());
    for _ in 0..2 {
        target(
            context,
            actual,
            model,
            dice.pick(&universe.targets).as_str(),
            through_us,
            universe,
            dice,
        );
    }
}

/// Every target that can be asked for.
pub fn everything(
    context: &str,
    actual: &dyn View,
    model: &dyn View,
    through_us: u64,
    universe: &Universe,
    dice: &mut Dice,
) {
    same!(context, actual, model, totals());
    lists(context, actual, model, through_us, universe, dice);
}

/// Every target that can be asked for (some 40 of a large universe), without the totals of the whole.
pub fn lists(
    context: &str,
    actual: &dyn View,
    model: &dyn View,
    through_us: u64,
    universe: &Universe,
    dice: &mut Dice,
) {
    // Of a large universe a sample, busy and quiet ones alike: the model reads every row for every answer.
    let every = universe.questions().len().div_ceil(40);
    let first = dice.roll(every);
    for asked in universe.questions().into_iter().skip(first).step_by(every) {
        target(context, actual, model, asked, through_us, universe, dice);
    }
}

/// Every source of every target, unfiltered, in full: no chance left.
pub fn exhaustively(context: &str, actual: &dyn View, model: &dyn View, universe: &Universe) {
    same!(context, actual, model, totals());
    for asked in universe.questions() {
        same!(context, actual, model, all(asked));
        for number in 0..universe.collections.len() * PATHS.len() {
            let question = question(asked, source(universe, number));
            same!(context, actual, model, count(&question));
            same!(context, actual, model, records(&question, false, 1_000));
            same!(
                context,
                actual,
                model,
                distinct_dids(&question, true, 1_000)
            );
        }
    }
}
