//! Settings out of four places: the command line, variables `ORRERY_*`, the configuration file, and defaults, in this order. What keys
//! there are, what they may say and what they are by default is read out of the command line's own definition, so that an option of
//! `serve` is a key as soon as it is there.
//!
//! | file | owns |
//! | --- | --- |
//! | `keys.rs` | the keys, as the command line defines them |
//! | `file.rs` | the file: what stands where in it |
//! | `mistake.rs` | a mistake: where, of what, and what would be right |
//! | `check.rs` | what only makes no sense together, or on this machine |
//! | `doubts.rs` | what can be taken as it stands, and most likely is not meant so |
//! | `template.rs` | a file with all keys, commented out |
//! | `effective.rs` | the values in effect, and where each is from |

pub(crate) mod check;
pub(crate) mod doubts;
mod effective;
mod file;
mod keys;
mod mistake;
mod template;

use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::ArgMatches;
use clap::parser::ValueSource;

use crate::units;

pub(crate) use effective::{as_json, as_text};
pub(crate) use keys::{Key, arguments_of_serve, keys, unread_path};
pub(crate) use mistake::{Mistake, Place};
pub(crate) use template::template;

/// Where a value is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// An option of the command line.
    Flag,
    /// Its variable.
    Variable,
    /// The file, where the key begins.
    File { line: usize, column: usize },
    /// The definition.
    Default,
    /// Nowhere: there is no value.
    Unset,
}

/// A key with the value in effect.
#[derive(Debug)]
pub(crate) struct Setting {
    pub(crate) key: Key,
    pub(crate) source: Source,
    /// As they would stand on a command line. `true` or `false` of a switch.
    pub(crate) values: Vec<OsString>,
}

/// What a command is told by its options, its variables and the file.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    /// The file, where there is one.
    pub(crate) file: Option<PathBuf>,
    /// Every key, in the order in which the command line has them.
    pub(crate) all: Vec<Setting>,
    /// What is wrong with single values, in the order of the file; keys with a mistake have their defaults.
    pub(crate) mistakes: Vec<Mistake>,
    /// Whether parts of the file could not be read, where anything may be set.
    has_unread: bool,
}

impl Settings {
    /// Those of a command that matched so, with the settings of `file`. Values of options and variables are checked here only
    /// where `checks_all` says that the command line has not done so.
    pub(crate) fn of(
        matches: &ArgMatches,
        file: Option<&Path>,
        variable: impl Fn(&OsStr) -> Option<OsString>,
        checks_all: bool,
    ) -> Self {
        let keys = keys();
        let read = file.map(|path| file::read(path, &keys)).unwrap_or_default();
        let mut settings = Self {
            file: file.map(Path::to_owned),
            all: Vec::with_capacity(keys.len()),
            mistakes: read.mistakes,
            has_unread: read.has_unread,
        };
        for key in keys {
            let from_command_line = || {
                (value_source(matches, &key) == Some(ValueSource::CommandLine))
                    .then(|| (Source::Flag, raw_values(matches, &key)))
            };
            let from_variable = || {
                let value = variable(OsStr::new(key.variable()?))?;
                Some((Source::Variable, key.split(&value)))
            };
            let mut found = from_command_line().or_else(from_variable);
            if let (true, Some((source, values))) = (checks_all, &mut found) {
                let wrong = key.wrong_values(values);
                if !wrong.is_empty() {
                    let place = match source {
                        Source::Flag => Place::Flag,
                        _ => Place::Variable(key.variable().unwrap_or_default().to_owned()),
                    };
                    let mistake = |(wrong, right)| Mistake::of(&key, place.clone(), wrong, right);
                    settings.mistakes.extend(wrong.into_iter().map(mistake));
                    found = None;
                }
            }
            let (source, values) = found
                .or_else(|| {
                    let entry = read.entries.iter().find(|entry| entry.key == key.name)?;
                    let (line, column) = (entry.line, entry.column);
                    let values = entry.values.iter().map(OsString::from).collect();
                    Some((Source::File { line, column }, values))
                })
                .or_else(|| key.defaults().map(|values| (Source::Default, values)))
                .unwrap_or((Source::Unset, Vec::new()));
            settings.all.push(Setting {
                key,
                source,
                values,
            });
        }
        settings
    }

