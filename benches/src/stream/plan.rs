//! The filters of the scenario's subscribers, and what each of them has to get.

use orrery_synth::PopularTargets;

use super::feed::Sent;

/// Sources that the synthetic stream has, most used first.
const SOURCES: [&str; 6] = [
    "app.bsky.feed.like:subject.uri",
    "app.bsky.graph.follow:subject",
    "app.bsky.feed.repost:subject.uri",
    "app.bsky.feed.post:reply.parent.uri",
    "app.bsky.graph.block:subject",
    "app.bsky.graph.listitem:subject",
];

/// What one subscriber wants.
#[derive(Default, Clone)]
pub(super) struct Wanted {
    pub(super) subjects: Vec<String>,
    pub(super) prefixes: Vec<String>,
    pub(super) dids: Vec<String>,
    pub(super) sources: Vec<String>,
}

impl Wanted {
    /// The query that asks for it, links at once.
    pub(super) fn query(&self) -> String {
        let mut query = "instant=true".to_owned();
        let lists = [
            ("wantedSubjects", &self.subjects),
            ("wantedSubjectPrefixes", &self.prefixes),
            ("wantedSubjectDids", &self.dids),
            ("wantedSources", &self.sources),
        ];
        for (name, values) in lists {
            for value in values {
                query.push_str(&format!("&{name}={}", escaped(value)));
            }
        }
        query
    }

    /// Whether the link is wanted, by the contract's words and without an index.
    fn wants(&self, link: &Sent) -> bool {
        let has_no_subject =
            self.subjects.is_empty() && self.prefixes.is_empty() && self.dids.is_empty();
        let owner = link.subject.strip_prefix("at://");
        let owner = owner.map_or(&*link.subject, |rest| {
            rest.split(['/', '?', '#']).next().unwrap_or_default()
        });
        let subject = has_no_subject
            || self.subjects.contains(&link.subject)
            || self.prefixes.iter().any(|p| link.subject.starts_with(p))
            || self.dids.iter().any(|did| did == owner);
        subject && (self.sources.is_empty() || self.sources.contains(&link.source))
    }

    /// The number and the running hash of the frames that are wanted, in order.
    pub(super) fn truth(&self, links: &[Sent]) -> (u64, u64) {
        let wanted = links.iter().filter(|link| self.wants(link));
        wanted.fold((0, 0), |(count, hash), link| {
            (count + 1, chained(hash, link.hash))
        })
    }
}

/// The running hash of a sequence.
pub(super) const fn chained(before: u64, next: u64) -> u64 {
    before
        .wrapping_mul(0x9E37_79B9_7F4A_7C15)
        .wrapping_add(next)
}

/// Mixed filters for `count` subscribers: of each 200 one wants everything, two all likes, 13 a rarer source, 60 the links to an
/// account, 60 those to 20 posts, 24 those that begin with some text, 40 one source of an account.
pub(super) fn mixed(count: u64, popular: &PopularTargets) -> Vec<Wanted> {
    let pick = |from: &[String], at: u64| -> Vec<String> {
        let len = from.len().max(1) as u64;
        from.get((at % len) as usize).cloned().into_iter().collect()
    };
    let source = |at: u64| -> Vec<String> {
        let at = (at % SOURCES.len() as u64) as usize;
        SOURCES
            .get(at)
            .map(|source| (*source).to_owned())
            .into_iter()
            .collect()
    };
    let wanted = |number: u64| match number % 200 {
        0 => Wanted::default(),
        1..=2 => Wanted {
            sources: source(0),
            ..Wanted::default()
        },
        kind @ 3..=15 => Wanted {
            sources: source(1 + kind % 5),
            ..Wanted::default()
        },
        16..=75 => Wanted {
            dids: pick(&popular.accounts, number),
            ..Wanted::default()
        },
        76..=135 => Wanted {
            subjects: (0..20)
                .flat_map(|i| pick(&popular.posts, number * 20 + i))
                .collect(),
            ..Wanted::default()
        },
        136..=159 => Wanted {
            prefixes: pick(&popular.accounts, number)
                .iter()
                .map(|did| format!("at://{did}/app.bsky.feed"))
                .chain(["https://example".to_owned()])
                .collect(),
            ..Wanted::default()
        },
        _ => Wanted {
            dids: pick(&popular.accounts, number),
            sources: source(number),
            ..Wanted::default()
        },
    };
    (0..count).map(wanted).collect()
}

/// Percent-encodes all but what needs none in a query.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
