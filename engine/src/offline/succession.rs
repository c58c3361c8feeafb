//! Whether a backup is of this directory's own past. Two directories that were restored from one backup have one
//! identity and go on apart: a backup of the one in the place of a backup of the other would remove what only that has.
//!
//! Told by what the backup's catalog names: segments of one id must be one, and the last event of the backup that was
//! durable for sure must be the directory's event of that seq, where its log still reaches back to it.

use std::path::Path;
use std::sync::Arc;

use orrery_formats::backup::Catalog;
use orrery_formats::event::Event;

use super::Directory;
use super::links::Span;
use crate::io::Fs;
use crate::log::{FrameBuffer, LogReader, parse_name};
use crate::store::LOG;
use crate::{Error, Result};

/// Refuses to go on from the backup in `to` with what `source` holds.
///
/// # Errors
/// [`Error::Inconsistent`] where the backup has what the directory never had; [`Error::Io`].
pub(super) fn refuse_other_history(
    fs: &Arc<dyn Fs>,
    to: &Path,
    before: &Catalog,
    source: &Directory,
) -> Result<()> {
    let (then, now) = (&before.state, source.state());
    let refuse = |why: String| {
        Err(Error::Inconsistent {
            path: to.to_owned(),
            what: format!(
                "it holds a backup of another history of this directory: {why}. A directory that was restored from a \
                 backup, and the one that was backed up, need places of their own; name another place"
            ),
        })
    };
    if now.sealed_through < then.sealed_through {
        return refuse(format!(
            "its segments reach to seq {}, and those of the directory to {}",
            then.sealed_through, now.sealed_through
        ));
    }
    for entry in &then.segments {
        let mut known = now.segments.iter().filter(|known| known.id == entry.id);
        if let Some(known) = known.find(|known| {
            (known.first_seq, known.last_seq, known.checksum)
                != (entry.first_seq, entry.last_seq, entry.checksum)
        }) {
            return refuse(format!(
                "its segment {} has seq {} to {}, and that of the directory has other events, seq {} to {}",
                entry.id, entry.first_seq, entry.last_seq, known.first_seq, known.last_seq
            ));
        }
    }
    let mut differs = None;
    with_durable_event(fs, to, before, &mut |seq, event| {
        let span = Span {
            from_seq: seq,
            to_seq: seq,
            ..Span::ALL
        };
        let (mut found, mut is_damaged) = (false, false);
        source.each_event::<Error>(&span, &mut |_| is_damaged = true, &mut |_, known| {
            found = true;
            if known != event {
                differs = Some(format!("its event {seq} is another"));
            }
            Ok(())
        })?;
        // What stood in a damaged frame is not known.
        if !found && !is_damaged && seq > now.sealed_through {
            differs = Some(format!("it has an event {seq}, and the directory has none"));
        }
        Ok(())
    })?;
    differs.map_or(Ok(()), refuse)
}

/// Calls `each` with the last event of the last frame but one in the backup's log, if it has one that can be read:
/// only the last frame may have been copied before it was durable.
fn with_durable_event(
    fs: &Arc<dyn Fs>,
    to: &Path,
    before: &Catalog,
    each: &mut dyn FnMut(u64, &Event<'_>) -> Result<()>,
) -> Result<()> {
    let mut buffer = FrameBuffer::new();
    let mut is_last = true;
    let logs = before.files.iter().rev().filter_map(|file| {
        let name = file.name.strip_prefix("log/")?;
        parse_name(name, "log").map(|_| (name, file.bytes))
    });
    for (name, bytes) in logs {
        let path = to.join(LOG).join(name);
        let id = before.state.directory.id;
        let Ok((mut reader, _)) = LogReader::open_damaged(&**fs, &path, id) else {
            return Ok(());
        };
        let (mut last, mut last_but_one) = (None, None);
        while reader.offset() < bytes {
            let offset = reader.offset();
            if reader.read_head(offset, &mut buffer).is_err() {
                // What is damaged tells nothing.
                break;
            }
            let Some(header) = buffer.header() else { break };
            let next = offset.saturating_add(header.frame_bytes());
            last_but_one = last.replace(offset);
            reader.seek(next);
        }
        let meant = if is_last { last_but_one } else { last };
        is_last &= last.is_none();
        let Some(offset) = meant else { continue };
        if reader.read_frame(offset, &mut buffer, true).is_err() {
            return Ok(());
        }
        return match buffer.events().into_iter().flatten().last() {
            Some(Ok((seq, event))) => each(seq, &event),
            _ => Ok(()),
        };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::fault::{SimFs, SplitMix};
    use crate::offline::{backup_with_fs, restore_with_fs};
    use crate::power_cut_tests::{apply, script};
    use crate::{Options, Store};

    /// Goes on in `dir` from step `from`, in frames of one event; seals where that is asked for.
    fn go(fs: &SimFs, dir: &str, from: u64, steps: u64, seed: u64, seals: bool) {
        let options = Options {
            compact: false,
            ..Options::default()
        };
        let store = Store::open_with_fs(fs.shared(), dir, options).unwrap();
        let mut writer = store.writer().unwrap();
        let script = script(&mut SplitMix::new(seed));
        for place in from + 1..=from + steps {
            apply(&mut writer, place, script[place as usize - 1]).unwrap();
            writer.commit().unwrap();
        }
        if seals {
            writer.seal().unwrap();
        }
    }

    #[test]
    fn a_directory_that_went_on_from_a_restored_backup_needs_a_place_of_its_own() {
        let to = Path::new("to");
        for seals in [false, true] {
            for tail in [0, 5] {
                let fs = SimFs::new();
                let backup = |dir: &str| backup_with_fs(&fs.shared(), Path::new(dir), to, false);
                go(&fs, "a", 0, 10, 1, true);
                go(&fs, "a", 10, tail, 1, false);
                backup("a").unwrap();
                restore_with_fs(&fs.shared(), to, Path::new("b")).unwrap();
                // As long as nothing came since, both are one.
                backup("b").unwrap();
                go(&fs, "a", 10 + tail, 10, 1, seals);
                go(&fs, "b", 10 + tail, 12, 2, seals);
                backup("a").unwrap();
                let before = fs.paths();
                let error = backup("b").unwrap_err().to_string();
                assert!(error.contains("another history"), "{error}");
                assert_eq!(fs.paths(), before);
                go(&fs, "a", 20 + tail, 10, 1, !seals);
                backup("a").unwrap();
                backup_with_fs(&fs.shared(), Path::new("b"), Path::new("other"), false).unwrap();
            }
        }
    }

    #[test]
    fn a_damaged_frame_of_the_running_log_is_no_other_history() {
        let (fs, to) = (SimFs::new(), Path::new("to"));
        go(&fs, "a", 0, 10, 1, true);
        go(&fs, "a", 10, 5, 1, false);
        backup_with_fs(&fs.shared(), Path::new("a"), to, false).unwrap();
        let log = fs.paths().into_iter().filter(|path| {
            path.starts_with("a/log") && path.extension().is_some_and(|is| is == "log")
        });
        let log = log.max().unwrap();
        let sound = fs.contents(&log).unwrap();
        // Every frame, one after the other: one of them is that of the event that is looked for.
        for at in (60..sound.len()).step_by(40) {
            let mut bytes = sound.clone();
            bytes[at] ^= 0x55;
            fs.put(&log, &bytes);
            if let Err(error) = backup_with_fs(&fs.shared(), Path::new("a"), to, false) {
                let error = error.to_string();
                assert!(!error.contains("another history"), "byte {at}: {error}");
            }
        }
    }
}
