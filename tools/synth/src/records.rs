//! The records of the `app.bsky` lexicons, as JSON with the members and the member
//! order (sorted) that the public stream shows.

use crate::ident::{Actor, Strong, blob_cid, datetime, number, tid};
use crate::pool::Repost;
use crate::text::{escape, page};
use crate::world::World;

/// The record to write: who makes it, under which key, when.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Draft {
    pub(crate) actor: Actor,
    pub(crate) tid: u64,
    pub(crate) cid: u64,
    pub(crate) created_us: u64,
}

pub(crate) fn open(kind: &str, created_us: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"$type\":\"");
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(b"\",\"createdAt\":\"");
    datetime(created_us, out);
    out.push(b'"');
}

/// Appends `,"name":"` and what `write` appends and `"`.
pub(crate) fn member(name: &str, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":\"");
    write(out);
    out.push(b'"');
}

fn blob(world: &mut World, kind: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"$type\":\"blob\",\"ref\":{\"$link\":\"");
    blob_cid(world.rng.bits(), out);
    out.extend_from_slice(b"\"},\"mimeType\":\"");
    out.extend_from_slice(kind);
    out.extend_from_slice(b"\",\"size\":");
    number(20_000 + world.rng.below(900_000), out);
    out.push(b'}');
}

fn subject_and_via(world: &World, subject: Strong, via: Option<Repost>, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"subject\":");
    world.names.strong_ref(subject, "app.bsky.feed.post", out);
    if let Some(repost) = via {
        out.extend_from_slice(b",\"via\":");
        world
            .names
            .strong_ref(repost.record, "app.bsky.feed.repost", out);
    }
    out.push(b'}');
}

impl World {
    /// A like: of the hot target for its share, else, for 17 in 100, of what a
    /// recent repost showed, else of a post by popularity.
    pub(crate) fn like(&mut self, draft: Draft, out: &mut Vec<u8>) {
        open("app.bsky.feed.like", draft.created_us, out);
        let via = self
            .rng
            .percent(17)
            .then(|| self.reposts.any(&mut self.rng));
        let subject = if self.hot_like_share > 0.0 && self.rng.chance(self.hot_like_share) {
            self.hot
        } else {
            via.map_or_else(|| self.posts.sample(&mut self.rng), |repost| repost.subject)
        };
        subject_and_via(self, subject, via, out);
    }

    /// A repost, 40 in 100 of them by way of a recent repost.
    pub(crate) fn repost(&mut self, draft: Draft, out: &mut Vec<u8>) {
        open("app.bsky.feed.repost", draft.created_us, out);
        let via = self
            .rng
            .percent(40)
            .then(|| self.reposts.any(&mut self.rng));
        let subject = via.map_or_else(|| self.posts.sample(&mut self.rng), |repost| repost.subject);
        subject_and_via(self, subject, via, out);
        let record = Strong {
            actor: draft.actor,
            tid: draft.tid,
            cid: draft.cid,
        };
        self.reposts.push(Repost { record, subject });
    }

    /// A follow or a block.
    pub(crate) fn relation(&mut self, collection: &str, draft: Draft, out: &mut Vec<u8>) {
        open(collection, draft.created_us, out);
        let subject = self.population.target(&mut self.rng);
        member("subject", out, |out| self.names.did(subject, out));
        out.push(b'}');
    }

    /// An entry of the account's own list.
    pub(crate) fn list_item(&mut self, draft: Draft, out: &mut Vec<u8>) {
        open("app.bsky.graph.listitem", draft.created_us, out);
        let list = self.own_list(draft.actor);
        member("list", out, |out| {
            self.names
                .at_uri(draft.actor, "app.bsky.graph.list", list, out)
        });
        let subject = self.population.target(&mut self.rng);
        member("subject", out, |out| self.names.did(subject, out));
        out.push(b'}');
    }

