//! Where a source goes on after a restart. A stored position is used only for the source it came from,
//! unless the operator says otherwise: the index would silently miss whatever lies between.

use orrery_jetstream::{source_name, without_secrets};

use crate::error::{Error, Result};
use crate::source::{Cursor, CursorKind};
use crate::validate::TIME_US_MIN;

/// How far a time goes back at a restart, in microseconds. Servers reorder events around the switch from
/// replay to live; the subscription goes back as far when it reconnects.
const REWIND_US: u64 = 5_000_000;

/// How far a time goes back on another server, in microseconds: as far as the clocks and the delays of two
/// servers can reasonably differ. What is known already is recognised, so that this costs time only.
const OTHER_SERVER_REWIND_US: u64 = 60_000_000;

/// How far a sequence number goes back at a restart. A server that crashed in the meantime can number its
/// last events anew, at most some thousands.
const REWIND_SEQ: u64 = 10_000;

/// Where to begin on `endpoint`, given what is stored and the time of the newest event in the index.
/// `None` is live.
///
/// # Errors
///
/// [`Error::OtherSource`] when the stored position is of another source, by [`source_name`], and `force` is not set.
///
/// ```
/// use orrery_ingest::{Cursor, CursorKind, resume_point};
///
/// let stored = Cursor { kind: CursorKind::JetstreamSeq, endpoint: "us-east".into(), value: 50_000 };
/// let cursor = resume_point(Some(&stored), None, "us-east", false)?;
/// assert_eq!(cursor, Some(orrery_jetstream::Cursor::Seq(40_000)));
/// assert!(resume_point(Some(&stored), None, "us-west", false).is_err());
/// # Ok::<(), orrery_ingest::Error>(())
/// ```
pub fn resume_point(
    stored: Option<&Cursor>,
    newest_time_us: Option<u64>,
    endpoint: &str,
    force: bool,
) -> Result<Option<orrery_jetstream::Cursor>> {
    let Some(stored) = stored else {
        return Ok(None);
    };
    // A key that is changed makes no other source. Older builds stored addresses with their keys.
    let is_same = source_name(&stored.endpoint) == source_name(endpoint);
    if !is_same && !force {
        let (stored, mut asked) = (without_secrets(&stored.endpoint), without_secrets(endpoint));
        if stored == asked {
            asked.push_str(" with something else in place of what is hidden");
        }
        return Err(Error::OtherSource { stored, asked });
    }
    let time = |value: u64, rewind_us: u64| {
        orrery_jetstream::Cursor::TimeUs(value.saturating_sub(rewind_us).max(TIME_US_MIN))
    };
    Ok(match (stored.kind, is_same) {
        (CursorKind::JetstreamTime, true) => Some(time(stored.value, REWIND_US)),
        (CursorKind::JetstreamTime, false) => Some(time(stored.value, OTHER_SERVER_REWIND_US)),
        (CursorKind::JetstreamSeq, true) => Some(orrery_jetstream::Cursor::Seq(
            stored.value.saturating_sub(REWIND_SEQ),
        )),
        // A number of one server means nothing on another, but the time of the last event does.
        (CursorKind::JetstreamSeq, false) => {
            newest_time_us.map(|newest| time(newest, OTHER_SERVER_REWIND_US))
        }
    })
}

#[cfg(test)]
mod tests {
    use orrery_jetstream::Cursor as Wire;

    use super::*;

    const TIME: u64 = 1_786_000_000_000_000;

    fn stored(kind: CursorKind, value: u64) -> Cursor {
        Cursor {
            kind,
            endpoint: "a".into(),
            value,
        }
    }

    #[test]
    fn an_empty_index_begins_live() {
        assert_eq!(resume_point(None, Some(TIME), "a", false).unwrap(), None);
    }

