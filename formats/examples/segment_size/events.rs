//! Made-up events that resemble those of the network: most are likes of recent posts, then reposts,
//! follows and replies; authors and targets are skewed; keys are TIDs of the authors' clocks.

use std::collections::{BTreeMap, HashMap};

use orrery_formats::segment::{
    ActorState, ActorsInput, DidRef, RecordKey, RowInput, SegmentInput, ShapeInput, TargetKey,
};

/// A linear congruential generator (Knuth's MMIX constants): the same events each time.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((u128::from(self.0) * u128::from(limit.max(1))) >> 64) as u64
    }

    /// Small numbers are likelier: the density falls as the inverse of the number.
    pub(crate) fn skewed(&mut self, limit: u64) -> u64 {
        // Twelve decimal digits, so that large limits are covered without holes.
        let power = self.below(1_000_000_000_000) as f64 / 1e12;
        ((limit as f64).powf(power) as u64)
            .saturating_sub(1)
            .min(limit.saturating_sub(1))
    }
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Target {
    Did(u32),
    Post(u32, u64),
    Page(u64),
}

pub(crate) const POST: &str = "app.bsky.feed.post";
const START_MS: u64 = 1_780_000_000_000;

fn tid(random: &mut Random, time_ms: u64) -> u64 {
    // Four of five clocks count milliseconds and draw the clock id below 32.
    if random.below(5) < 4 {
        (time_ms * 1000) << 10 | random.below(32)
    } else {
        (time_ms * 1000 + random.below(1000)) << 10 | random.below(1024)
    }
}

/// A stream of events, handed out in pieces that are segments.
pub(crate) struct Events {
    random: Random,
    people: u64,
    /// Ids by person, in the order in which they were first seen.
    ids: HashMap<u32, u32>,
    seq: u64,
    time_us: u64,
    posts: Vec<Target>,
    /// Seqs of all rows.
    seqs: Vec<u64>,
}

/// The events of one segment.
pub(crate) struct Piece {
    first_seq: u64,
    last_seq: u64,
    first_time_us: u64,
    last_time_us: u64,
    first_actor: u32,
    dids: Vec<String>,
    rows: Vec<(u64, u64, u32, u32)>,
    keys: Vec<String>,
    targets: Vec<(Target, String)>,
    link_targets: Vec<u32>,
    states: Vec<ActorState>,
    pub(crate) kills: Vec<u64>,
}

impl Events {
    pub(crate) fn new(rows: u64) -> Self {
        Self {
            random: Random(1),
            people: 20_000 + rows,
            ids: HashMap::new(),
            seq: 1_000,
            time_us: START_MS * 1000,
            posts: Vec::new(),
            seqs: Vec::new(),
        }
    }