    /// A profile; one in ten pins a post.
    pub(crate) fn profile(&mut self, draft: Draft, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"$type\":\"app.bsky.actor.profile\",\"avatar\":");
        blob(self, b"image/jpeg", out);
        if self.rng.percent(40) {
            out.extend_from_slice(b",\"banner\":");
            blob(self, b"image/jpeg", out);
        }
        member("createdAt", out, |out| datetime(draft.created_us, out));
        let length = 20 + self.rng.below(200) as usize;
        self.prose.fill(length, &mut self.rng);
        member("description", out, |out| escape(&self.prose.text, out));
        let length = 4 + self.rng.below(16) as usize;
        self.prose.fill(length, &mut self.rng);
        member("displayName", out, |out| escape(&self.prose.text, out));
        if self.rng.percent(10) {
            let post = self.posts.sample(&mut self.rng);
            out.extend_from_slice(b",\"pinnedPost\":");
            self.names.strong_ref(post, "app.bsky.feed.post", out);
        }
        out.push(b'}');
    }

    /// A thread gate on the account's own post, whose key it shares.
    pub(crate) fn threadgate(&mut self, draft: Draft, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"$type\":\"app.bsky.feed.threadgate\",\"allow\":[");
        match self.rng.below(10) {
            0..=3 => out.extend_from_slice(b"{\"$type\":\"app.bsky.feed.threadgate#mentionRule\"}"),
            4..=6 => {
                out.extend_from_slice(b"{\"$type\":\"app.bsky.feed.threadgate#followingRule\"}")
            }
            7 => {
                let list = self.own_list(draft.actor);
                out.extend_from_slice(b"{\"$type\":\"app.bsky.feed.threadgate#listRule\"");
                member("list", out, |out| {
                    self.names
                        .at_uri(draft.actor, "app.bsky.graph.list", list, out)
                });
                out.push(b'}');
            }
            _ => {}
        }
        out.push(b']');
        member("createdAt", out, |out| datetime(draft.created_us, out));
        out.extend_from_slice(b",\"hiddenReplies\":[");
        if self.rng.percent(20) {
            let reply = self.posts.sample(&mut self.rng);
            out.push(b'"');
            self.names
                .at_uri(reply.actor, "app.bsky.feed.post", reply.tid, out);
            out.push(b'"');
        }
        out.push(b']');
        member("post", out, |out| {
            self.names
                .at_uri(draft.actor, "app.bsky.feed.post", draft.tid, out)
        });
        out.push(b'}');
    }

    /// A post: a reply for 48 in 100, else perhaps with a quote, a card or pictures; with
    /// links, mentions and tags in its text.
    pub(crate) fn post(&mut self, draft: Draft, out: &mut Vec<u8>) {
        open("app.bsky.feed.post", draft.created_us, out);
        // Many short ones, few near the limit of 300 graphemes, which are up to 900 bytes.
        let length = 8 + (self.rng.below(850) * self.rng.below(850) / 850) as usize;
        self.prose.fill(length, &mut self.rng);
        let reply = self.rng.percent(48);
        let mut card = None;
        match (reply, self.rng.below(100)) {
            (true, 0..=4) | (false, 0..=33) => {
                out.extend_from_slice(b",\"embed\":");
                self.images(out);
            }
            (true, 5..=6) | (false, 34..=51) => {
                let place = self.pages.sample(&mut self.rng);
                out.extend_from_slice(b",\"embed\":");
                self.card(place, out);
                card = Some(place);
            }
            (true, 7) | (false, 52..=63) => {
                let quoted = self.posts.sample(&mut self.rng);
                out.extend_from_slice(
                    b",\"embed\":{\"$type\":\"app.bsky.embed.record\",\"record\":",
                );
                self.names.strong_ref(quoted, "app.bsky.feed.post", out);
                out.push(b'}');
            }
            (false, 64) => {
                let quoted = self.posts.sample(&mut self.rng);
                out.extend_from_slice(
                    b",\"embed\":{\"$type\":\"app.bsky.embed.recordWithMedia\",\"media\":",
                );
                self.images(out);
                out.extend_from_slice(
                    b",\"record\":{\"$type\":\"app.bsky.embed.record\",\"record\":",
                );
                self.names.strong_ref(quoted, "app.bsky.feed.post", out);
                out.extend_from_slice(b"}}");
            }
            (false, 65..=69) => {
                out.extend_from_slice(b",\"embed\":{\"$type\":\"app.bsky.embed.video\",\"aspectRatio\":{\"height\":1920,\"width\":1080},\"video\":");
                blob(self, b"video/mp4", out);
                out.push(b'}');
            }
            _ => {}
        }
        self.facets(card, out);
        out.extend_from_slice(b",\"langs\":[\"");
        out.extend_from_slice(self.prose.language.as_bytes());
        out.extend_from_slice(b"\"]");
        if reply {
            let parent = self.posts.sample(&mut self.rng);
            let root = if self.rng.percent(55) {
                parent
            } else {
                self.posts.sample(&mut self.rng)
            };
            out.extend_from_slice(b",\"reply\":{\"parent\":");
            self.names.strong_ref(parent, "app.bsky.feed.post", out);
            out.extend_from_slice(b",\"root\":");
            self.names.strong_ref(root, "app.bsky.feed.post", out);
            out.push(b'}');
        }
        member("text", out, |out| escape(&self.prose.text, out));
        out.push(b'}');
    }

    fn images(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"$type\":\"app.bsky.embed.images\",\"images\":[");
        let count = if self.rng.percent(75) { 1 } else { 2 };
        for i in 0..count {
            if i > 0 {
                out.push(b',');
            }
            out.extend_from_slice(b"{\"alt\":\"");
            for _ in 0..self.rng.below(4) {
                out.extend_from_slice(b"A picture of what the words say, in light colours. ");
            }
            out.extend_from_slice(b"\",\"aspectRatio\":{\"height\":");
            number(400 + self.rng.below(1600), out);
            out.extend_from_slice(b",\"width\":");
            number(400 + self.rng.below(1600), out);
            out.extend_from_slice(b"},\"image\":");
            blob(self, b"image/jpeg", out);
            out.push(b'}');
        }
        out.extend_from_slice(b"]}");
    }

    fn card(&mut self, place: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"$type\":\"app.bsky.embed.external\",\"external\":{\"description\":\"What this page tells, in the sentence or two that its author gave for previews of it.\",\"thumb\":");
        blob(self, b"image/jpeg", out);
        out.extend_from_slice(b",\"title\":\"Page ");
        number(place, out);
        out.push(b'"');
        member("uri", out, |out| page(place, out));
        out.extend_from_slice(b"}}");
    }

    /// Appends links, mentions and tags to the text, and the facets that mark them.
    fn facets(&mut self, card: Option<u64>, out: &mut Vec<u8>) {
        let link = match card {
            Some(place) => self.rng.percent(50).then_some(place),
            None => self
                .rng
                .percent(3)
                .then(|| self.pages.sample(&mut self.rng)),
        };
        let mention = self
            .rng
            .percent(6)
            .then(|| self.population.target(&mut self.rng));
        let tags = if self.rng.percent(7) {
            1 + self.rng.below(3)
        } else {
            0
        };
        if link.is_none() && mention.is_none() && tags == 0 {
            return;
        }
        out.extend_from_slice(b",\"facets\":[");
        let before = out.len();
        if let Some(place) = link {
            let range = self
                .prose
                .mark(|text| text.extend_from_slice(b"a.page.example/..."));
            facet(range, b"link", before, out, |out| {
                member("uri", out, |out| page(place, out))
            });
        }
        if let Some(actor) = mention {
            let names = self.names;
            let range = self.prose.mark(|text| {
                text.push(b'@');
                names.handle(actor, text);
            });
            facet(range, b"mention", before, out, |out| {
                member("did", out, |out| names.did(actor, out))
            });
        }
        for _ in 0..tags {
            let tag = self.rng.pick(&[
                "art",
                "photography",
                "cats",
                "gamedev",
                "rustlang",
                "イラスト",
                "bookSky",
            ]);
            let range = self.prose.mark(|text| {
                text.push(b'#');
                text.extend_from_slice(tag.as_bytes());
            });
            facet(range, b"tag", before, out, |out| {
                member("tag", out, |out| out.extend_from_slice(tag.as_bytes()))
            });
        }
        out.push(b']');
    }

    /// The key of the one list of this account, made before the stream.
    pub(crate) fn own_list(&self, actor: Actor) -> u64 {
        let back_us = 3_600_000_000 + (self.names.hash(actor) >> 20);
        crate::ident::tid_number(
            self.start_us.saturating_sub(back_us),
            self.names.clock_id(actor),
        )
    }
}

fn facet(
    (start, end): (usize, usize),
    kind: &[u8],
    before: usize,
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>),
) {
    if out.len() > before {
        out.push(b',');
    }
    out.extend_from_slice(b"{\"features\":[{\"$type\":\"app.bsky.richtext.facet#");
    out.extend_from_slice(kind);
    out.push(b'"');
    write(out);
    out.extend_from_slice(b"}],\"index\":{\"byteEnd\":");
    number(end as u64, out);
    out.extend_from_slice(b",\"byteStart\":");
    number(start as u64, out);
    out.extend_from_slice(b"}}");
}

/// Appends a record key that is a TID, in quotes.
pub(crate) fn quoted_tid(key: u64, out: &mut Vec<u8>) {
    out.push(b'"');
    tid(key, out);
    out.push(b'"');
}
