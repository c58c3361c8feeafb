//! The event stream: chooses what happens next and to whom, keeps time, groups
//! records into commits, and writes each event as one line of Jetstream v1 JSON.

use std::collections::VecDeque;

use crate::error::Error;
use crate::ident::{Actor, Strong, cid, datetime, number, tid, tid_number};
use crate::options::{EventClass, Options, Shares};
use crate::pool::{LiveKey, past_tid, post_uri};
use crate::records::{Draft, quoted_tid};
use crate::text::page;
use crate::world::World;

/// The share of events that stand in commits of several records.
const GROUPED_SHARE: f64 = 0.04;

/// Mean size of such a commit: of 2, 3 or 4 records for 60, 25 and 15 in 100.
const GROUP_MEAN: f64 = 2.55;

/// A commit reaches the stream up to this long after its rev was made.
const COMMIT_LAG_US: u64 = 2_000_000;

/// A key is made by the client up to this long before the rev.
const KEY_LAG_US: u64 = 400_000;

/// Records of one repo that an import brings together: 1 to twice this less one.
const REPO_MEAN: u64 = 40;

/// The first of them is up to this old at the start, and at least a quarter of it: four years.
const REPO_AGE_US: u64 = 4 * 365 * 86_400 * 1_000_000;

/// The relay sequence number of identity and account events starts here.
const RELAY_SEQ_START: u64 = 30_000_000_000;

/// What is known of an event besides its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventMeta {
    /// Counted from 0.
    pub index: u64,
    /// The event's `time_us`.
    pub time_us: u64,
    /// What kind of event it is.
    pub class: EventClass,
}

/// Targets that many records link to, for demonstrations.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PopularTargets {
    /// At-uris of the posts now at the head of the pool.
    pub posts: Vec<String>,
    /// DIDs that are followed most.
    pub accounts: Vec<String>,
    /// Web addresses that are linked to most.
    pub pages: Vec<String>,
}

/// An open commit of several records.
#[derive(Debug, Clone, Copy)]
struct Group {
    actor: Actor,
    rev: u64,
    /// Microseconds of the next record's key.
    key_us: u64,
    left: u32,
}

/// A repo that is being imported.
#[derive(Debug, Clone, Copy)]
struct Repo {
    actor: Actor,
    /// Microseconds of the last key.
    key_us: u64,
    /// Mean distance of keys.
    step_us: u64,
    left: u64,
}

/// The repository position that an event of a commit is written at.
#[derive(Debug, Clone, Copy)]
struct Slot {
    actor: Actor,
    rev: u64,
    key_us: u64,
}

/// A seeded synthetic event stream. See the crate documentation for its shape.
///
/// ```
/// use orrery_synth::{Generator, Options};
///
/// let mut generator = Generator::new(Options::finite(1, 1000))?;
/// let mut line = Vec::new();
/// let mut bytes = 0;
/// while let Some(meta) = generator.next_into(&mut line) {
///     assert!(meta.time_us >= 1_768_435_200_000_000);
///     bytes += line.len();
/// }
/// assert!(bytes > 400_000);
/// # Ok::<(), orrery_synth::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Generator {
    options: Options,
    world: World,
    shares: Shares,
    group_start: f64,
    group: Option<Group>,
    repo: Option<Repo>,
    /// Kinds that were drawn while a commit was open and could not be part of it.
    deferred: VecDeque<EventClass>,
    index: u64,
    elapsed_ns: u64,
    step_ns: u64,
}

impl Generator {
    /// Sets the world up: about 10 ms, and 35 MB of memory with the default options.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] names an option that is out of range.
    pub fn new(options: Options) -> Result<Self, Error> {
        let step_ns = options.checked_step_ns()?;
        let shares = Shares::new(&options);
        // With g the chance that an event outside a group opens one, grouped events
        // are g m of each g m + (1 - g).
        let opens = GROUPED_SHARE / (GROUP_MEAN - GROUPED_SHARE * (GROUP_MEAN - 1.0));
        Ok(Self {
            world: World::new(&options),
            group_start: opens / shares.groupable(),
            shares,
            group: None,
            repo: None,
            deferred: VecDeque::new(),
            index: 0,
            elapsed_ns: 0,
            step_ns,
            options,
        })
    }