    /// The setting of a key.
    pub(crate) fn get(&self, name: &str) -> Option<&Setting> {
        self.all.iter().find(|setting| setting.key.name == name)
    }

    /// Whether it is not known what a key is to be: its value is a mistake, or its name is, or it may stand where the file could not be
    /// read. What would be told of its default then is gone when that is put right.
    pub(crate) fn is_unknown(&self, name: &str) -> bool {
        let is_there = |key: &str| self.get(key).is_some();
        let means = |key: &str| {
            let names = self.all.iter().map(|setting| setting.key.name.as_str());
            !is_there(key) && keys::nearest_name(names, key) == Some(name)
        };
        let mut keys = self
            .mistakes
            .iter()
            .filter_map(|mistake| mistake.key.as_deref());
        keys.any(|key| key == name || (!self.is_set(name) && means(key)))
            || (self.has_unread && !self.is_set(name))
    }

    /// Whether somebody has set it, wherever.
    pub(crate) fn is_set(&self, name: &str) -> bool {
        let source = self.get(name).map(|setting| &setting.source);
        source.is_some_and(|source| !matches!(source, Source::Default | Source::Unset))
    }

    /// The keys that name an address to listen on, with the address.
    pub(crate) fn listens_on(&self) -> impl Iterator<Item = (&str, SocketAddr)> {
        // The name server is the one address that is asked.
        let named = self
            .all
            .iter()
            .filter(|setting| setting.key.value_name() == "ADDR:PORT" && setting.key.name != "dns");
        named.flat_map(|setting| {
            let parsed = setting
                .values
                .iter()
                .filter_map(|value| units::parse_address(&value.to_string_lossy()).ok());
            parsed.map(|address| (setting.key.name.as_str(), address))
        })
    }

    /// Where a key was set; the file as a whole where it was not.
    pub(crate) fn place(&self, name: &str) -> Place {
        let setting = self.get(name);
        match (setting.map(|setting| &setting.source), &self.file) {
            (Some(Source::Flag), _) => Place::Flag,
            (Some(Source::Variable), _) => Place::Variable(
                setting
                    .and_then(|setting| setting.key.variable())
                    .unwrap_or_default()
                    .to_owned(),
            ),
            (Some(Source::File { line, column }), Some(path)) => Place::File {
                path: path.clone(),
                line: *line,
                column: *column,
            },
            (_, Some(path)) => Place::Whole(path.clone()),
            _ => Place::Flag,
        }
    }

    /// Words for the command line that say what the file says, for the options that `takes` names.
    pub(crate) fn words_of_file(&self, takes: impl Fn(&str) -> bool) -> Vec<OsString> {
        let from_file = self.all.iter().filter(|setting| {
            matches!(setting.source, Source::File { .. }) && takes(&setting.key.name)
        });
        from_file.flat_map(Setting::words).collect()
    }

    /// Words for the command line that say all that was set, wherever.
    pub(crate) fn words(&self) -> Vec<OsString> {
        let set = self
            .all
            .iter()
            .filter(|setting| !matches!(setting.source, Source::Default | Source::Unset));
        set.flat_map(Setting::words).collect()
    }
}

impl Setting {
    fn words(&self) -> Vec<OsString> {
        let name = &self.key.name;
        if self.key.is_switch() {
            let is_on = self.values.iter().any(|value| key_is_on(value));
            return is_on
                .then(|| OsString::from(format!("--{name}")))
                .into_iter()
                .collect();
        }
        let word = |value: &OsString| {
            let mut word = OsString::from(format!("--{name}="));
            word.push(value);
            word
        };
        self.values.iter().map(word).collect()
    }
}

/// Whether the value of a switch says yes. It was checked before that it says yes or no.
fn key_is_on(value: &OsStr) -> bool {
    let value = value.to_string_lossy().to_lowercase();
    ["y", "yes", "t", "true", "on", "1"].contains(&value.as_str())
}

fn value_source(matches: &ArgMatches, key: &Key) -> Option<ValueSource> {
    let id = key.id();
    // Asking for an option that the command has not is a panic.
    matches.try_contains_id(id).ok()?;
    matches.value_source(id)
}

fn raw_values(matches: &ArgMatches, key: &Key) -> Vec<OsString> {
    if key.is_switch() {
        return vec!["true".into()];
    }
    let values = matches.try_get_raw(key.id()).ok().flatten();
    values
        .map(|values| values.map(OsStr::to_owned).collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
