use super::*;

const NOW: u64 = 1_786_000_000_000_000;

fn resume(start: Option<Cursor>) -> Resume {
    Resume::new(start, Duration::from_secs(5), 10_000)
}

fn time(time_us: u64) -> Position {
    Position {
        time_us: Some(time_us),
        seq: None,
    }
}

fn both(time_us: u64, seq: u64) -> Position {
    Position {
        time_us: Some(time_us),
        seq: Some(seq),
    }
}

fn cursor(resume: &Resume, endpoint: usize) -> Option<Cursor> {
    resume.plan(endpoint).cursor
}

#[test]
fn live_without_an_event_resumes_at_the_first_opening() {
    let mut resume = resume(None);
    assert_eq!(cursor(&resume, 0), None);
    resume.opened(NOW);
    assert!(!resume.closed(false, false));
    assert_eq!(cursor(&resume, 0), Some(Cursor::TimeUs(NOW - 5_000_000)));
    resume.opened(NOW + 60_000_000);
    resume.closed(false, false);
    assert_eq!(cursor(&resume, 0), Some(Cursor::TimeUs(NOW - 5_000_000)));
}

#[test]
fn a_start_cursor_is_sent_unchanged_until_an_event_came() {
    for start in [Cursor::Seq(77), Cursor::TimeUs(NOW)] {
        let mut resume = resume(Some(start));
        resume.opened(NOW);
        resume.closed(false, false);
        assert_eq!(cursor(&resume, 0), Some(start));
    }
}

#[test]
fn time_resumes_from_the_largest_less_the_rewind_but_not_before_the_start() {
    let mut resume = resume(Some(Cursor::TimeUs(NOW)));
    resume.opened(NOW);
    resume.handed_over(0, time(NOW), NOW);
    resume.handed_over(0, time(NOW + 60_000_000), NOW + 60_000_000);
    resume.handed_over(0, time(NOW + 50_000_000), NOW + 60_000_000);
    assert!(resume.closed(false, false));
    assert_eq!(cursor(&resume, 0), Some(Cursor::TimeUs(NOW + 55_000_000)));

    let mut resume = self::resume(Some(Cursor::TimeUs(NOW)));
    resume.opened(NOW);
    resume.handed_over(0, time(NOW + 1), NOW);
    resume.closed(false, false);
    assert_eq!(cursor(&resume, 0), Some(Cursor::TimeUs(NOW)));
}

#[test]
fn a_sequence_is_resumed_exactly_after_an_orderly_end_and_earlier_after_a_cut() {
    let mut resume = resume(Some(Cursor::Seq(1000)));
    resume.opened(NOW);
    resume.handed_over(0, both(NOW, 1000), NOW);
    resume.handed_over(0, both(NOW, 50_000), NOW);
    resume.closed(true, false);
    assert_eq!(cursor(&resume, 0), Some(Cursor::Seq(50_000)));
    resume.opened(NOW);
    resume.handed_over(0, both(NOW, 90_000), NOW);
    resume.closed(false, false);
    assert_eq!(cursor(&resume, 0), Some(Cursor::Seq(80_000)));
}

#[test]
fn going_back_never_eats_what_a_short_connection_gained() {
    let mut resume = resume(Some(Cursor::Seq(0)));
    let mut newest = 100_000;
    resume.opened(NOW);
    resume.handed_over(0, both(NOW, newest), NOW);
    resume.closed(false, false);
    for _ in 0..300 {
        // Every connection carries 100 events beyond where it began, then is cut.
        let Some(Cursor::Seq(start)) = cursor(&resume, 0) else {
            panic!("seq")
        };
        resume.opened(NOW);
        newest = newest.max(start + 100);
        resume.handed_over(0, both(NOW, start + 100), NOW);
        resume.closed(false, false);
    }
    assert!(newest > 100_000, "{newest}");
}

