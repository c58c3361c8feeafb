//! From when on a directory has everything that its selection takes. Selections follow each other: what the present
//! one takes is whole as far back as those before it took all of that too. Nothing is claimed of other collections,
//! though the directory may hold records of them.

use std::time::{SystemTime, UNIX_EPOCH};

use orrery_engine::{Error, SelectionEntry, Writer};

use crate::select::Selection;
use crate::source::CursorKind;

/// What a directory has whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whole {
    /// The present selection.
    pub selection: Selection,
    /// Event time, microseconds since 1970, from which on all of it is there; 0: from the first event on.
    pub since_us: u64,
}

impl Whole {
    /// What follows from the selections of a directory, oldest first; `None` where none is known.
    pub fn of(history: &[SelectionEntry]) -> Option<Self> {
        let mut entries = history.iter().rev();
        let present = entries.next()?;
        let selection = selection_of(present)?;
        let mut since_us = present.since_us;
        for entry in entries {
            if !selection_of(entry).is_some_and(|before| before.covers(&selection)) {
                break;
            }
            since_us = entry.since_us;
        }
        Some(Self {
            selection,
            since_us,
        })
    }
}

/// One that says nothing covers nothing, and neither does one that another version wrote with patterns that are none
/// here.
fn selection_of(entry: &SelectionEntry) -> Option<Selection> {
    if entry.is_unknown() {
        return None;
    }
    Selection::new(&entry.only, &entry.except).ok()
}

fn entry(selection: &Selection, since_us: u64) -> SelectionEntry {
    SelectionEntry {
        first_seq: 0,
        since_us,
        only: selection.only(),
        except: selection.except(),
    }
}

/// Notes that `selection` is taken from here on out of the followed source.
///
/// Without a stored position the source is followed from its present on, so that between the events of files and the
/// first of the source anything may be missing.
///
/// # Errors
///
/// When the directory cannot be written.
pub(crate) fn begin_following(writer: &mut Writer, selection: &Selection) -> Result<(), Error> {
    if writer.durable_cursor().is_none() && writer.snapshot().last_seq() > 0 {
        let since_us = taken_through_us(writer).max(now_us());
        return begin_at(writer, selection, since_us);
    }
    begin(writer, selection)
}

/// Notes that the followed source lacks what happened before `since_us`: `selection` is whole from then on only.
///
/// # Errors
///
/// When the directory cannot be written.
pub(crate) fn begin_anew(
    writer: &mut Writer,
    selection: &Selection,
    since_us: u64,
) -> Result<(), Error> {
    let whole = Whole::of(writer.selections());
    if whole.is_some_and(|whole| whole.since_us >= since_us) {
        return Ok(());
    }
    begin_at(writer, selection, since_us)
}

/// Notes that `selection` is taken out of files.
///
/// Where a source is followed, files only add to what comes from there: between their events and those of the source
/// anything may be missing, so that older ones must not make it look whole for longer than it is.
///
/// # Errors
///
/// When the directory cannot be written.
pub fn begin_loading(writer: &mut Writer, selection: &Selection) -> Result<(), Error> {
    let whole = Whole::of(writer.selections());
    let is_followed = writer.durable_cursor().is_some();
    match whole {
        Some(whole) if is_followed => {
            let first_us = writer.snapshot().coverage_from_us();
            let since_us = first_us.unwrap_or_else(|| taken_through_us(writer));
            if since_us <= whole.since_us {
                // No file can move it back.
                return Ok(());
            }
            begin_at(writer, &whole.selection, since_us)
        }
        // What came from the source before is not known, and stays so.
        None if is_followed => Ok(()),
        _ => begin(writer, selection),
    }
}

/// Notes `selection` where it is another than the last.
fn begin(writer: &mut Writer, selection: &Selection) -> Result<(), Error> {
    let present = writer.selections().last().and_then(selection_of);
    if present.as_ref() == Some(selection) {
        return Ok(());
    }
    let since_us = taken_through_us(writer);
    writer.begin_selections(vec![entry(selection, since_us)])
}

/// Notes `selection` as whole from `since_us` on and no earlier, whatever was selected before.
fn begin_at(writer: &mut Writer, selection: &Selection, since_us: u64) -> Result<(), Error> {
    // `begin_selections` sets the seq.
    let unknown = SelectionEntry::unknown(0);
    writer.begin_selections(vec![unknown, entry(selection, since_us)])
}

/// Up to which event time the source was read at most, whether or not its events were taken.
fn taken_through_us(writer: &Writer) -> u64 {
    let newest = writer.snapshot().indexed_through_us().unwrap_or(0);
    let position = match writer.durable_cursor() {
        None => 0,
        Some(cursor) if cursor.kind == CursorKind::JetstreamTime as u8 => cursor.value,
        // A number says nothing of the time, but it is of the past.
        Some(_) => now_us(),
    };
    newest.max(position)
}

