//! Records of a dozen lexicons beyond the common ones. Their links have all the
//! shapes that extraction has to know: plain strings, strong references, arrays of
//! strings, objects in arrays in arrays, DIDs, web addresses.

use crate::ident::{datetime, number};
use crate::records::{Draft, member, open};
use crate::text::{escape, page};
use crate::world::World;

/// A lexicon's name and its weight among its like.
const LEXICONS: [(&str, u64); 13] = [
    ("sh.tangled.feed.star", 12),
    ("sh.tangled.graph.follow", 6),
    ("pub.leaflet.document", 8),
    ("fyi.unravel.frontpage.vote", 10),
    ("fyi.unravel.frontpage.post", 5),
    ("app.bsky.feed.postgate", 12),
    ("app.bsky.graph.listblock", 12),
    ("app.bsky.graph.starterpack", 5),
    ("fm.teal.alpha.feed.play", 14),
    ("social.grain.gallery.item", 5),
    ("place.stream.chat.message", 5),
    ("community.lexicon.calendar.rsvp", 3),
    ("community.lexicon.bookmarks.bookmark", 3),
];

impl World {
    /// Chooses one of the lexicons.
    pub(crate) fn other_collection(&mut self) -> &'static str {
        let total = LEXICONS.iter().map(|(_, weight)| weight).sum();
        let mut at = self.rng.below(total);
        for (name, weight) in LEXICONS {
            if at < weight {
                return name;
            }
            at -= weight;
        }
        "sh.tangled.feed.star"
    }

    /// Appends a record of `collection`.
    pub(crate) fn other(&mut self, collection: &str, draft: Draft, out: &mut Vec<u8>) {
        let names = self.names;
        let someone = self.population.target(&mut self.rng);
        let thing = self.own_list(someone);
        match collection {
            "pub.leaflet.document" => return self.document(draft, out),
            "fm.teal.alpha.feed.play" => return self.play(draft, out),
            _ => open(collection, draft.created_us, out),
        }
        match collection {
            "sh.tangled.feed.star" => {
                member("subject", out, |out| {
                    names.at_uri(someone, "sh.tangled.repo", thing, out)
                });
            }
            "fyi.unravel.frontpage.vote" | "community.lexicon.calendar.rsvp" => {
                let (subject, extra) = if collection.ends_with("vote") {
                    ("fyi.unravel.frontpage.post", None)
                } else {
                    (
                        "community.lexicon.calendar.event",
                        Some("community.lexicon.calendar.rsvp#going"),
                    )
                };
                if let Some(status) = extra {
                    member("status", out, |out| {
                        out.extend_from_slice(status.as_bytes())
                    });
                }
                out.extend_from_slice(b",\"subject\":");
                let record = crate::ident::Strong {
                    actor: someone,
                    tid: thing,
                    cid: thing,
                };
                names.strong_ref(record, subject, out);
            }
            "fyi.unravel.frontpage.post" => {
                let place = self.pages.sample(&mut self.rng);
                out.extend_from_slice(
                    b",\"subject\":{\"$type\":\"fyi.unravel.frontpage.post#urlSubject\"",
                );
                member("url", out, |out| page(place, out));
                out.push(b'}');
                self.prose.fill(40, &mut self.rng);
                member("title", out, |out| escape(&self.prose.text, out));
            }
            "app.bsky.feed.postgate" => {
                let post = self.posts.sample(&mut self.rng);
                out.extend_from_slice(b",\"detachedEmbeddingUris\":[\"");
                names.at_uri(post.actor, "app.bsky.feed.post", post.tid, out);
                out.extend_from_slice(
                    b"\"],\"embeddingRules\":[{\"$type\":\"app.bsky.feed.postgate#disableRule\"}]",
                );
                member("post", out, |out| {
                    names.at_uri(draft.actor, "app.bsky.feed.post", draft.tid, out)
                });
            }
            "app.bsky.graph.listblock" => {
                member("subject", out, |out| {
                    names.at_uri(someone, "app.bsky.graph.list", thing, out)
                });
            }
            "app.bsky.graph.starterpack" => {
                self.prose.fill(60, &mut self.rng);
                member("description", out, |out| escape(&self.prose.text, out));
                out.extend_from_slice(b",\"feeds\":[{\"uri\":\"");
                names.at_uri(someone, "app.bsky.feed.generator", thing, out);
                out.extend_from_slice(b"\"}]");
                let list = self.own_list(draft.actor);
                member("list", out, |out| {
                    names.at_uri(draft.actor, "app.bsky.graph.list", list, out)
                });
                member("name", out, |out| {
                    out.extend_from_slice(b"People to follow")
                });
            }
            "social.grain.gallery.item" => {
                let gallery = self.own_list(draft.actor);
                member("gallery", out, |out| {
                    names.at_uri(draft.actor, "social.grain.gallery", gallery, out)
                });
                member("item", out, |out| {
                    names.at_uri(draft.actor, "social.grain.photo", draft.tid, out)
                });
                out.extend_from_slice(b",\"position\":");
                number(self.rng.below(10), out);
            }
            "place.stream.chat.message" => {
                member("streamer", out, |out| names.did(someone, out));
                self.prose.fill(30, &mut self.rng);
                member("text", out, |out| escape(&self.prose.text, out));
            }
            "community.lexicon.bookmarks.bookmark" => {
                let place = self.pages.sample(&mut self.rng);
                member("subject", out, |out| page(place, out));
                out.extend_from_slice(b",\"tags\":[\"reading\"]");
            }
            // sh.tangled.graph.follow, and any lexicon whose subject is an account.
            _ => member("subject", out, |out| names.did(someone, out)),
        }
        out.push(b'}');
    }

    /// A long-form document: its links are deep in nested arrays.
    fn document(&mut self, draft: Draft, out: &mut Vec<u8>) {
        let names = self.names;
        let publication = self.own_list(draft.actor);
        out.extend_from_slice(b"{\"$type\":\"pub.leaflet.document\"");
        member("author", out, |out| names.did(draft.actor, out));
        out.extend_from_slice(
            b",\"pages\":[{\"$type\":\"pub.leaflet.pages.linearDocument\",\"blocks\":[{\"block\":{\"$type\":\"pub.leaflet.blocks.text\",\"facets\":[{\"features\":[{\"$type\":\"pub.leaflet.richtext.facet#link\"",
        );
        let place = self.pages.sample(&mut self.rng);
        member("uri", out, |out| page(place, out));
        out.extend_from_slice(b"}],\"index\":{\"byteEnd\":9,\"byteStart\":0}}]");
        self.prose.fill(300, &mut self.rng);
        member("plaintext", out, |out| escape(&self.prose.text, out));
        out.extend_from_slice(
            b"}},{\"block\":{\"$type\":\"pub.leaflet.blocks.bskyPost\",\"postRef\":",
        );
        let post = self.posts.sample(&mut self.rng);
        names.strong_ref(post, "app.bsky.feed.post", out);
        out.extend_from_slice(b"}}]}]");
        member("publication", out, |out| {
            names.at_uri(draft.actor, "pub.leaflet.publication", publication, out)
        });
        member("publishedAt", out, |out| datetime(draft.created_us, out));
        self.prose.fill(30, &mut self.rng);
        member("title", out, |out| escape(&self.prose.text, out));
        out.push(b'}');
    }

    /// A song that was played.
    fn play(&mut self, draft: Draft, out: &mut Vec<u8>) {
        let place = self.pages.sample(&mut self.rng);
        out.extend_from_slice(
            b"{\"$type\":\"fm.teal.alpha.feed.play\",\"artists\":[{\"artistName\":\"Artist ",
        );
        number(self.rng.below(5000), out);
        out.extend_from_slice(b"\"}],\"duration\":");
        number(120 + self.rng.below(200), out);
        member("originUrl", out, |out| page(place, out));
        member("playedTime", out, |out| datetime(draft.created_us, out));
        member("submissionClientAgent", out, |out| {
            out.extend_from_slice(b"example-scrobbler/1.0")
        });
        self.prose.fill(16, &mut self.rng);
        member("trackName", out, |out| escape(&self.prose.text, out));
        out.push(b'}');
    }
}