    fn id(&mut self, person: u32, dids: &mut Vec<String>) -> u32 {
        let next = self.ids.len() as u32;
        *self.ids.entry(person).or_insert_with(|| {
            let spread =
                u128::from(person + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
            let mut bytes = [0; 15];
            for (to, from) in bytes.iter_mut().zip(spread.to_be_bytes()) {
                *to = from;
            }
            dids.push(match person % 1000 {
                0 => format!("did:web:{person}.example.com"),
                _ => DidRef::Plc(bytes).to_string(),
            });
            next
        })
    }

    pub(crate) fn next(&mut self, count: u64) -> Piece {
        let mut piece = Piece {
            first_seq: self.seq + 1,
            last_seq: 0,
            first_time_us: self.time_us,
            last_time_us: 0,
            first_actor: self.ids.len() as u32,
            dids: Vec::new(),
            rows: Vec::new(),
            keys: Vec::new(),
            targets: Vec::new(),
            link_targets: Vec::new(),
            states: Vec::new(),
            kills: Vec::new(),
        };
        let mut index: HashMap<Target, u32> = HashMap::new();
        let mut states: BTreeMap<u32, ActorState> = BTreeMap::new();
        for _ in 0..count {
            self.seq += 1 + u64::from(self.random.below(8) == 0);
            self.time_us += self.random.below(5_100);
            let time_ms = self.time_us / 1000;
            // One in a hundred has a clock that is wrong, or comes late.
            let late = self.random.below(100) == 0;
            let latency_ms = 300 + self.random.skewed(if late { 10_000_000 } else { 4_000 });
            let rev = tid(&mut self.random, time_ms - latency_ms);
            piece.keys.push(RecordKey::Tid(rev).to_string());
            if self.posts.is_empty() || self.random.below(4) == 0 {
                let age_ms = self.random.skewed(40_000_000_000);
                let rkey = tid(&mut self.random, time_ms - age_ms);
                let person = self.random.below(self.people) as u32;
                let author = self.id(person, &mut piece.dids);
                self.posts.push(Target::Post(author, rkey));
            }
            let newest = self.posts.len() as u64 - 1;
            let random = &mut self.random;
            let posts = &self.posts;
            let mut post = || {
                let at = newest - random.skewed(newest + 1);
                posts.get(at as usize).cloned().unwrap_or(Target::Did(0))
            };
            let (a, b) = (post(), post());
            let (shape, links) = match self.random.below(100) {
                0..62 => (0, vec![a]),
                62..74 => (1, vec![a]),
                74..87 => {
                    let person = self.random.skewed(self.people) as u32;
                    (2, vec![Target::Did(self.id(person, &mut piece.dids))])
                }
                87..96 => (3, vec![a, b]),
                96..98 => (4, vec![a]),
                _ => (5, vec![Target::Page(self.random.below(1 << 20))]),
            };
            for link in links {
                let next = piece.targets.len() as u32;
                let target = *index.entry(link.clone()).or_insert_with(|| {
                    let text = match link {
                        Target::Did(_) => String::new(),
                        Target::Post(_, rkey) => RecordKey::Tid(rkey).to_string(),
                        Target::Page(page) => format!("https://example.com/articles/{page:x}"),
                    };
                    piece.targets.push((link, text));
                    next
                });
                piece.link_targets.push(target);
            }
            let person = self.random.skewed(self.people) as u32;
            let actor = self.id(person, &mut piece.dids);
            let state = states.entry(actor).or_insert(ActorState {
                id: actor,
                ..ActorState::default()
            });
            state.last_rev = state.last_rev.max(rev);
            if self.random.below(1000) == 0 {
                state.account_seq = self.seq;
            }
            if self.random.below(20) == 0 && !self.seqs.is_empty() {
                let at = self.random.below(self.seqs.len() as u64);
                piece.kills.extend(self.seqs.get(at as usize));
            }
            self.seqs.push(self.seq);
            piece.rows.push((self.seq, self.time_us, actor, shape));
        }
        piece.last_seq = self.seq;
        piece.last_time_us = self.time_us;
        piece.states = states.into_values().collect();
        piece
    }
}

impl Piece {
    pub(crate) fn input(&self) -> SegmentInput<'_> {
        let shape = |collection, runs: &[(&'static str, u32)]| ShapeInput {
            collection,
            runs: runs.to_vec(),
        };
        SegmentInput {
            first_seq: self.first_seq,
            last_seq: self.last_seq,
            first_time_us: self.first_time_us,
            last_time_us: self.last_time_us,
            did_seed: 1,
            rows: self
                .rows
                .iter()
                .zip(&self.keys)
                .map(|(&(seq, time_us, actor, shape), rkey)| RowInput {
                    seq,
                    time_us,
                    actor,
                    shape,
                    rkey,
                })
                .collect(),
            shapes: vec![
                shape("app.bsky.feed.like", &[(".subject.uri", 1)]),
                shape("app.bsky.feed.repost", &[(".subject.uri", 1)]),
                shape("app.bsky.graph.follow", &[(".subject", 1)]),
                shape(POST, &[(".reply.parent.uri", 1), (".reply.root.uri", 1)]),
                shape(POST, &[(".embed.record.uri", 1)]),
                shape(POST, &[(".embed.external.uri", 1)]),
            ],
            targets: self
                .targets
                .iter()
                .map(|(target, text)| match target {
                    Target::Did(actor) => TargetKey::Did(*actor),
                    Target::Post(actor, _) => TargetKey::Record {
                        actor: *actor,
                        collection: POST,
                        rkey: text,
                    },
                    Target::Page(_) => TargetKey::Other(text),
                })
                .collect(),
            link_targets: self.link_targets.clone(),
            actors: ActorsInput {
                first_id: self.first_actor,
                dids: self.dids.iter().map(String::as_str).collect(),
                states: self.states.clone(),
            },
            kills: self.kills.clone(),
            passed: Vec::new(),
            samples: Vec::new(),
            buckets: Vec::new(),
        }
    }
}
