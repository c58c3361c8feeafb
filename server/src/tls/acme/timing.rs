//! When a certificate is renewed, and when what failed is tried again.

use std::time::{Duration, SystemTime};

/// The longest pause between attempts.
const PAUSE_MAX: Duration = Duration::from_secs(6 * 3600);

/// When a certificate is renewed: when a third of its time is left, however long that is. For those that hold 90 days it is a month,
/// for those that hold six days two. Nothing is added at random: it depends on when the first one was asked for.
pub(super) fn renewal(begins: SystemTime, ends: SystemTime) -> SystemTime {
    let whole = ends.duration_since(begins).unwrap_or_default();
    ends - whole / 3
}

/// How long to wait after so many attempts that failed: four times as long each time. With a first pause of a minute there are four
/// attempts within an hour; public authorities allow five that fail.
pub(super) fn pause(first: Duration, failures: u32) -> Duration {
    let times = 4_u32.saturating_pow(failures.saturating_sub(1));
    first.saturating_mul(times).min(PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn a_third_of_the_time_is_left_at_the_renewal() {
        let begins = SystemTime::UNIX_EPOCH + 20_000 * DAY;
        for (days, wanted) in [(90, 60), (45, 30), (6, 4)] {
            assert_eq!(renewal(begins, begins + days * DAY), begins + wanted * DAY);
        }
        // One that ends before it begins is renewed at once.
        assert_eq!(renewal(begins + DAY, begins), begins);
    }

    #[test]
    fn pauses_grow_up_to_hours_and_four_attempts_fit_into_the_first() {
        let pauses: Vec<u64> = (1..8).map(|n| pause(MINUTE, n).as_secs() / 60).collect();
        assert_eq!(pauses, [1, 4, 16, 64, 256, 360, 360]);
        assert_eq!(pause(MINUTE, u32::MAX), PAUSE_MAX);
        let mut at = Duration::ZERO;
        let attempts = (1..).take_while(|n| {
            at += pause(MINUTE, *n);
            at < Duration::from_secs(3600)
        });
        assert_eq!(1 + attempts.count(), 4);
    }
}
