//! What can be linked to or deleted: the moving pool of posts, a ring of recent
//! reposts, the newest posts, and a bounded sample of live keys. All sizes are fixed, so memory does not
//! grow with the stream.

use crate::ident::{Actor, Names, Strong, tid_number};
use crate::population::{Population, TARGET_EXPONENT, coprime_stride};
use crate::rng::Rng;
use crate::zipf::Zipf;

/// Posts that can be linked to at any one time.
pub(crate) const POOL_POSTS: u64 = 600_000;

/// Records that existed before the stream are up to this old: 90 days.
const PAST_US: u64 = 90 * 86_400 * 1_000_000;

/// Records of the past keep this distance to the start of the stream, so that no
/// key made in the stream, whose TID may be a few seconds early, equals one of them.
const PAST_GAP_US: u64 = 60 * 1_000_000;

/// A TID of a record that existed before the stream.
pub(crate) fn past_tid(start_us: u64, rng: &mut Rng) -> u64 {
    let age_us = PAST_GAP_US + rng.below(PAST_US);
    tid_number(start_us.saturating_sub(age_us), rng.below(32))
}

/// The pool of posts. Place k of the order of popularity is a fixed slot; each new
/// post takes over the slot that was taken longest ago.
#[derive(Debug, Clone)]
pub(crate) struct Posts {
    slots: Vec<Strong>,
    next: u64,
    stride: u64,
    popularity: Zipf,
}

impl Posts {
    /// Fills the pool with posts of the past.
    pub(crate) fn new(population: &Population, start_us: u64, rng: &mut Rng) -> Self {
        let slots = (0..POOL_POSTS)
            .map(|_| Strong {
                actor: population.anyone(rng),
                tid: past_tid(start_us, rng),
                cid: rng.bits(),
            })
            .collect();
        Self {
            slots,
            next: 0,
            stride: coprime_stride(POOL_POSTS),
            popularity: Zipf::new(POOL_POSTS, TARGET_EXPONENT),
        }
    }

    /// A post, by popularity.
    pub(crate) fn sample(&self, rng: &mut Rng) -> Strong {
        self.popular(self.popularity.sample(rng))
    }

    /// The post at a place of the order of popularity, counted from 0.
    pub(crate) fn popular(&self, place: u64) -> Strong {
        let slot = (place + 1) * self.stride % POOL_POSTS;
        self.slots.get(slot as usize).copied().unwrap_or_default()
    }

    /// Lets a new post in; the oldest leaves.
    pub(crate) fn push(&mut self, post: Strong) {
        if let Some(slot) = self.slots.get_mut(self.next as usize) {
            *slot = post;
        }
        self.next = (self.next + 1) % POOL_POSTS;
    }
}

/// A repost and what it reposts: what `via` points at.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Repost {
    pub(crate) record: Strong,
    pub(crate) subject: Strong,
}

/// A fixed number of the newest items.
#[derive(Debug, Clone)]
pub(crate) struct Ring<T> {
    items: Vec<T>,
    next: usize,
}

impl<T: Copy + Default> Ring<T> {
    pub(crate) fn new(items: Vec<T>) -> Self {
        Self { items, next: 0 }
    }

    pub(crate) fn push(&mut self, item: T) {
        if let Some(slot) = self.items.get_mut(self.next) {
            *slot = item;
        }
        self.next = (self.next + 1) % self.items.len().max(1);
    }

    /// Any of the items, all alike.
    pub(crate) fn any(&self, rng: &mut Rng) -> T {
        rng.pick(&self.items)
    }
}

/// Fills the ring of reposts with reposts of the past.
pub(crate) fn past_reposts(
    posts: &Posts,
    population: &Population,
    start_us: u64,
    rng: &mut Rng,
) -> Ring<Repost> {
    let items = (0..16_384)
        .map(|_| Repost {
            record: Strong {
                actor: population.anyone(rng),
                tid: past_tid(start_us, rng),
                cid: rng.bits(),
            },
            subject: posts.sample(rng),
        })
        .collect();
    Ring::new(items)
}

/// A key that was created in the stream and not deleted since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LiveKey {
    pub(crate) actor: Actor,
    pub(crate) collection: &'static str,
    pub(crate) tid: u64,
}

