//! Sequences of operations as proptest makes and shrinks them. Operations name things by small numbers; the
//! driver turns them into events when it meets them, so that any sequence is meaningful, however it was cut.

use std::ops::Range;

use proptest::bool::weighted;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::universe::Universe;

/// What a written record holds, by the numbers of targets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recipe {
    pub subject: Option<usize>,
    pub via: Option<usize>,
    pub items: Vec<usize>,
    pub facets: Vec<usize>,
}

/// What is done to a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    Create(Recipe),
    Update(Recipe),
    Delete,
}

/// What is said about an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Active,
    /// Active, with a word that must not matter.
    ActiveWithStatus,
    Deactivated,
    TakenDown,
    Suspended,
    /// A status that the protocol does not know.
    Unheard,
    /// Inactive without a status.
    Inactive,
    Deleted,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// One commit: one or several records that share a rev.
    Commit {
        did: usize,
        writes: Vec<(usize, Action)>,
    },
    /// A commit whose rev is below the account's newest one, as another source may deliver it.
    LateCommit {
        did: usize,
        key: usize,
        action: Action,
    },
    Account {
        did: usize,
        standing: Standing,
    },
    /// An account event with a seq that was overtaken.
    StaleAccount {
        did: usize,
        standing: Standing,
        behind: u64,
    },
    Identity {
        did: usize,
    },
    /// The operator excludes an account or a target, or no longer.
    Exclusion {
        of: Excludable,
        excluded: bool,
    },
    /// The last event once more.
    Repeat,
    /// The last `back` events once more, in order; after every `interleave`-th of them a new write.
    Rewind {
        back: usize,
        interleave: Option<usize>,
    },
    /// Everything once more.
    RewindAll,
    Commitment,
    Seal,
    /// Merges segments; a later seal installs what comes out, and changes until then must reach it.
    Merge,
    /// Merges all segments into one.
    Compact,
    Restart,
    /// Stops without making anything durable, starts again, and has the rest delivered again.
    Crash,
    /// Compares everything.
    Check {
        seed: u64,
    },
    /// Keeps a view, to compare it later with what it was made from.
    Hold,
    /// Walks a list page by page while the world changes between pages.
    Walk {
        kind: WalkKind,
        target: usize,
        source: usize,
        other: usize,
        reverse: bool,
        limit: u32,
        between: Vec<Vec<Op>>,
    },
}

/// What the operator excludes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Excludable {
    Account(usize),
    Target(usize),
}

/// Which list is walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WalkKind {
    Records,
    RecordsOfDids,
    Dids,
    Many,
    ManyCounts,
}

fn recipe(targets: usize) -> impl Strategy<Value = Recipe> {
    let some = 0..targets;
    let full = (
        option::weighted(0.7, some.clone()),
        option::weighted(0.3, some.clone()),
        vec(some.clone(), 0..4),
        vec(some.clone(), 0..3),
    )
        .prop_map(|(subject, via, items, facets)| Recipe {
            subject,
            via,
            items,
            facets,
        });
    // Few different records, so that equal sets of links are met again.
    let plain = (0..targets.min(3)).prop_map(|target| Recipe {
        subject: Some(target),
        ..Recipe::default()
    });
    let shuffled = any::<bool>().prop_map(|turned| Recipe {
        subject: Some(0),
        items: if turned { vec![1, 2, 1] } else { vec![2, 1] },
        ..Recipe::default()
    });
    prop_oneof![4 => full, 3 => plain, 2 => shuffled, 1 => Just(Recipe::default())]
}

fn action(targets: usize) -> impl Strategy<Value = Action> {
    prop_oneof![
        5 => recipe(targets).prop_map(Action::Create),
        3 => recipe(targets).prop_map(Action::Update),
        3 => Just(Action::Delete),
    ]
}

fn standing() -> impl Strategy<Value = Standing> {
    prop_oneof![
        6 => Just(Standing::Active),
        1 => Just(Standing::ActiveWithStatus),
        2 => Just(Standing::Deactivated),
        1 => Just(Standing::TakenDown),
        1 => Just(Standing::Suspended),
        1 => Just(Standing::Unheard),
        1 => Just(Standing::Inactive),
        2 => Just(Standing::Deleted),
    ]
}

/// An operation that only delivers events.
fn change(universe: &Universe) -> BoxedStrategy<Op> {
    let dids = universe.dids.len();
    let keys = universe.keys().len();
    let targets = universe.targets.len();
    prop_oneof![
        12 => (0..dids, 0..keys, action(targets)).prop_map(|(did, key, action)| Op::Commit { did, writes: vec![(key, action)] }),
        2 => (0..dids, vec((0..keys, action(targets)), 2..5)).prop_map(|(did, writes)| Op::Commit { did, writes }),
        1 => (0..dids, 0..keys, action(targets)).prop_map(|(did, key, action)| Op::LateCommit { did, key, action }),
        2 => (0..dids, standing()).prop_map(|(did, standing)| Op::Account { did, standing }),
        1 => (0..dids, standing(), 0..4_u64).prop_map(|(did, standing, behind)| Op::StaleAccount { did, standing, behind }),
        1 => (0..dids).prop_map(|did| Op::Identity { did }),
        1 => (0..dids, any::<bool>()).prop_map(|(did, excluded)| Op::Exclusion { of: Excludable::Account(did), excluded }),
        1 => (0..targets, weighted(0.3)).prop_map(|(target, excluded)| Op::Exclusion { of: Excludable::Target(target), excluded }),
        2 => Just(Op::Repeat),
    ]
    .boxed()
}

fn walk(universe: &Universe) -> impl Strategy<Value = Op> + use<> {
    let kind = prop_oneof![
        3 => Just(WalkKind::Records),
        2 => Just(WalkKind::RecordsOfDids),
        2 => Just(WalkKind::Dids),
        2 => Just(WalkKind::Many),
        2 => Just(WalkKind::ManyCounts),
    ];
    let step = prop_oneof![8 => change(universe), 2 => Just(Op::Seal), 2 => Just(Op::Merge), 1 => Just(Op::Compact), 1 => Just(Op::Restart), 1 => Just(Op::RewindAll)];
    let between = vec(vec(step, 0..3), 0..6);
    (
        kind,
        0..universe.targets.len(),
        0..16_usize,
        0..4_usize,
        any::<bool>(),
        1..4_u32,
        between,
    )
        .prop_map(
            |(kind, target, source, other, reverse, limit, between)| Op::Walk {
                kind,
                target,
                source,
                other,
                reverse,
                limit,
                between,
            },
        )
}

/// Sequences of `length` operations over `universe`.
pub fn sequences(
    universe: &Universe,
    length: Range<usize>,
) -> impl Strategy<Value = Vec<Op>> + use<> {
    let op = prop_oneof![
        40 => change(universe),
        2 => (1..20_usize, option::of(1..4_usize)).prop_map(|(back, interleave)| Op::Rewind { back, interleave }),
        1 => Just(Op::RewindAll),
        2 => Just(Op::Commitment),
        3 => Just(Op::Seal),
        2 => Just(Op::Merge),
        1 => Just(Op::Compact),
        1 => Just(Op::Restart),
        1 => Just(Op::Crash),
        3 => any::<u64>().prop_map(|seed| Op::Check { seed }),
        1 => Just(Op::Hold),
        2 => walk(universe),
    ];
    vec(op, length)
}
