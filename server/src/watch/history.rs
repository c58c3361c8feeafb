//! What was seen over time, in two rings of fixed size: minutes of the last hours, and quarters of an hour of the last days. Counters
//! are kept as they stood, so that a rate over any two points is exact.

use std::collections::VecDeque;

/// The steps of the rings, in seconds, and how many points each holds: three hours and eight days, 30 KiB together.
const FINE: (u32, usize) = (60, 180);
const COARSE: (u32, usize) = (900, 768);

pub(crate) const HOUR_S: u32 = 3_600;
pub(crate) const DAY_S: u32 = 86_400;

/// Growth is told of this long at most, so that what was deleted long ago does not hide what grows now.
const GROWTH_MOST_S: u32 = 7 * DAY_S;
/// Over less than this nothing is told of how the disk fills: seals and merges come and go.
const GROWTH_LEAST_S: u32 = HOUR_S;

/// How things stood at a moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Point {
    /// Seconds since the start.
    pub(crate) at_s: u32,
    /// The greatest lag since the point before; not a number where it is not known.
    pub(crate) lag_s: f32,
    pub(crate) events: u64,
    pub(crate) links: u64,
    pub(crate) disk_bytes: u64,
}

/// What was seen since the start.
#[derive(Default)]
pub(crate) struct History {
    fine: Ring<{ FINE.0 }, { FINE.1 }>,
    coarse: Ring<{ COARSE.0 }, { COARSE.1 }>,
    /// The last two looks.
    last: Option<(Point, Option<Point>)>,
}

/// Points that are at least a step apart.
#[derive(Default)]
struct Ring<const STEP_S: u32, const MOST: usize> {
    points: VecDeque<Point>,
    /// The greatest lag since the last point.
    lag_s: Option<f32>,
}

impl<const STEP_S: u32, const MOST: usize> Ring<STEP_S, MOST> {
    fn add(&mut self, point: Point) {
        let lag_s = self.lag_s.unwrap_or(f32::NAN).max(point.lag_s);
        let is_due = self
            .points
            .back()
            .is_none_or(|last| point.at_s / STEP_S > last.at_s / STEP_S);
        if !is_due {
            self.lag_s = Some(lag_s);
            return;
        }
        if self.points.len() >= MOST {
            self.points.pop_front();
        }
        self.points.push_back(Point { lag_s, ..point });
        self.lag_s = None;
    }

    /// The points of the last `span_s` seconds, and the newest look behind them.
    fn within(&self, now: Point, span_s: u32) -> Vec<Point> {
        let from_s = now.at_s.saturating_sub(span_s);
        let points = self.points.iter().copied();
        let mut points: Vec<Point> = points.filter(|point| point.at_s >= from_s).collect();
        if points.last().is_none_or(|last| last.at_s < now.at_s) {
            points.push(now);
        }
        points
    }
}

/// Points to be drawn, oldest first: all but the first have a rate since the one before.
pub(crate) struct Series {
    /// Seconds since the start at which it ends.
    pub(crate) end_s: u32,
    pub(crate) points: Vec<Point>,
}

impl History {
    /// Takes a look in.
    pub(crate) fn add(&mut self, point: Point) {
        self.fine.add(point);
        self.coarse.add(point);
        self.last = Some((point, self.last.map(|(last, _)| last)));
    }

    fn newest(&self) -> Option<Point> {
        self.last.map(|(newest, _)| newest)
    }

    /// The last hour, by minutes.
    pub(crate) fn hour(&self) -> Option<Series> {
        let newest = self.newest()?;
        Some(Series {
            end_s: newest.at_s,
            points: self.fine.within(newest, HOUR_S),
        })
    }

    /// The last day, by quarters of an hour.
    pub(crate) fn day(&self) -> Option<Series> {
        let newest = self.newest()?;
        Some(Series {
            end_s: newest.at_s,
            points: self.coarse.within(newest, DAY_S),
        })
    }

    /// Per second between the last two looks.
    pub(crate) fn rate_now(&self, of: impl Fn(&Point) -> u64) -> Option<f64> {
        let (newest, before) = self.last?;
        rate(&before?, &newest, of)
    }

