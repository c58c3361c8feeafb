//! Scripts of events and of all that is done to a store beside them, and playing one until it ends or fails.

use std::path::Path;

use crate::io::fault::{SimFs, SplitMix};
use crate::mask::policy::Bounds;
use crate::offline::backup_with_fs;
use crate::power_cut_tests::{self, Step, answers, apply, below, model};
use crate::{Error, Options, Store, Writer};

pub(super) const DATA: &str = "data";
pub(super) const BACKUP: &str = "backup";

/// One thing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    /// Apply the next step.
    Step,
    Commit,
    Seal,
    /// Merge what is due; the next seal or tick installs it.
    Merge,
    Tick,
    CompactFull,
    Backup,
    /// End the process, cleanly or not, and open again.
    Close,
    Drop,
}

/// What a run is made of.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) steps: Vec<Step>,
    actions: Vec<Action>,
    /// Whether the log's window is kept as small as can be.
    trims: bool,
}

impl Script {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = SplitMix::new(seed);
        let steps = power_cut_tests::script(&mut random);
        let mut actions = Vec::new();
        for place in 1..=steps.len() {
            actions.push(Action::Step);
            match below(&mut random, 12) {
                0..2 => actions.push(Action::Commit),
                2..5 => actions.push(Action::Seal),
                5 => actions.extend([Action::Seal, Action::Merge, Action::Tick]),
                6 => actions.extend([Action::Merge, Action::Step, Action::Seal]),
                _ => {}
            }
            match place {
                20 | 50 => actions.push(Action::Backup),
                30 => actions.push(Action::Drop),
                40 | 60 => actions.push(Action::CompactFull),
                62 => actions.extend([Action::Backup, Action::Close]),
                _ => {}
            }
        }
        actions.push(Action::Commit);
        Self {
            steps,
            actions,
            trims: seed % 2 == 1,
        }
    }

    /// Opens the directory for a sweep.
    pub(super) fn open(&self, fs: &SimFs) -> crate::Result<Store> {
        self.open_at(fs, DATA)
    }

    /// Merges are made by hand, and files of masks written for nearly every change.
    pub(super) fn open_at(&self, fs: &SimFs, dir: &str) -> crate::Result<Store> {
        let mut options = Options {
            compact: false,
            compact_share: 1.0,
            compact_fan_in: 3,
            commit_bytes: 4 << 10,
            disk_reserve: 0,
            mask_bounds: Bounds {
                changes_min: 2,
                rows_per_change: 1,
                changes_sum: 5,
                behind_max: 30,
                ..Bounds::RUNNING
            },
            ..Options::default()
        };
        if self.trims {
            options.log_bytes_max = 0;
        }
        Store::open_with_fs(fs.shared(), Path::new(dir), options)
    }

    fn len(&self) -> u64 {
        self.steps.len() as u64
    }

    /// What the answers must be after so many steps.
    pub(super) fn model(&self, len: u64) -> power_cut_tests::Answers {
        model(&self.steps, len)
    }

    pub(super) fn whole(&self) -> power_cut_tests::Answers {
        self.model(self.len())
    }
}

/// How often things were done to the end.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Tally {
    seals: u64,
    merges: u64,
    compactions: u64,
    backups: u64,
    mask_bytes: u64,
}

impl Tally {
    /// Whether all that a sweep is about happened, more than once.
    pub(super) fn is_rich(&self) -> bool {
        let counts = [self.seals, self.merges, self.compactions, self.backups];
        counts.iter().all(|count| *count > 1) && self.mask_bytes > 0
    }
}

/// What became of a run.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Steps that are durable for certain.
    pub(super) acknowledged: u64,
    /// Steps that are in a backup for certain.
    pub(super) backed_up: u64,
    /// Whether the writer stopped for good.
    pub(super) is_stopped: bool,
    pub(super) tally: Tally,
}

/// The step behind which the store would go on.
pub(super) fn durable(store: &Store) -> u64 {
    let cursor = store.status().durable_cursor;
    cursor.map_or(0, |cursor| cursor.value)
}