    /// The options it was made with.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The at-uri of the post that gets [`Options::hot_like_share`] of the likes.
    pub fn hot_target(&self) -> String {
        post_uri(self.world.names, self.world.hot)
    }

    /// Up to `count` of the most popular targets of each kind, at this point of the stream.
    pub fn popular_targets(&self, count: usize) -> PopularTargets {
        let places = 0..count.min(1000) as u64;
        let text = |write: &dyn Fn(&mut Vec<u8>)| {
            let mut out = Vec::new();
            write(&mut out);
            String::from_utf8(out).unwrap_or_default()
        };
        PopularTargets {
            posts: places
                .clone()
                .map(|at| post_uri(self.world.names, self.world.posts.popular(at)))
                .collect(),
            accounts: places
                .clone()
                .map(|at| text(&|out| self.world.names.did(self.world.population.popular(at), out)))
                .collect(),
            pages: places.map(|at| text(&|out| page(at, out))).collect(),
        }
    }

    /// Replaces `line` by the next event, one JSON object without a line end, or
    /// gives `None` at the end of the stream and leaves `line` empty. Constant
    /// time; allocates nothing once `line` has grown.
    pub fn next_into(&mut self, line: &mut Vec<u8>) -> Option<EventMeta> {
        line.clear();
        if self
            .options
            .events
            .is_some_and(|events| self.index >= events)
        {
            return None;
        }
        // Uniform steps of 0 to twice the mean; never past the span's end on average.
        self.elapsed_ns += self.world.rng.below(self.step_ns * 2 + 1);
        let time_us = self.options.start_us + self.elapsed_ns / 1000;
        let class = self.next_class();
        match class {
            EventClass::Account => self.account(time_us, line),
            EventClass::Identity => self.identity(time_us, line),
            EventClass::Delete => self.delete(time_us, line),
            _ => self.write(class, time_us, line),
        }
        let meta = EventMeta {
            index: self.index,
            time_us,
            class,
        };
        self.index += 1;
        Some(meta)
    }

    /// Draws the kind of the next event. While a commit is open only kinds that can
    /// be part of it pass; others wait, so that shares stay exact.
    fn next_class(&mut self) -> EventClass {
        if self.group.is_none()
            && let Some(class) = self.deferred.pop_front()
        {
            return class;
        }
        loop {
            let class = self.shares.at(self.world.rng.unit());
            if self.group.is_none() || class.is_groupable() {
                return class;
            }
            self.deferred.push_back(class);
        }
    }

    /// Opens a commit of `actor` alone.
    fn commit(&mut self, actor: Actor, time_us: u64) -> Slot {
        let lag_us = 50_000 + self.world.rng.below(COMMIT_LAG_US);
        let (last_us, rev_us) = self
            .world
            .population
            .open_commit(actor, time_us.saturating_sub(lag_us));
        // Keys lie after the repo's last rev, which no earlier key reached, and leave
        // room for the other records of the commit before the rev.
        let key_lag_us = 16 + self.world.rng.below(KEY_LAG_US);
        let key_us = rev_us.saturating_sub(key_lag_us).max(last_us + 1);
        Slot {
            actor,
            rev: tid_number(rev_us, self.world.names.clock_id(actor)),
            key_us,
        }
    }

    /// The place of a new record: in the open commit, or in one of its own, or in
    /// one that it opens for more to follow.
    fn slot(&mut self, class: EventClass, time_us: u64) -> Slot {
        if self.options.backfill {
            return self.imported(time_us);
        }
        if let Some(group) = &mut self.group {
            let slot = Slot {
                actor: group.actor,
                rev: group.rev,
                key_us: group.key_us,
            };
            group.key_us += 1;
            group.left -= 1;
            if group.left == 0 {
                self.group = None;
            }
            return slot;
        }
        let actor = self.world.population.active(&mut self.world.rng);
        let slot = self.commit(actor, time_us);
        if class.is_groupable() && self.world.rng.chance(self.group_start) {
            let left = match self.world.rng.below(100) {
                0..=59 => 1,
                60..=84 => 2,
                _ => 3,
            };
            self.group = Some(Group {
                actor,
                rev: slot.rev,
                key_us: slot.key_us + 1,
                left,
            });
        }
        slot
    }