#[test]
fn another_endpoint_gets_a_time() {
    let mut resume = resume(Some(Cursor::Seq(5)));
    assert!(!resume.is_portable());
    resume.opened(NOW);
    resume.handed_over(0, both(NOW - 60_000_000, 8), NOW);
    resume.handed_over(0, both(NOW, 9), NOW);
    resume.closed(true, false);
    assert!(resume.is_portable());
    assert_eq!(cursor(&resume, 0), Some(Cursor::Seq(9)));
    assert_eq!(cursor(&resume, 1), Some(Cursor::TimeUs(NOW - 5_000_000)));
}

#[test]
fn an_event_without_a_sequence_forgets_the_older_one() {
    let mut resume = resume(None);
    resume.opened(NOW);
    resume.handed_over(0, both(NOW, 9), NOW);
    resume.handed_over(0, time(NOW + 10_000_000), NOW);
    resume.closed(true, false);
    assert!(matches!(cursor(&resume, 0), Some(Cursor::TimeUs(_))));
}

#[test]
fn a_time_far_ahead_is_not_believed() {
    let mut resume = resume(Some(Cursor::TimeUs(NOW)));
    resume.opened(NOW);
    resume.handed_over(0, time(NOW + 1_000_000), NOW);
    resume.handed_over(0, time(NOW + 9_000_000), NOW);
    resume.handed_over(0, time(u64::MAX), NOW);
    resume.handed_over(0, time(NOW + AHEAD_US_MAX + 1), NOW);
    resume.closed(false, false);
    assert_eq!(cursor(&resume, 0), Some(Cursor::TimeUs(NOW + 4_000_000)));
}

#[test]
fn a_poison_message_is_first_filtered_then_stepped_over() {
    let mut resume = resume(Some(Cursor::Seq(0)));
    resume.opened(NOW);
    resume.handed_over(0, both(NOW, 40), NOW);
    resume.closed(false, true);
    assert_eq!(
        resume.plan(0),
        Plan {
            cursor: Some(Cursor::Seq(40)),
            limit_size: true,
            skips: false
        }
    );
    for expected in [42, 43, 45, 49] {
        resume.opened(NOW);
        resume.closed(false, true);
        assert_eq!(
            resume.plan(0),
            Plan {
                cursor: Some(Cursor::Seq(expected)),
                limit_size: true,
                skips: true
            }
        );
    }
    resume.opened(NOW);
    resume.handed_over(0, both(NOW, 50), NOW);
    assert!(resume.closed(true, false));
    assert_eq!(
        resume.plan(0),
        Plan {
            cursor: Some(Cursor::Seq(50)),
            limit_size: false,
            skips: false
        }
    );
}

#[test]
fn poison_at_the_very_start_is_stepped_over_too() {
    for (start, second) in [(Cursor::Seq(7), 8), (Cursor::TimeUs(NOW), NOW + 1000)] {
        let mut resume = resume(Some(start));
        for _ in 0..2 {
            resume.opened(NOW);
            resume.closed(false, true);
        }
        assert_eq!(cursor(&resume, 0).map(Cursor::value), Some(second));
    }
}

#[test]
fn endless_poison_never_overflows_or_changes_kind() {
    for start in [Cursor::Seq(7), Cursor::TimeUs(NOW)] {
        let mut resume = resume(Some(start));
        for _ in 0..200 {
            resume.opened(NOW);
            resume.closed(false, true);
            let next = cursor(&resume, 0).unwrap();
            assert!(next.is_representable());
            assert_eq!(
                matches!(next, Cursor::Seq(_)),
                matches!(start, Cursor::Seq(_))
            );
        }
    }
}

#[test]
fn a_server_that_cuts_after_a_second_still_makes_headway_by_time() {
    let mut resume = resume(Some(Cursor::TimeUs(NOW)));
    for _ in 0..100 {
        let Some(Cursor::TimeUs(start)) = cursor(&resume, 0) else {
            panic!("time")
        };
        resume.opened(NOW);
        resume.handed_over(0, time(start), u64::MAX);
        resume.handed_over(0, time(start + 1_000_000), u64::MAX);
        resume.closed(false, false);
    }
    let reached = resume.newest().time_us.unwrap();
    assert!(reached >= NOW + 40_000_000, "{}", reached - NOW);
}