/// Plays the script from behind the durable cursor until it ends or the writer stops. Where the disk is told to be
/// full, room is made and the same thing done again.
pub(super) fn play(fs: &SimFs, script: &Script) -> Outcome {
    let mut outcome = Outcome::default();
    // Beyond it, an action was not tried yet; before it, only steps are done again.
    let mut tried = 0;
    while let Ok(store) = script.open(fs) {
        let start = durable(&store);
        outcome.acknowledged = outcome.acknowledged.max(start);
        let ends = run(fs, script, &store, start, &mut tried, &mut outcome);
        if outcome.is_stopped || ends {
            return outcome;
        }
    }
    outcome.is_stopped = true;
    outcome
}

/// Plays the script from behind the durable cursor up to a step, without faults; then the process ends.
pub(super) fn play_until(fs: &SimFs, script: &Script, until: u64) {
    let store = script.open(fs).unwrap();
    let start = durable(&store);
    let mut writer = store.writer().unwrap();
    let mut place = 0;
    for action in &script.actions {
        place += u64::from(*action == Action::Step);
        if place > until {
            break;
        }
        // Backups are made by whoever calls.
        if place > start && place <= script.len() && *action != Action::Backup {
            act(
                fs,
                script,
                &mut writer,
                *action,
                place,
                &mut Outcome::default(),
            )
            .unwrap();
        }
    }
    writer.commit().unwrap();
}

/// Gives whether the script is at its end; otherwise the store is to be opened again.
fn run(
    fs: &SimFs,
    script: &Script,
    store: &Store,
    start: u64,
    tried: &mut usize,
    outcome: &mut Outcome,
) -> bool {
    let mut writer = store.writer().unwrap();
    let mut place = 0;
    for (at, action) in script.actions.iter().enumerate() {
        if *action == Action::Step {
            place += 1;
            if place <= start || place > script.len() {
                continue;
            }
        } else if at < *tried {
            continue;
        }
        *tried = (*tried).max(at + 1);
        if matches!(action, Action::Close | Action::Drop) {
            if *action == Action::Close {
                // What fails here fails at the next start too, or costs nothing.
                drop(writer.close());
            }
            return false;
        }
        let mut applied = place;
        let mut result = act(fs, script, &mut writer, *action, place, outcome);
        if matches!(result, Err(Error::DiskFull { .. })) {
            assert_eq!(store.status().poisoned, None);
            fs.set_capacity(None);
            result = act(fs, script, &mut writer, *action, place, outcome);
        }
        if result.is_err() && *action == Action::Step {
            applied -= 1;
        }
        outcome.acknowledged = outcome.acknowledged.max(durable(store));
        outcome.tally.mask_bytes += store.status().masks_written_bytes;
        if store.status().poisoned.is_some() {
            outcome.is_stopped = true;
            assert_eq!(answers(store), script.model(applied), "queries go on");
            return true;
        }
        // A merge or a backup that failed costs nothing else.
        let costs = !matches!(
            action,
            Action::Merge | Action::CompactFull | Action::Backup | Action::Tick
        );
        assert!(!costs || result.is_ok(), "{action:?}: {result:?}");
    }
    assert_eq!(answers(store), script.whole(), "at the end");
    true
}

fn act(
    fs: &SimFs,
    script: &Script,
    writer: &mut Writer,
    action: Action,
    place: u64,
    outcome: &mut Outcome,
) -> crate::Result<()> {
    let tally = &mut outcome.tally;
    match action {
        Action::Step => {
            let step = script.steps.get(place as usize - 1);
            apply(writer, place, *step.unwrap())?;
        }
        Action::Commit => writer.commit()?,
        Action::Seal => {
            writer.seal()?;
            tally.seals += 1;
        }
        Action::Merge => tally.merges += u64::from(writer.merge_due()?),
        Action::Tick => writer.tick()?,
        Action::CompactFull => {
            writer.compact_full(&mut |_, _| {})?;
            tally.compactions += 1;
        }
        Action::Backup => {
            let report = backup_with_fs(&fs.shared(), Path::new(DATA), Path::new(BACKUP), false)?;
            tally.backups += 1;
            outcome.backed_up = report.cursor.map_or(0, |cursor| cursor.value);
        }
        Action::Close | Action::Drop => {}
    }
    Ok(())
}
