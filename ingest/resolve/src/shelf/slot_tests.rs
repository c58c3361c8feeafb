use super::*;

const HOUR: u64 = 3600;
const AGES: Ages = Ages {
    refresh_after: 4 * HOUR,
    stale_most: 168 * HOUR,
    negative: 60,
    failure_pause: 3,
    refresh_pause: 10,
    refresh_pause_most: HOUR,
    doubtful_pause_most: 30,
    started_us: 1000 * HOUR,
};
const NOW: u64 = 2000 * HOUR;

fn down() -> ResolveError {
    ResolveError::Technical {
        name: "x".to_owned(),
        problem: "down".to_owned(),
    }
}

fn known(age: u64, doubtful: bool, trouble: Option<(u32, u64)>) -> Slot<u8> {
    Slot::Known(Known {
        value: 7,
        confirmed_us: NOW - age,
        doubtful,
        trouble: trouble.map(|(failures, ago)| Trouble {
            error: down(),
            failures,
            failed_us: NOW - ago,
        }),
    })
}

#[test]
fn a_value_is_judged_by_age_doubt_and_trouble() {
    let fail = || Verdict::Fail(down());
    for (age, doubtful, trouble, verdict) in [
        (0, false, None, Verdict::Serve(7)),
        (4 * HOUR - 1, false, None, Verdict::Serve(7)),
        (4 * HOUR, false, None, Verdict::ServeAndRefresh(7)),
        (168 * HOUR - 1, false, None, Verdict::ServeAndRefresh(7)),
        (168 * HOUR, false, None, Verdict::Ask),
        (0, true, None, Verdict::Ask),
        // The first failure rests the source for 10, the second for 20, and so on to an hour.
        (4 * HOUR, false, Some((1, 9)), Verdict::Serve(7)),
        (4 * HOUR, false, Some((1, 10)), Verdict::ServeAndRefresh(7)),
        (4 * HOUR, false, Some((2, 19)), Verdict::Serve(7)),
        (4 * HOUR, false, Some((2, 20)), Verdict::ServeAndRefresh(7)),
        (
            4 * HOUR,
            false,
            Some((u32::MAX, HOUR - 1)),
            Verdict::Serve(7),
        ),
        (
            4 * HOUR,
            false,
            Some((u32::MAX, HOUR)),
            Verdict::ServeAndRefresh(7),
        ),
        // Where somebody has to wait for the answer, no longer than 30.
        (0, true, Some((1, 9)), Verdict::Serve(7)),
        (0, true, Some((1, 10)), Verdict::Ask),
        (0, true, Some((20, 29)), Verdict::Serve(7)),
        (0, true, Some((20, 30)), Verdict::Ask),
        (168 * HOUR, false, Some((20, 29)), fail()),
        (168 * HOUR, true, Some((20, 29)), fail()),
        (168 * HOUR, false, Some((20, 30)), Verdict::Ask),
    ] {
        let slot = known(age, doubtful, trouble);
        assert_eq!(slot.judge(NOW, &AGES), verdict, "{slot:?}");
    }
}

#[test]
fn a_value_of_an_earlier_process_is_refreshed_however_young() {
    let ages = Ages {
        started_us: NOW - 5,
        ..AGES
    };
    assert_eq!(known(5, false, None).judge(NOW, &ages), Verdict::Serve(7));
    assert_eq!(
        known(6, false, None).judge(NOW, &ages),
        Verdict::ServeAndRefresh(7)
    );
}

#[test]
fn an_absence_holds_until_its_time() {
    let slot = Slot::<u8>::Absent {
        error: down(),
        until_us: NOW,
    };
    assert_eq!(slot.judge(NOW - 1, &AGES), Verdict::Fail(down()));
    assert_eq!(slot.judge(NOW, &AGES), Verdict::Ask);
}

#[test]
fn failures_add_up_and_leave_the_value_as_it_was() {
    let Slot::Known(mut value) = known(4 * HOUR, true, None) else {
        panic!("not known");
    };
    for failures in 1..=3 {
        value = value.after_failure(down(), NOW + u64::from(failures));
        let trouble = value.trouble.as_ref().expect("trouble");
        assert_eq!(trouble.failures, failures);
        assert_eq!(trouble.failed_us, NOW + u64::from(failures));
    }
    assert_eq!(
        (value.value, value.confirmed_us, value.doubtful),
        (7, NOW - 4 * HOUR, true)
    );
}