    #[test]
    fn the_same_source_goes_on_a_little_before_where_it_was() {
        let time = stored(CursorKind::JetstreamTime, TIME);
        assert_eq!(
            resume_point(Some(&time), None, "a", false).unwrap(),
            Some(Wire::TimeUs(TIME - REWIND_US))
        );
        let seq = stored(CursorKind::JetstreamSeq, 3);
        assert_eq!(
            resume_point(Some(&seq), None, "a", true).unwrap(),
            Some(Wire::Seq(0))
        );
    }

    #[test]
    fn another_source_is_refused_unless_forced() {
        for kind in [CursorKind::JetstreamTime, CursorKind::JetstreamSeq] {
            let cursor = stored(kind, TIME_US_MIN);
            let error = resume_point(Some(&cursor), Some(TIME), "b", false).unwrap_err();
            let text = error.to_string();
            assert!(
                text.contains("follows a, not b") && text.contains("--force-source"),
                "{text}"
            );
        }
    }

    #[test]
    fn another_key_is_no_other_source_and_no_key_is_told() {
        let mut cursor = stored(CursorKind::JetstreamTime, TIME);
        for known in [
            // As older builds stored it.
            "wss://a.example/subscribe?key=old-one",
            "wss://a.example/subscribe",
        ] {
            cursor.endpoint = known.into();
            for asked in [
                "wss://a.example/subscribe?key=new-one",
                "wss://a.example/subscribe",
            ] {
                let point = resume_point(Some(&cursor), None, asked, false).unwrap();
                assert_eq!(
                    point,
                    Some(Wire::TimeUs(TIME - REWIND_US)),
                    "{known} {asked}"
                );
            }
            for asked in [
                "wss://b:new-one@c.example",
                "wss://a.example/other?key=new-one",
            ] {
                let error = resume_point(Some(&cursor), None, asked, false).unwrap_err();
                let text = error.to_string();
                assert!(!text.contains("-one"), "{text}");
            }
        }
    }

    #[test]
    fn what_may_be_another_source_at_the_same_server_is_one_until_it_is_forced() {
        let mut cursor = stored(CursorKind::JetstreamSeq, 50_000);
        for [known, asked] in [
            ["subscribe?of=east-one", "subscribe?of=west-one"],
            ["4f9a1c77b02e4d5a-one/s", "5f9a1c77b02e4d5a-one/s"],
        ]
        .map(|paths| paths.map(|path| format!("wss://a.example/{path}")))
        {
            for stored in [known.clone(), source_name(&known)] {
                cursor.endpoint = stored.into();
                let point = resume_point(Some(&cursor), Some(TIME), &known, false);
                assert_eq!(point.unwrap(), Some(Wire::Seq(40_000)));
                let error = resume_point(Some(&cursor), Some(TIME), &asked, false).unwrap_err();
                let text = error.to_string();
                assert!(
                    text.contains("in place of what is hidden") && !text.contains("-one"),
                    "{text}"
                );
                // The numbers of the other one mean nothing there.
                let point = resume_point(Some(&cursor), Some(TIME), &asked, true);
                let time = TIME - OTHER_SERVER_REWIND_US;
                assert_eq!(point.unwrap(), Some(Wire::TimeUs(time)));
            }
        }
    }

    #[test]
    fn a_forced_change_of_server_goes_on_from_about_the_same_time() {
        let time = stored(CursorKind::JetstreamTime, TIME);
        let wanted = Some(Wire::TimeUs(TIME - OTHER_SERVER_REWIND_US));
        assert_eq!(resume_point(Some(&time), None, "b", true).unwrap(), wanted);
        let seq = stored(CursorKind::JetstreamSeq, 7);
        assert_eq!(
            resume_point(Some(&seq), Some(TIME), "b", true).unwrap(),
            wanted
        );
        assert_eq!(resume_point(Some(&seq), None, "b", true).unwrap(), None);
    }

    #[test]
    fn a_time_never_goes_back_beyond_what_servers_take_for_one() {
        let time = stored(CursorKind::JetstreamTime, TIME_US_MIN + 1);
        assert_eq!(
            resume_point(Some(&time), None, "a", false).unwrap(),
            Some(Wire::TimeUs(TIME_US_MIN))
        );
    }
}
