//! Whether this machine is up to what the settings ask of it: each thing looked at for itself, judged, and told in one line with what to
//! change. It changes nothing.
//!
//! | file | owns |
//! | --- | --- |
//! | `disk.rs` | the data directory, its file system and its disk |
//! | `machine.rs` | page size, clock, open files, memory, cores |
//! | `network.rs` | what is asked, and where is answered |

mod disk;
mod machine;
mod network;

use serde_json::{Value, json};

use crate::cli::ServeArguments;
use crate::config::{Mistake, Settings, check};
use crate::failure::Result;

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Ok,
    Warn,
    Fail,
    /// It was not looked at, or does not matter with these settings.
    Skipped,
}

impl State {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Skipped => "-",
        }
    }
}

/// What was found of one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) what: &'static str,
    pub(crate) state: State,
    pub(crate) found: String,
    /// What to change, where something is to be changed.
    pub(crate) advice: String,
}

impl Finding {
    fn ok(what: &'static str, found: impl Into<String>) -> Self {
        Self::new(what, State::Ok, found, "")
    }

    fn skipped(what: &'static str, why: impl Into<String>) -> Self {
        Self::new(what, State::Skipped, why, "")
    }

    fn new(
        what: &'static str,
        state: State,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        let advice = match state {
            State::Ok | State::Skipped => String::new(),
            State::Warn | State::Fail => advice.into(),
        };
        Self {
            what,
            state,
            found: found.into(),
            advice,
        }
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({
            "check": self.what,
            "state": match self.state {
                State::Skipped => "skipped",
                state => state.name(),
            },
            "found": self.found,
            "advice": (!self.advice.is_empty()).then_some(&self.advice),
        })
    }
}

/// Looks at everything, and tells each finding as soon as it is there.
///
/// # Errors
///
/// What `tell` gives, and where the system gives no threads.
pub(crate) fn examine(
    settings: &Settings,
    is_offline: bool,
    tell: &mut impl FnMut(Finding) -> Result<()>,
) -> Result<()> {
    let (arguments, mistakes) = check::all(settings);
    let warnings = arguments
        .as_ref()
        .map(|arguments| check::warnings(arguments, settings));
    let warnings = warnings.unwrap_or_default();
    configuration(&mistakes, &warnings, tell)?;
    let Some(arguments) = arguments else {
        return Ok(());
    };
    let arguments: &ServeArguments = &arguments;
    let has_data = settings.is_set("data");
    let is_in_use =
        has_data && matches!(orrery_engine::probe::is_in_use(&arguments.data), Ok(true));
    if has_data {
        disk::examine(arguments, check::follows(arguments, settings), tell)?;
    } else {
        let why = match settings.is_unknown("data") {
            true => "which one is not known: see the configuration",
            false => "none is named: give --data",
        };
        tell(Finding::skipped("data directory", why))?;
    }
    machine::examine(arguments, tell)?;
    network::ports(settings, is_in_use, tell)?;
    let source_time = match is_offline {
        true => {
            tell(Finding::skipped("network", "not asked: --offline"))?;
            None
        }
        false => network::examine(arguments, tell)?,
    };
    tell(machine::clock(source_time))
}

/// Tells of each mistake for itself, and then of each warning; what to do about all of them is told once.
fn configuration(
    mistakes: &[Mistake],
    warnings: &[Mistake],
    tell: &mut impl FnMut(Finding) -> Result<()>,
) -> Result<()> {
    const WHAT: &str = "configuration";
    if mistakes.is_empty() && warnings.is_empty() {
        return tell(Finding::ok(WHAT, "no mistakes"));
    }
    for (state, found, advice) in [
        (
            State::Fail,
            mistakes,
            "correct it first: what follows is judged without it",
        ),
        (State::Warn, warnings, "see whether that is meant"),
    ] {
        for (place, mistake) in (1..).zip(found) {
            let advice = if place == found.len() { advice } else { "" };
            tell(Finding::new(WHAT, state, mistake.to_string(), advice))?;
        }
    }
    Ok(())
}
