//! The accounts: who acts, who is inactive, and the last rev of each repo. An
//! account that is deleted for good leaves its popularity rank to a new one, so
//! the population keeps its shape however long the stream.

use crate::ident::Actor;
use crate::rng::Rng;
use crate::zipf::Zipf;

/// The exponent of the activity of accounts.
const ACTOR_EXPONENT: f64 = 0.75;

/// The exponent of the popularity of targets.
pub(crate) const TARGET_EXPONENT: f64 = 0.95;

/// Accounts that others follow, block, list and mention.
const ACCOUNT_TARGETS_MAX: u32 = 600_000;

#[derive(Debug, Clone, Copy, Default)]
struct State {
    last_rev_us: u64,
    generation: u32,
    inactive: bool,
    has_profile: bool,
}

/// A change of an account's status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StatusChange {
    pub(crate) actor: Actor,
    /// `None` is active.
    pub(crate) status: Option<&'static str>,
}

/// All accounts.
#[derive(Debug, Clone)]
pub(crate) struct Population {
    states: Vec<State>,
    /// Ranks that are inactive and may come back.
    inactive: Vec<u32>,
    activity: Zipf,
    popularity: Zipf,
    /// Odd and without a common divisor with the number of accounts: multiplying by
    /// it makes the popular accounts other ones than the busy accounts.
    stride: u64,
}

impl Population {
    pub(crate) fn new(actors: u32) -> Self {
        let targets = actors.min(ACCOUNT_TARGETS_MAX);
        Self {
            states: vec![State::default(); actors as usize],
            inactive: Vec::new(),
            activity: Zipf::new(u64::from(actors), ACTOR_EXPONENT),
            popularity: Zipf::new(u64::from(targets), TARGET_EXPONENT),
            stride: coprime_stride(u64::from(actors)),
        }
    }

    fn state(&self, rank: u32) -> State {
        self.states.get(rank as usize).copied().unwrap_or_default()
    }

    fn actor(&self, rank: u32) -> Actor {
        Actor {
            rank,
            generation: self.state(rank).generation,
        }
    }

    /// Whether this very account exists and is active.
    pub(crate) fn is_active(&self, actor: Actor) -> bool {
        let state = self.state(actor.rank);
        state.generation == actor.generation && !state.inactive
    }

    /// An active account, by activity. Fewer than half are ever inactive, so the
    /// walk to a neighbour after an inactive one ends.
    pub(crate) fn active(&self, rng: &mut Rng) -> Actor {
        let mut rank = self.activity.sample(rng) as u32;
        for _ in 0..self.states.len() {
            if !self.state(rank).inactive {
                break;
            }
            rank = (rank + 1) % self.states.len() as u32;
        }
        self.actor(rank)
    }

    /// An account to follow, block, list or mention, by popularity.
    pub(crate) fn target(&self, rng: &mut Rng) -> Actor {
        self.popular(self.popularity.sample(rng))
    }

    /// The account at a place of the order of popularity, counted from 0.
    pub(crate) fn popular(&self, place: u64) -> Actor {
        self.actor(((place + 1) * self.stride % self.states.len() as u64) as u32)
    }

    /// Any account that existed before the stream, all alike.
    pub(crate) fn anyone(&self, rng: &mut Rng) -> Actor {
        Actor {
            rank: rng.below(self.states.len() as u64) as u32,
            generation: 0,
        }
    }

    /// Opens a commit: gives the microseconds of the repo's last rev and of the new
    /// one. The new one is `wish_us` or, where that would not rise, 16 us after the
    /// last, which leaves room for the keys of its records between the two.
    pub(crate) fn open_commit(&mut self, actor: Actor, wish_us: u64) -> (u64, u64) {
        let Some(state) = self.states.get_mut(actor.rank as usize) else {
            return (0, wish_us);
        };
        let last_us = state.last_rev_us;
        state.last_rev_us = wish_us.max(last_us + 16);
        (last_us, state.last_rev_us)
    }

    /// Whether the account had a profile event before; from now on it had.
    pub(crate) fn note_profile(&mut self, actor: Actor) -> bool {
        let Some(state) = self.states.get_mut(actor.rank as usize) else {
            return false;
        };
        std::mem::replace(&mut state.has_profile, true)
    }

    /// Changes the status of some account: 45 in 100 come back; of the others a
    /// fifth are deleted for good. So four in five of those that go come back.
    pub(crate) fn change_status(&mut self, rng: &mut Rng) -> StatusChange {
        let crowded = self.inactive.len() * 2 >= self.states.len();
        if !self.inactive.is_empty() && (crowded || rng.percent(45)) {
            let at = rng.below(self.inactive.len() as u64) as usize;
            let rank = self.inactive.swap_remove(at);
            if let Some(state) = self.states.get_mut(rank as usize) {
                state.inactive = false;
            }
            return StatusChange {
                actor: self.actor(rank),
                status: None,
            };
        }
        let actor = self.active(rng);
        let status = match rng.below(100) {
            0..=54 => "deactivated",
            55..=72 => "takendown",
            73..=79 => "suspended",
            _ => "deleted",
        };
        if let Some(state) = self.states.get_mut(actor.rank as usize) {
            if status == "deleted" {
                // The repo of the successor starts anew: the last rev belongs to the DID.
                *state = State {
                    generation: actor.generation.wrapping_add(1),
                    ..State::default()
                };
            } else {
                state.inactive = true;
                self.inactive.push(actor.rank);
            }
        }
        StatusChange {
            actor,
            status: Some(status),
        }
    }
}

/// A multiplier near 0.618 n that has no common divisor with `n`, so that
/// multiplying by it modulo `n` permutes `0..n` and scatters neighbours.
pub(crate) fn coprime_stride(n: u64) -> u64 {
    fn gcd(a: u64, b: u64) -> u64 {
        if b == 0 { a } else { gcd(b, a % b) }
    }
    let mut stride = (n * 618 / 1000).max(1);
    while gcd(stride, n) != 1 {
        stride += 1;
    }
    stride
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn stride_permutes() {
        for n in [1, 2, 10, 100, 600_000, 999_983] {
            let stride = coprime_stride(n);
            let seen: HashSet<u64> = (0..n).map(|i| i * stride % n).collect();
            assert_eq!(seen.len() as u64, n);
        }
    }

    #[test]
    fn a_tiny_population_under_constant_status_change_keeps_active_accounts() {
        let mut population = Population::new(100);
        let mut rng = Rng::new(9);
        let mut inactive = HashSet::new();
        for _ in 0..50_000 {
            let change = population.change_status(&mut rng);
            match change.status {
                None => assert!(
                    inactive.remove(&change.actor),
                    "only inactive accounts come back"
                ),
                Some("deleted") => assert!(!inactive.contains(&change.actor)),
                Some(_) => assert!(inactive.insert(change.actor), "only active accounts go"),
            }
            let actor = population.active(&mut rng);
            assert!(!inactive.contains(&actor) && population.is_active(actor));
            assert!(inactive.len() <= 51);
        }
    }

    #[test]
    fn revs_of_a_repo_rise_even_when_events_crowd() {
        let mut population = Population::new(100);
        let actor = population.anyone(&mut Rng::new(1));
        let mut last = 0;
        for wish in [1000, 1000, 999, 5000, 5000, 4000] {
            let (before, rev) = population.open_commit(actor, wish);
            assert_eq!(before, last);
            assert!(rev >= before + 16 && rev >= wish);
            last = rev;
        }
    }
}
