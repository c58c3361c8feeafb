//! Logs go to standard error, warnings and worse unless asked otherwise.

use std::io::IsTerminal;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::failure::{Failure, Result};

const LEVELS: &str = "off, error, warn, info, debug, trace";

/// The pieces of a filter, each a module, if it has one, and a level. The library would take spaces for parts of names, and an
/// empty piece for a level of all.
fn pieces(filter: &str) -> impl Iterator<Item = (Option<&str>, &str)> {
    let pieces = filter.split(',').map(str::trim);
    pieces
        .filter(|piece| !piece.is_empty())
        .map(|piece| match piece.rsplit_once('=') {
            Some((module, level)) => (Some(module.trim()), level.trim()),
            None => (None, piece),
        })
}

/// The first word of a filter that stands in a level's place and is none: the library takes one that stands alone for the name of a module, and
/// logs nothing of any other.
fn unknown_level(filter: &str) -> Option<&str> {
    let mut levels = pieces(filter).map(|(_, level)| level);
    levels.find(|level| level.parse::<LevelFilter>().is_err())
}

/// What is wrong with a filter, and what would be right.
pub(crate) fn wrong(filter: &str) -> Option<(String, String)> {
    let unknown = unknown_level(filter)?;
    Some((
        format!("{unknown}: there is no such level"),
        format!("it is one of {LEVELS}, or a module with one, as in orrery_ingest=debug"),
    ))
}

fn targets(filter: &str) -> Result<Targets> {
    let pieces = pieces(filter).map(|(module, level)| match module {
        Some(module) => format!("{module}={level}"),
        None => level.to_owned(),
    });
    let pieces: Vec<String> = pieces.collect();
    let parsed = match pieces.as_slice() {
        [] => "warn".parse(),
        pieces => pieces.join(",").parse(),
    };
    parsed.map_err(|error| Failure::Usage(format!("--log {filter:?}: {error}")))
}

/// Starts logging by `filter`: levels of targets, as in `orrery_ingest=debug,warn`, or one for all, as in `info`.
///
/// # Errors
///
/// [`Failure::Usage`] when the filter cannot be read.
pub(crate) fn start(filter: Option<&str>) -> Result<()> {
    if let Some((wrong, right)) = filter.and_then(wrong) {
        return Err(Failure::Usage(format!("--log {wrong}; {right}")));
    }
    let environment = std::env::var("RUST_LOG").ok();
    let filter = filter.or(environment.as_deref()).unwrap_or("warn");
    let targets = targets(filter)?;
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    tracing_subscriber::registry()
        .with(targets)
        .with(lines)
        .init();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Targets, targets, unknown_level};

    #[test]
    fn a_word_in_a_levels_place_is_a_level() {
        for filter in [
            "info",
            "WARN",
            "off",
            "orrery_ingest=debug,warn",
            " info , hyper=off",
            "3",
            "",
        ] {
            assert_eq!(unknown_level(filter), None, "{filter}");
        }
        for (filter, same) in [
            (" info , hyper=off", "info,hyper=off"),
            ("orrery_ingest = debug, warn,", "orrery_ingest=debug,warn"),
            (" ,", "warn"),
        ] {
            let same: Targets = same.parse().unwrap();
            assert_eq!(targets(filter).unwrap(), same, "{filter}");
        }
        for (filter, unknown) in [
            ("loud", "loud"),
            ("info,loud", "loud"),
            ("orrery_ingest=loud,warn", "loud"),
            ("orrery_ingest", "orrery_ingest"),
        ] {
            assert_eq!(unknown_level(filter), Some(unknown), "{filter}");
        }
    }
}