    /// The place of the next record of an import.
    fn imported(&mut self, time_us: u64) -> Slot {
        let rng = &mut self.world.rng;
        let mut repo = match self.repo {
            Some(repo) if repo.left > 0 => repo,
            _ => {
                let left = 1 + rng.below(2 * REPO_MEAN - 1);
                let age_us = REPO_AGE_US / 4 + rng.below(REPO_AGE_US * 3 / 4);
                Repo {
                    actor: self.world.population.active(rng),
                    key_us: self.options.start_us.saturating_sub(age_us),
                    step_us: age_us / left,
                    left,
                }
            }
        };
        repo.left -= 1;
        repo.key_us += 1 + rng.below(repo.step_us);
        self.repo = Some(repo);
        let (_, rev_us) = self.world.population.open_commit(repo.actor, time_us);
        Slot {
            actor: repo.actor,
            rev: tid_number(rev_us, self.world.names.clock_id(repo.actor)),
            key_us: repo.key_us,
        }
    }

    /// Writes a create or update.
    fn write(&mut self, class: EventClass, time_us: u64, line: &mut Vec<u8>) {
        if class == EventClass::Post
            && !self.options.backfill
            && self.group.is_none()
            && self.world.rng.percent(1)
            && self.edit(time_us, line)
        {
            return;
        }
        let collection = match class {
            EventClass::Post => "app.bsky.feed.post",
            EventClass::Repost => "app.bsky.feed.repost",
            EventClass::Follow => "app.bsky.graph.follow",
            EventClass::Block => "app.bsky.graph.block",
            EventClass::ListItem => "app.bsky.graph.listitem",
            EventClass::Profile => "app.bsky.actor.profile",
            EventClass::Threadgate => "app.bsky.feed.threadgate",
            EventClass::Other => self.world.other_collection(),
            _ => "app.bsky.feed.like",
        };
        let gated = (class == EventClass::Threadgate && !self.options.backfill).then(|| {
            self.world.ungated.take(
                &self.world.population,
                self.world.start_us,
                &mut self.world.rng,
            )
        });
        let slot = match gated {
            Some(post) => self.commit(post.actor, time_us),
            None => self.slot(class, time_us),
        };
        let key = gated.map_or_else(
            || tid_number(slot.key_us, self.world.rng.below(32)),
            |post| post.tid,
        );
        let draft = Draft {
            actor: slot.actor,
            tid: key,
            cid: self.world.rng.bits(),
            created_us: slot.key_us,
        };
        let is_profile = class == EventClass::Profile;
        let is_update = is_profile
            && (self.world.population.note_profile(slot.actor) || self.world.rng.percent(70));
        let operation = if is_update { "update" } else { "create" };
        self.open(slot, time_us, operation, collection, line);
        if is_profile {
            line.extend_from_slice(b"\"self\"");
        } else {
            quoted_tid(key, line);
        }
        line.extend_from_slice(b",\"record\":");
        let world = &mut self.world;
        match class {
            EventClass::Post => world.post(draft, line),
            EventClass::Repost => world.repost(draft, line),
            EventClass::Follow | EventClass::Block => world.relation(collection, draft, line),
            EventClass::ListItem => world.list_item(draft, line),
            EventClass::Profile => world.profile(draft, line),
            EventClass::Threadgate => world.threadgate(draft, line),
            EventClass::Other => world.other(collection, draft, line),
            _ => world.like(draft, line),
        }
        close_with_cid(draft.cid, line);
        if class == EventClass::Post {
            let post = Strong {
                actor: draft.actor,
                tid: key,
                cid: draft.cid,
            };
            world.posts.push(post);
            world.ungated.push(post, &mut world.rng);
        }
        if !is_profile {
            world.live.push(
                LiveKey {
                    actor: draft.actor,
                    collection,
                    tid: key,
                },
                &mut world.rng,
            );
        }
    }

    /// Writes an edit of a live post, where one is found.
    fn edit(&mut self, time_us: u64, line: &mut Vec<u8>) -> bool {
        let collection = "app.bsky.feed.post";
        let Some(key) =
            self.world
                .live
                .find(collection, &self.world.population, &mut self.world.rng)
        else {
            return false;
        };
        let slot = self.commit(key.actor, time_us);
        let draft = Draft {
            actor: key.actor,
            tid: key.tid,
            cid: self.world.rng.bits(),
            created_us: key.tid >> 10,
        };
        self.open(slot, time_us, "update", collection, line);
        quoted_tid(key.tid, line);
        line.extend_from_slice(b",\"record\":");
        self.world.post(draft, line);
        close_with_cid(draft.cid, line);
        true
    }

