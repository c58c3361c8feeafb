//! The cache: each file of values by its entries, then its index against them. All of it is derived: what is missing
//! is no damage, and neither is the torn end of a file that was not closed.

use std::collections::{BTreeSet, HashMap};

use orrery_formats::cache::index::{self, CacheIndex};
use orrery_formats::cache::{FILE_HEADER_BYTES, FileHeader, Place};
use orrery_formats::envelope::FileKind;
use orrery_formats::manifest::State;

use super::Check;
use crate::cache::{index_name, parse_name, scan};
use crate::io::fs::read_exact_at;
use crate::offline::directory::{found, is_not_found};
use crate::store::CACHE;
use crate::{Error, Result};

/// What a file of values turned out to hold.
struct Values {
    end: u64,
    last_checksum: u64,
    places: HashMap<u64, Place>,
}

impl Check<'_> {
    pub(super) fn cache(&mut self, state: Option<&State>) -> Result<()> {
        let files = found(&*self.fs, &self.path.join(CACHE), |_| Some(0))?;
        let names: BTreeSet<String> = files.iter().map(|file| file.name.clone()).collect();
        for file in &files {
            let name = format!("{CACHE}/{}", file.name);
            match parse_name(&file.name) {
                Some((number, true)) => {
                    let is_closed = names.contains(&index_name(number));
                    let values = self.values(&name, number, file.bytes, is_closed, state);
                    if let (Some(values), true) = (values, is_closed) {
                        self.cache_index(number, &values, state);
                    }
                }
                Some((number, false)) => {
                    if !names.contains(&crate::cache::values_name(number)) {
                        self.note(format!("{name}: its file of values is not there"));
                    }
                }
                None => self.note(format!("{name}: nothing names this file")),
            }
        }
        Ok(())
    }

    /// Reads a file of values. `None` where it cannot be read to its end, and is not to be compared with an index.
    fn values(
        &mut self,
        name: &str,
        number: u64,
        bytes: u64,
        is_closed: bool,
        state: Option<&State>,
    ) -> Option<Values> {
        let path = self.path.join(name);
        let file = match self.fs.open(&path).map_err(Error::io("open", &path)) {
            Ok(file) => file,
            // A running store has removed it meanwhile.
            Err(error) if is_not_found(&error) => return None,
            Err(error) => {
                self.error(name, error);
                return None;
            }
        };
        self.read(bytes);
        let mut start = [0; FILE_HEADER_BYTES];
        let header = read_exact_at(&*file, 0, &mut start).map_err(Error::io("read", &path));
        let header = header.and_then(|is_whole| match is_whole {
            // A power cut leaves zeros of what was never written to the disk.
            true if is_closed || start != [0; FILE_HEADER_BYTES] => {
                Ok(Some(FileHeader::decode(&start)?))
            }
            _ => Ok(None),
        });
        let header = match header {
            Ok(Some(header)) => header,
            Ok(None) if !is_closed => {
                self.note(format!("{name}: it has no header yet"));
                return None;
            }
            Ok(None) => {
                self.damage(name, "cache file header", 0, "a header", "a shorter file");
                return None;
            }
            Err(error) => {
                self.error(name, error);
                return None;
            }
        };
        let of = state.map(|state| state.directory.id);
        if header.number != number || of.is_some_and(|id| header.directory_id != id) {
            self.note(format!(
                "{name}: it is of another data directory, or has another number; the next start removes it"
            ));
            return None;
        }
        let hasher = state.map(|state| crate::cache::Hasher::new(&state.directory.secret));
        let mut values = Values {
            end: 0,
            last_checksum: header.seed(),
            places: HashMap::new(),
        };
        let mut wrong = None;
        let quick = self.quick;
        let end = scan(&*file, header.seed(), &mut |place, read| {
            values.last_checksum = read.checksum;
            if quick {
                return true;
            }
            if let Some(hasher) = hasher {
                let fingerprint = hasher.of(read.entry.space, read.entry.key);
                values.places.insert(fingerprint, place);
            }
            if let Err(error) = read.entry.content.value() {
                wrong = wrong.take().or(Some((place.offset(), error)));
            }
            true
        });
        if let Some((offset, error)) = wrong {
            self.format_error(name, offset, error);
        }
        match end.map_err(Error::io("read", &path)) {
            Ok(end) => {
                values.end = end.offset;
                match end.why {
                    None => Some(values),
                    Some(error) if is_closed => {
                        self.format_error(name, 0, error);
                        None
                    }
                    // A running store may be writing there.
                    Some(_) if end.offset >= bytes => None,
                    Some(_) => {
                        self.note(format!(
                            "{name}: it ends at byte {}; the next start cuts off the rest",
                            end.offset
                        ));
                        None
                    }
                }
            }
            Err(error) => {
                self.error(name, error);
                None
            }
        }
    }

    fn cache_index(&mut self, number: u64, values: &Values, state: Option<&State>) {
        let name = format!("{CACHE}/{}", index_name(number));
        let versions = index::VERSION..=index::VERSION;
        let checked = self.sealed(&name, FileKind::CacheIndex, versions, &index::section_name);
        if checked.is_none_or(|checked| checked.sound.is_none()) || self.quick {
            return;
        }
        let path = self.path.join(&name);
        let opened = self.fs.map(&path).map_err(Error::io("map", &path));
        let opened = opened
            .and_then(|mapped| Ok(CacheIndex::open(index_name(number), mapped)?))
            .and_then(|index| Ok(index.verify().map(|()| index)?));
        let index = match opened {
            Ok(index) => index,
            Err(error) if is_not_found(&error) => return,
            Err(error) => return self.error(&name, error),
        };
        let of = index.header();
        let says = (of.number, of.values_bytes, of.last_checksum);
        let is = (number, values.end, values.last_checksum);
        if says != is {
            let expected = format!("number, length and last checksum of its file {is:?}");
            return self.damage(&name, "header", 0, expected, format!("{says:?}"));
        }
        if state.is_none() {
            return;
        }
        let mut entries = index.entries().flatten();
        let wrong =
            entries.find(|entry| values.places.get(&entry.fingerprint) != Some(&entry.place));
        if let Some(entry) = wrong {
            let expected = "the newest entry of each key in its file";
            self.damage(&name, "entries", 0, expected, format!("{entry:?}"));
        } else if index.count() as usize != values.places.len() {
            let expected = format!("{} keys", values.places.len());
            self.damage(&name, "entries", 0, expected, index.count());
        }
    }
}
