//! What a caller chooses about a synthetic stream, and the shares of event kinds.

use crate::error::Error;

/// The accounts in existence where the caller names no number. With Zipf 0.75 a
/// million events then come from about 400,000 of them.
pub const ACTORS_DEFAULT: u32 = 1_200_000;

/// 2026-01-15T00:00:00Z, microseconds: the event time at which a stream starts by default.
pub const START_US_DEFAULT: u64 = 1_768_435_200_000_000;

/// Mean events per second of the network in mid-2026.
pub const EVENTS_PER_SECOND_DEFAULT: f64 = 390.0;

/// Percent of all events that are deletes.
pub const DELETE_PERCENT_DEFAULT: f64 = 5.5;

/// Percent of all events that are account events.
pub const ACCOUNT_PERCENT_DEFAULT: f64 = 0.4;

/// How event time advances.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Tempo {
    /// Mean events per second of event time.
    EventsPerSecond(f64),
    /// All events spread over this many microseconds; needs a finite `events`.
    SpanUs(u64),
}

/// What to generate. `Options::default()` is an endless stream of the network's shape.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// The seed: equal options give equal bytes, on every platform.
    pub seed: u64,
    /// The number of events; `None` is endless.
    pub events: Option<u64>,
    /// Event time of the start, microseconds since 1970.
    pub start_us: u64,
    /// How event time advances.
    pub tempo: Tempo,
    /// The number of accounts, 100 to 50,000,000. Costs 16 bytes of memory each.
    pub actors: u32,
    /// The share of likes, 0 to 1, that go to [`Generator::hot_target`](crate::Generator::hot_target).
    pub hot_like_share: f64,
    /// Percent of events that are deletes, 0 to 50. The other kinds scale to fill the rest.
    pub delete_percent: f64,
    /// Percent of events that are account events, 0 to 50. The other kinds scale to fill the rest.
    pub account_percent: f64,
    /// The order of an import: creates only, repo by repo, with keys over years that rise in each repo and have
    /// nothing to do with event times.
    pub backfill: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 1,
            events: None,
            start_us: START_US_DEFAULT,
            tempo: Tempo::EventsPerSecond(EVENTS_PER_SECOND_DEFAULT),
            actors: ACTORS_DEFAULT,
            hot_like_share: 0.0,
            delete_percent: DELETE_PERCENT_DEFAULT,
            account_percent: ACCOUNT_PERCENT_DEFAULT,
            backfill: false,
        }
    }
}

impl Options {
    /// A finite stream of `events` from `seed`, all else by default.
    pub fn finite(seed: u64, events: u64) -> Self {
        Self {
            seed,
            events: Some(events),
            ..Self::default()
        }
    }

    /// The same in the order of an import: creates only, see [`Self::backfill`].
    #[must_use]
    pub fn into_backfill(self) -> Self {
        Self {
            backfill: true,
            delete_percent: 0.0,
            account_percent: 0.0,
            ..self
        }
    }

    /// Checks every range and gives the mean distance of events in nanoseconds.
    pub(crate) fn checked_step_ns(&self) -> Result<u64, Error> {
        // 2^53 us is the year 2255: TIDs hold 53 bits of time. The lower end leaves
        // room for the records that existed before the stream.
        if !(1_000_000_000_000_000..1 << 52).contains(&self.start_us) {
            return Err(option(
                "start_us",
                self.start_us,
                "must be microseconds of 2001-09-09 to 2112-09-17",
            ));
        }
        if !(100..=50_000_000).contains(&self.actors) {
            return Err(option("actors", self.actors, "must be 100 to 50000000"));
        }
        if !(0.0..=1.0).contains(&self.hot_like_share) {
            return Err(option(
                "hot_like_share",
                self.hot_like_share,
                "must be 0 to 1",
            ));
        }
        for (name, percent) in [
            ("delete_percent", self.delete_percent),
            ("account_percent", self.account_percent),
        ] {
            if !(0.0..=50.0).contains(&percent) {
                return Err(option(name, percent, "must be 0 to 50"));
            }
        }
        if self.delete_percent + self.account_percent > 90.0 {
            let sum = self.delete_percent + self.account_percent;
            return Err(option(
                "delete_percent + account_percent",
                sum,
                "must be at most 90",
            ));
        }
        match self.tempo {
            Tempo::EventsPerSecond(rate) if (0.001..=10_000_000.0).contains(&rate) => {
                Ok((1e9 / rate) as u64)
            }
            Tempo::EventsPerSecond(rate) => Err(option(
                "tempo",
                rate,
                "must be 0.001 to 10000000 events per second",
            )),
            Tempo::SpanUs(span_us) => {
                let events = self.events.unwrap_or(0);
                if events == 0 || span_us > 1 << 51 {
                    return Err(option(
                        "tempo",
                        span_us,
                        "a span needs a number of events and ends by 2^51 us",
                    ));
                }
                Ok((u128::from(span_us) * 1000 / u128::from(events)) as u64)
            }
        }
    }
}

fn option(option: &'static str, value: impl ToString, reason: &'static str) -> Error {
    Error::Option {
        option,
        value: value.to_string(),
        reason,
    }
}