    /// Writes a delete: a fifth are of records of the past, which the stream never showed.
    fn delete(&mut self, time_us: u64, line: &mut Vec<u8>) {
        let world = &mut self.world;
        let seen = if world.rng.percent(20) {
            None
        } else {
            world.live.take(&world.population, &mut world.rng)
        };
        let key = seen.unwrap_or_else(|| LiveKey {
            actor: world.population.active(&mut world.rng),
            collection: world.rng.pick(&[
                "app.bsky.feed.like",
                "app.bsky.feed.like",
                "app.bsky.graph.follow",
                "app.bsky.feed.post",
                "app.bsky.feed.repost",
                "app.bsky.graph.block",
            ]),
            tid: past_tid(world.start_us, &mut world.rng),
        });
        let slot = self.commit(key.actor, time_us);
        self.open(slot, time_us, "delete", key.collection, line);
        quoted_tid(key.tid, line);
        line.extend_from_slice(b"}}");
    }

    /// Writes everything up to the record key.
    fn open(
        &self,
        slot: Slot,
        time_us: u64,
        operation: &str,
        collection: &str,
        line: &mut Vec<u8>,
    ) {
        line.extend_from_slice(b"{\"did\":\"");
        self.world.names.did(slot.actor, line);
        line.extend_from_slice(b"\",\"time_us\":");
        number(time_us, line);
        line.extend_from_slice(b",\"kind\":\"commit\",\"commit\":{\"rev\":\"");
        tid(slot.rev, line);
        line.extend_from_slice(b"\",\"operation\":\"");
        line.extend_from_slice(operation.as_bytes());
        line.extend_from_slice(b"\",\"collection\":\"");
        line.extend_from_slice(collection.as_bytes());
        line.extend_from_slice(b"\",\"rkey\":");
    }

    fn account(&mut self, time_us: u64, line: &mut Vec<u8>) {
        let change = self.world.population.change_status(&mut self.world.rng);
        let names = self.world.names;
        line.extend_from_slice(b"{\"did\":\"");
        names.did(change.actor, line);
        line.extend_from_slice(b"\",\"time_us\":");
        number(time_us, line);
        line.extend_from_slice(b",\"kind\":\"account\",\"account\":{\"active\":");
        line.extend_from_slice(if change.status.is_none() {
            b"true"
        } else {
            b"false"
        });
        line.extend_from_slice(b",\"did\":\"");
        names.did(change.actor, line);
        line.extend_from_slice(b"\",\"seq\":");
        number(RELAY_SEQ_START + self.index, line);
        if let Some(status) = change.status {
            line.extend_from_slice(b",\"status\":\"");
            line.extend_from_slice(status.as_bytes());
            line.push(b'"');
        }
        self.relay_time(time_us, line);
    }

    fn identity(&mut self, time_us: u64, line: &mut Vec<u8>) {
        let actor = self.world.population.active(&mut self.world.rng);
        let names = self.world.names;
        line.extend_from_slice(b"{\"did\":\"");
        names.did(actor, line);
        line.extend_from_slice(b"\",\"time_us\":");
        number(time_us, line);
        line.extend_from_slice(b",\"kind\":\"identity\",\"identity\":{\"did\":\"");
        names.did(actor, line);
        line.extend_from_slice(b"\",\"handle\":\"");
        names.handle(actor, line);
        line.extend_from_slice(b"\",\"seq\":");
        number(RELAY_SEQ_START + self.index, line);
        self.relay_time(time_us, line);
    }

    fn relay_time(&mut self, time_us: u64, line: &mut Vec<u8>) {
        let lag_us = 100_000 + self.world.rng.below(900_000);
        line.extend_from_slice(b",\"time\":\"");
        datetime(time_us.saturating_sub(lag_us), line);
        line.extend_from_slice(b"\"}}");
    }
}

fn close_with_cid(seed: u64, line: &mut Vec<u8>) {
    line.extend_from_slice(b",\"cid\":\"");
    cid(seed, line);
    line.extend_from_slice(b"\"}}");
}

/// Each event's line in a buffer of its own; [`Generator::next_into`] is the faster way.
impl Iterator for Generator {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let mut line = Vec::with_capacity(1024);
        self.next_into(&mut line).map(|_| line)
    }
}
