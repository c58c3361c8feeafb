//! All state from which records are drawn, apart from the clock.

use crate::ident::{Actor, Names, Strong, tid_number};
use crate::options::Options;
use crate::pool::{LiveKeys, Posts, Repost, Ring, Ungated, past_reposts};
use crate::population::{Population, TARGET_EXPONENT};
use crate::rng::Rng;
use crate::text::{PAGES, Prose};
use crate::zipf::Zipf;

/// The accounts, the linkable things, and the random numbers.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) rng: Rng,
    pub(crate) names: Names,
    pub(crate) start_us: u64,
    pub(crate) population: Population,
    pub(crate) posts: Posts,
    pub(crate) reposts: Ring<Repost>,
    pub(crate) ungated: Ungated,
    pub(crate) live: LiveKeys,
    pub(crate) pages: Zipf,
    pub(crate) hot: Strong,
    pub(crate) hot_like_share: f64,
    pub(crate) prose: Prose,
}

impl World {
    pub(crate) fn new(options: &Options) -> Self {
        let mut rng = Rng::new(options.seed);
        let population = Population::new(options.actors);
        let posts = Posts::new(&population, options.start_us, &mut rng);
        let reposts = past_reposts(&posts, &population, options.start_us, &mut rng);
        // A post of the day before, outside the pool, so that all its likes are those of the share.
        let hot = Strong {
            actor: Actor {
                rank: options.actors / 2,
                generation: 0,
            },
            tid: tid_number(options.start_us.saturating_sub(86_400_000_000), 7),
            cid: rng.bits(),
        };
        Self {
            names: Names::new(options.seed),
            start_us: options.start_us,
            population,
            posts,
            reposts,
            ungated: Ungated::default(),
            live: LiveKeys::default(),
            pages: Zipf::new(PAGES, TARGET_EXPONENT),
            hot,
            hot_like_share: options.hot_like_share,
            prose: Prose::default(),
            rng,
        }
    }
}