    /// Per second over the last hour or, of a younger server, since the start.
    pub(crate) fn rate_hour(&self, of: impl Fn(&Point) -> u64) -> Option<f64> {
        let series = self.hour()?;
        rate(series.points.first()?, series.points.last()?, of)
    }

    /// Per second over the last day or, of a younger server, since the start.
    pub(crate) fn rate_day(&self, of: impl Fn(&Point) -> u64) -> Option<f64> {
        let series = self.day()?;
        rate(series.points.first()?, series.points.last()?, of)
    }

    /// By how many bytes a day the disk fills, which may be below zero, and over how many seconds that was seen.
    pub(crate) fn growth_per_day(&self) -> Option<(f64, u32)> {
        let newest = self.newest()?;
        let points = self.coarse.within(newest, GROWTH_MOST_S);
        let first = points.first()?;
        let seconds = newest.at_s.saturating_sub(first.at_s);
        if seconds < GROWTH_LEAST_S {
            return None;
        }
        let grown = newest.disk_bytes as f64 - first.disk_bytes as f64;
        Some((grown * f64::from(DAY_S) / f64::from(seconds), seconds))
    }
}

/// Per second between two points.
pub(crate) fn rate(from: &Point, to: &Point, of: impl Fn(&Point) -> u64) -> Option<f64> {
    let seconds = to.at_s.checked_sub(from.at_s).filter(|s| *s > 0)?;
    Some(of(to).saturating_sub(of(from)) as f64 / f64::from(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A history of a look every ten seconds up to `seconds`.
    fn seen(seconds: u32, each: impl Fn(u32) -> Point) -> History {
        let mut history = History::default();
        for at_s in (0..=seconds).step_by(10) {
            history.add(each(at_s));
        }
        history
    }

    fn steady(at_s: u32) -> Point {
        Point {
            at_s,
            lag_s: 1.0,
            events: u64::from(at_s) * 100,
            links: u64::from(at_s) * 80,
            disk_bytes: 1_000_000 + u64::from(at_s) * 7,
        }
    }

    #[test]
    fn the_rings_stay_as_large_as_they_are_and_rates_exact() {
        let history = seen(10 * DAY_S, steady);
        assert_eq!(history.fine.points.len(), FINE.1);
        assert_eq!(history.coarse.points.len(), COARSE.1);
        assert_eq!(history.rate_now(|p| p.events), Some(100.0));
        assert_eq!(history.rate_hour(|p| p.links), Some(80.0));
        assert_eq!(history.rate_day(|p| p.events), Some(100.0));
        assert_eq!(history.hour().unwrap().points.len(), 61);
        assert_eq!(history.day().unwrap().points.len(), 97);
        let (growth, over_s) = history.growth_per_day().unwrap();
        assert!((growth - 7.0 * 86_400.0).abs() < 1.0, "{growth}");
        assert_eq!(over_s, GROWTH_MOST_S);
    }

    #[test]
    fn a_young_server_tells_rates_since_its_start_and_no_growth() {
        let history = seen(0, steady);
        assert_eq!(history.rate_now(|p| p.events), None);
        assert_eq!(history.rate_hour(|p| p.events), None);
        let history = seen(90, steady);
        assert_eq!(history.rate_day(|p| p.events), Some(100.0));
        assert_eq!(history.growth_per_day(), None);
        let points = history.hour().unwrap().points;
        let at: Vec<u32> = points.iter().map(|point| point.at_s).collect();
        assert_eq!(at, [0, 60, 90]);
        assert!(seen(HOUR_S, steady).growth_per_day().is_some());
    }

    #[test]
    fn a_lag_between_two_points_is_not_forgotten() {
        let history = seen(120, |at_s| Point {
            lag_s: if at_s == 30 { 50.0 } else { 1.0 },
            ..steady(at_s)
        });
        let points = history.hour().unwrap().points;
        let lags: Vec<f32> = points.iter().map(|point| point.lag_s).collect();
        assert_eq!(lags, [1.0, 50.0, 1.0]);
        let unknown = seen(120, |at_s| Point {
            lag_s: f32::NAN,
            ..steady(at_s)
        });
        assert!(
            unknown
                .hour()
                .unwrap()
                .points
                .iter()
                .all(|point| point.lag_s.is_nan())
        );
    }
}