/// A sample of at most [`LIVE_KEYS_MAX`] live keys. A full sample forgets keys at
/// random: those are simply never deleted.
#[derive(Debug, Clone, Default)]
pub(crate) struct LiveKeys {
    keys: Vec<LiveKey>,
}

/// The size of the sample.
const LIVE_KEYS_MAX: usize = 1 << 17;

impl LiveKeys {
    pub(crate) fn push(&mut self, key: LiveKey, rng: &mut Rng) {
        if self.keys.len() < LIVE_KEYS_MAX {
            self.keys.push(key);
        } else if let Some(slot) = self.keys.get_mut(rng.below(LIVE_KEYS_MAX as u64) as usize) {
            *slot = key;
        }
    }

    /// Takes a key out whose owner is active. Keys of accounts that were deleted
    /// for good are dropped on the way: their records went with them.
    pub(crate) fn take(&mut self, population: &Population, rng: &mut Rng) -> Option<LiveKey> {
        for _ in 0..64 {
            if self.keys.is_empty() {
                return None;
            }
            let key = self
                .keys
                .swap_remove(rng.below(self.keys.len() as u64) as usize);
            if population.is_active(key.actor) {
                return Some(key);
            }
        }
        None
    }

    /// A live key of `collection` with an active owner, if a few tries find one.
    pub(crate) fn find(
        &self,
        collection: &str,
        population: &Population,
        rng: &mut Rng,
    ) -> Option<LiveKey> {
        (0..64).find_map(|_| {
            let key = self
                .keys
                .get(rng.below(self.keys.len() as u64) as usize)
                .copied()?;
            (key.collection == collection && population.is_active(key.actor)).then_some(key)
        })
    }
}

/// The newest posts without a thread gate.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ungated {
    posts: Vec<Strong>,
}

impl Ungated {
    pub(crate) fn push(&mut self, post: Strong, rng: &mut Rng) {
        if self.posts.len() < 1024 {
            self.posts.push(post);
        } else if let Some(slot) = self.posts.get_mut(rng.below(1024) as usize) {
            *slot = post;
        }
    }

    /// Takes out a post of an active author; a post of the past where there is none.
    pub(crate) fn take(&mut self, population: &Population, start_us: u64, rng: &mut Rng) -> Strong {
        while !self.posts.is_empty() {
            let post = self
                .posts
                .swap_remove(rng.below(self.posts.len() as u64) as usize);
            if population.is_active(post.actor) {
                return post;
            }
        }
        Strong {
            actor: population.active(rng),
            tid: past_tid(start_us, rng),
            cid: rng.bits(),
        }
    }
}

/// The at-uri of a post.
pub(crate) fn post_uri(names: Names, post: Strong) -> String {
    let mut out = Vec::new();
    names.at_uri(post.actor, "app.bsky.feed.post", post.tid, &mut out);
    String::from_utf8(out).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_post_of_the_past_leaves_the_pool_after_as_many_new_ones() {
        let mut rng = Rng::new(1);
        let population = Population::new(1000);
        let mut posts = Posts::new(&population, 1_768_435_200_000_000, &mut rng);
        let fresh = Strong {
            actor: Actor {
                rank: 7,
                generation: 3,
            },
            tid: 42,
            cid: 43,
        };
        for _ in 0..POOL_POSTS - 1 {
            posts.push(fresh);
        }
        assert_eq!(
            (0..POOL_POSTS)
                .filter(|&place| posts.popular(place) != fresh)
                .count(),
            1
        );
        posts.push(fresh);
        assert!((0..POOL_POSTS).all(|place| posts.popular(place) == fresh));
    }

    #[test]
    fn live_keys_are_given_once_and_never_for_inactive_owners() {
        let mut rng = Rng::new(2);
        let mut population = Population::new(100);
        let mut live = LiveKeys::default();
        for tid in 0..500 {
            let actor = population.active(&mut rng);
            live.push(
                LiveKey {
                    actor,
                    collection: "app.bsky.feed.like",
                    tid,
                },
                &mut rng,
            );
        }
        for _ in 0..60 {
            population.change_status(&mut rng);
        }
        let mut seen = std::collections::HashSet::new();
        while let Some(key) = live.take(&population, &mut rng) {
            assert!(seen.insert(key.tid));
            assert!(population.is_active(key.actor));
        }
        assert!(seen.len() > 100);
    }
}