fn now_us() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(u64::MAX, |now| {
        u64::try_from(now.as_micros()).unwrap_or(u64::MAX)
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use orrery_engine::{Options, Store};

    use super::*;
    use crate::{Cursor, FileSource, Pipeline, pump};

    fn whole(history: &[(&[&str], &[&str], u64)]) -> Option<(String, u64)> {
        let entries: Vec<SelectionEntry> = history
            .iter()
            .map(|(only, except, since_us)| SelectionEntry {
                first_seq: 1,
                since_us: *since_us,
                only: only.iter().map(|text| (*text).to_owned()).collect(),
                except: except.iter().map(|text| (*text).to_owned()).collect(),
            })
            .collect();
        Whole::of(&entries).map(|whole| (whole.selection.to_string(), whole.since_us))
    }

    const FIRST: u64 = 1_786_000_000_000_000;
    const HOUR: u64 = 3_600_000_000;

    /// Takes an event of `time_us` out of a file.
    fn load(writer: &mut Writer, file: &Path, selection: &Selection, time_us: u64) {
        let account = r#""did":"did:plc:aaaaaaaaaaaaaaaaaaaaaaaa""#;
        let line = format!(
            r#"{{{account},"time_us":{time_us},"kind":"identity","identity":{{{account},"seq":{time_us},"time":"t"}}}}"#
        );
        std::fs::write(file, line).unwrap();
        begin_loading(writer, selection).unwrap();
        let mut source = FileSource::open(file).unwrap();
        let tally = pump(&mut source, writer, Pipeline::default()).unwrap();
        assert_eq!(tally.events, 1, "{tally:?}");
    }

    /// From when on answers tell that all is there.
    fn told(writer: &Writer) -> u64 {
        let whole = Whole::of(writer.selections()).unwrap();
        let first_us = writer.snapshot().coverage_from_us().unwrap();
        first_us.max(whole.since_us)
    }

    #[test]
    fn a_directory_of_files_that_is_followed_is_whole_from_there_on() {
        let likes = Selection::new(&["app.bsky.feed.like"], &[] as &[&str]).unwrap();
        for followed in [Selection::default(), likes] {
            let dir = tempfile::tempdir().unwrap();
            let store = Store::open(dir.path().join("data"), Options::default()).unwrap();
            let mut writer = store.writer().unwrap();
            let file = dir.path().join("file");
            load(&mut writer, &file, &Selection::default(), FIRST);
            assert_eq!(told(&writer), FIRST);
            let before = now_us();
            begin_following(&mut writer, &followed).unwrap();
            assert!(told(&writer) >= before, "{:?}", writer.selections());
        }
    }

    #[test]
    fn an_old_file_does_not_move_back_what_is_followed() {
        let likes = Selection::new(&["app.bsky.feed.like"], &[] as &[&str]).unwrap();
        for of_file in [Selection::default(), likes] {
            let dir = tempfile::tempdir().unwrap();
            let store = Store::open(dir.path().join("data"), Options::default()).unwrap();
            let mut writer = store.writer().unwrap();
            let file = dir.path().join("file");
            begin_following(&mut writer, &Selection::default()).unwrap();
            load(&mut writer, &file, &Selection::default(), FIRST);
            let kind = CursorKind::JetstreamTime;
            let (endpoint, value) = ("a".into(), FIRST);
            let cursor = Cursor {
                kind,
                endpoint,
                value,
            };
            writer.set_cursor((&cursor).into());
            writer.commit().unwrap();
            for hours in 1..3 {
                load(&mut writer, &file, &of_file, FIRST - hours * HOUR);
                assert_eq!(told(&writer), FIRST, "{:?}", writer.selections());
            }
            assert_eq!(writer.selections().len(), 3, "nothing is noted twice");
            // What was followed goes on as it was.
            begin_following(&mut writer, &Selection::default()).unwrap();
            assert_eq!(told(&writer), FIRST);
        }
    }

    #[test]
    fn the_present_selection_is_whole_as_far_back_as_those_before_took_all_of_it() {
        const LIKES: &[&str] = &["app.bsky.feed.like"];
        const BSKY: &[&str] = &["app.bsky.*"];
        for (history, since_us) in [
            (&[(LIKES, &[] as &[&str], 0)][..], 0),
            (&[(LIKES, &[], 0), (&[], &[], 7)], 7),
            (&[(&[], &[], 0), (LIKES, &[], 7)], 0),
            (&[(&[], &[], 0), (&[], LIKES, 7), (LIKES, &[], 9)], 9),
            (&[(LIKES, &[], 0), (BSKY, &[], 7), (LIKES, &[], 9)], 0),
            (&[(LIKES, &[], 0), (&[], BSKY, 7), (BSKY, &[], 9)], 9),
            // Files with less than what is followed, at the end.
            (&[(BSKY, &[], 0), (LIKES, &[], 5), (BSKY, &[], 5)], 5),
            // A selection that cannot be read is one that takes nothing.
            (&[(&["?"], &[], 0), (LIKES, &[], 7)], 7),
            // Nor is anything known before one that says so.
            (&[(&[], &[], 0), (&[], &["*"], 0), (LIKES, &[], 7)], 7),
        ] {
            let found = whole(history).unwrap();
            assert_eq!(found.1, since_us, "{history:?}");
        }
        assert_eq!(whole(&[]), None);
        assert_eq!(whole(&[(&["?"], &[], 0)]), None);
        assert_eq!(whole(&[(&[], &[], 0), (&[], &["*"], 0)]), None);
    }
}
