//! Counts of answered requests by route: how many of each status, and how long they took. Each thread adds to one of a few tables, so
//! that threads which answer at the same time rarely meet at one cache line, and nothing waits.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use super::routes::Route;

/// The statuses that are counted each by itself; any other is counted as the last.
const STATUSES: [u16; 20] = [
    101, 200, 204, 304, 400, 401, 403, 404, 405, 408, 413, 414, 415, 429, 500, 501, 502, 503, 504,
    0,
];

/// The upper ends of the classes of time but for the last, which has none, in nanoseconds and as text in seconds.
pub(super) const BOUNDS: [(u64, &str); 12] = [
    (100_000, "0.0001"),
    (250_000, "0.00025"),
    (1_000_000, "0.001"),
    (2_500_000, "0.0025"),
    (10_000_000, "0.01"),
    (25_000_000, "0.025"),
    (100_000_000, "0.1"),
    (250_000_000, "0.25"),
    (1_000_000_000, "1"),
    (2_500_000_000, "2.5"),
    (5_000_000_000, "5"),
    (10_000_000_000, "10"),
];

/// The classes of statuses, by their first digit.
pub(super) const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Classes of time, and the sum of times.
const TIMES: usize = BOUNDS.len() + 2;
/// The numbers of one route.
const WIDTH: usize = STATUSES.len() + CLASSES.len() * TIMES;
const SHARDS: usize = 4;

/// The counts of all routes.
pub(crate) struct Requests {
    shards: [Box<[AtomicU64]>; SHARDS],
}

impl Default for Requests {
    fn default() -> Self {
        let cells = Route::count() * WIDTH;
        Self {
            shards: std::array::from_fn(|_| (0..cells).map(|_| AtomicU64::new(0)).collect()),
        }
    }
}

/// The table that this thread adds to.
fn own_shard() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static OWN: usize = NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS;
    }
    OWN.with(|own| *own)
}

impl Requests {
    /// A request of `route` was answered.
    pub(crate) fn answered(&self, route: Route, status: u16, took: Duration) {
        let Some(shard) = self.shards.get(own_shard()) else {
            return;
        };
        let first = route.place() * WIDTH;
        let Some(cells) = shard.get(first..first + WIDTH) else {
            return;
        };
        let add = |place: usize, count: u64| {
            if let Some(cell) = cells.get(place) {
                cell.fetch_add(count, Ordering::Relaxed);
            }
        };
        // Nearly all are 200.
        let last = STATUSES.len() - 1;
        add(
            match status {
                200 => 1,
                status => STATUSES.iter().position(|s| *s == status).unwrap_or(last),
            },
            1,
        );
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.iter().position(|(most, _)| nanos <= *most);
        let times = STATUSES.len() + class_of(status) * TIMES;
        add(times + bucket.unwrap_or(BOUNDS.len()), 1);
        add(times + BOUNDS.len() + 1, nanos);
    }

    /// What was counted of each route that was asked for.
    pub(crate) fn routes(&self) -> Vec<RouteCounts> {
        let of = |route: Route| {
            let at = |place: usize| {
                let cells = self.shards.iter();
                let cells = cells.filter_map(|shard| shard.get(route.place() * WIDTH + place));
                cells.map(|cell| cell.load(Ordering::Relaxed)).sum::<u64>()
            };
            let statuses = STATUSES.iter().enumerate();
            let classes = CLASSES.iter().enumerate();
            RouteCounts {
                route: route.name(),
                statuses: statuses
                    .map(|(place, status)| (*status, at(place)))
                    .filter(|(_, count)| *count > 0)
                    .collect(),
                times: classes
                    .map(|(place, class)| {
                        let first = STATUSES.len() + place * TIMES;
                        Times {
                            class,
                            buckets: std::array::from_fn(|bucket| at(first + bucket)),
                            nanos: at(first + BOUNDS.len() + 1),
                        }
                    })
                    .filter(|times| times.count() > 0)
                    .collect(),
            }
        };
        let all = Route::all().map(of);
        all.filter(|counts| !counts.statuses.is_empty()).collect()
    }
}

/// What was counted of one route.
pub(crate) struct RouteCounts {
    pub(crate) route: &'static str,
    /// Answers by status, 0 for any other; none that there were none of.
    pub(crate) statuses: Vec<(u16, u64)>,
    pub(crate) times: Vec<Times>,
}

/// How long the answers of one class of statuses took.
pub(crate) struct Times {
    pub(crate) class: &'static str,
    /// How many took at most as long as each bound, and longer than the one before; the last: longer than all.
    pub(crate) buckets: [u64; BOUNDS.len() + 1],
    pub(crate) nanos: u64,
}

impl Times {
    pub(crate) fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

/// The place of a status among the classes.
fn class_of(status: u16) -> usize {
    usize::from(status / 100).clamp(1, CLASSES.len()) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_all_threads_count_is_told_as_one() {
        let requests = Requests::default();
        let (route, _) = Route::of("/links");
        let answers = [(200, 90_u64), (200, 100), (404, 3_000), (418, 20_000_000)];
        std::thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| {
                    for (status, micros) in answers {
                        requests.answered(route, status, Duration::from_micros(micros));
                    }
                });
            }
        });
        let routes = requests.routes();
        let [counts] = &routes[..] else {
            panic!("{} routes", routes.len());
        };
        assert_eq!(counts.route, "/links");
        assert_eq!(counts.statuses, [(200, 12), (404, 6), (0, 6)]);
        let told: Vec<_> = counts
            .times
            .iter()
            .map(|t| (t.class, t.count(), t.nanos))
            .collect();
        assert_eq!(told, [("2xx", 12, 1_140_000), ("4xx", 12, 120_018_000_000)]);
        // A bound belongs to its class.
        assert_eq!(counts.times[0].buckets[0], 12);
        assert_eq!(counts.times[1].buckets[4], 6);
        assert_eq!(counts.times[1].buckets[BOUNDS.len()], 6);
    }

    #[test]
    fn bounds_rise_and_are_what_their_texts_say() {
        let texts = BOUNDS.iter().map(|(nanos, text)| (*nanos as f64, text));
        for (nanos, text) in texts {
            let seconds: f64 = text.parse().unwrap();
            assert!((seconds * 1e9 - nanos).abs() < 1.0, "{text}");
        }
        assert!(BOUNDS.is_sorted_by(|a, b| a.0 < b.0));
    }
}