/// The kind of an event, as its share of the stream is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum EventClass {
    /// A new `app.bsky.feed.like`.
    #[default]
    Like,
    /// A new or edited `app.bsky.feed.post`.
    Post,
    /// A new `app.bsky.feed.repost`.
    Repost,
    /// A new `app.bsky.graph.follow`.
    Follow,
    /// A new `app.bsky.graph.block`.
    Block,
    /// A new `app.bsky.graph.listitem`.
    ListItem,
    /// A new or edited `app.bsky.actor.profile`.
    Profile,
    /// A new `app.bsky.feed.threadgate`.
    Threadgate,
    /// A record of one of a dozen other lexicons.
    Other,
    /// The delete of a record of any collection.
    Delete,
    /// A change of an account's status.
    Account,
    /// An identity event.
    Identity,
}

impl EventClass {
    /// All kinds with the percent of events that are of them by default: 100 in sum.
    /// By counts of public captures of the network, 2024 to 2026.
    pub const PERCENT: [(Self, f64); 12] = [
        (Self::Like, 62.0),
        (Self::Post, 11.0),
        (Self::Repost, 9.0),
        (Self::Follow, 6.0),
        (Self::Block, 1.6),
        (Self::ListItem, 1.0),
        (Self::Profile, 0.8),
        (Self::Threadgate, 0.4),
        (Self::Other, 1.7),
        (Self::Delete, DELETE_PERCENT_DEFAULT),
        (Self::Account, ACCOUNT_PERCENT_DEFAULT),
        (Self::Identity, 0.6),
    ];

    /// Whether records of this kind can share a commit: new records under a TID of their own.
    pub(crate) fn is_groupable(self) -> bool {
        matches!(
            self,
            Self::Like | Self::Post | Self::Repost | Self::Follow | Self::Block | Self::ListItem
        )
    }
}

/// Draws event kinds by their shares.
#[derive(Debug, Clone)]
pub(crate) struct Shares {
    /// The upper edge of each kind in [0, 1).
    edges: Vec<(f64, EventClass)>,
}

impl Shares {
    pub(crate) fn new(options: &Options) -> Self {
        let fixed = DELETE_PERCENT_DEFAULT + ACCOUNT_PERCENT_DEFAULT;
        let scale = (100.0 - options.delete_percent - options.account_percent) / (100.0 - fixed);
        let mut edge = 0.0;
        let edges = EventClass::PERCENT
            .iter()
            .map(|&(class, percent)| {
                edge += match class {
                    EventClass::Delete => options.delete_percent,
                    EventClass::Account => options.account_percent,
                    _ => percent * scale,
                } / 100.0;
                (edge, class)
            })
            .collect();
        Self { edges }
    }

    /// The kind at `at` of [0, 1).
    pub(crate) fn at(&self, at: f64) -> EventClass {
        self.edges
            .iter()
            .find(|(edge, _)| at < *edge)
            .map_or(EventClass::Like, |&(_, class)| class)
    }

    /// The share, 0 to 1, of kinds that can share a commit.
    pub(crate) fn groupable(&self) -> f64 {
        let mut below = 0.0;
        let mut sum = 0.0;
        for &(edge, class) in &self.edges {
            if class.is_groupable() {
                sum += edge - below;
            }
            below = edge;
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_sum_to_a_hundred_whatever_is_overridden() {
        let sum: f64 = EventClass::PERCENT.iter().map(|(_, p)| p).sum();
        assert!((sum - 100.0).abs() < 1e-9, "{sum}");
        for (delete_percent, account_percent) in [(5.5, 0.4), (0.0, 0.0), (50.0, 40.0), (20.0, 0.0)]
        {
            let options = Options {
                delete_percent,
                account_percent,
                ..Options::default()
            };
            let shares = Shares::new(&options);
            assert!((shares.edges.last().unwrap().0 - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn options_out_of_range_are_named() {
        let bad = [
            (
                Options {
                    actors: 99,
                    ..Options::default()
                },
                "actors",
            ),
            (
                Options {
                    start_us: 5,
                    ..Options::default()
                },
                "start_us",
            ),
            (
                Options {
                    hot_like_share: 1.5,
                    ..Options::default()
                },
                "hot_like_share",
            ),
            (
                Options {
                    hot_like_share: f64::NAN,
                    ..Options::default()
                },
                "hot_like_share",
            ),
            (
                Options {
                    delete_percent: -1.0,
                    ..Options::default()
                },
                "delete_percent",
            ),
            (
                Options {
                    account_percent: 51.0,
                    ..Options::default()
                },
                "account_percent",
            ),
            (
                Options {
                    delete_percent: 50.0,
                    account_percent: 50.0,
                    ..Options::default()
                },
                "at most 90",
            ),
            (
                Options {
                    tempo: Tempo::EventsPerSecond(0.0),
                    ..Options::default()
                },
                "tempo",
            ),
            (
                Options {
                    tempo: Tempo::SpanUs(1_000_000),
                    ..Options::default()
                },
                "tempo",
            ),
        ];
        for (options, name) in bad {
            let error = options.checked_step_ns().unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
        let span = Options {
            tempo: Tempo::SpanUs(1_000_000),
            ..Options::finite(1, 1000)
        };
        assert_eq!(span.checked_step_ns().unwrap(), 1_000_000);
    }
}
