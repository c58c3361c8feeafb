//! Reading the command line and the variables `ORRERY_*` that stand for its options: what they may say, and whose
//! value was wrong.

use std::ffi::{OsStr, OsString};

use clap::builder::BoolishValueParser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgAction, CommandFactory as _, FromArgMatches as _};

use super::Cli;
use crate::failure::Failure;
use crate::output;

/// The commands as they are parsed: a variable of a flag may say yes in several words, and a negative number is a
/// value, so that it is refused by the name of its option.
pub(crate) fn commands() -> clap::Command {
    let mend = |argument: clap::Arg| match argument.get_action() {
        ArgAction::SetTrue => argument.value_parser(BoolishValueParser::new()),
        ArgAction::Set if argument.get_long().is_some() => argument.allow_negative_numbers(true),
        _ => argument,
    };
    Cli::command()
        .mut_args(mend)
        .mut_subcommands(|command| command.mut_args(mend))
}

/// Reads the command line. Usage errors and help end the process here, with 2 and 0.
pub(crate) fn parse() -> Cli {
    let parsed = commands()
        .try_get_matches()
        .and_then(|matches| Cli::from_arg_matches(&matches));
    match parsed {
        Ok(cli) => cli,
        Err(error) => {
            let given: Vec<OsString> = std::env::args_os().collect();
            if let Some(name) = variable_of(&error, &given) {
                output::note(format_args!(
                    "{}\nThe value is that of the variable {name}.",
                    error.to_string().trim_end()
                ));
                std::process::exit(2);
            }
            error.exit()
        }
    }
}

/// The variable that a refused value came from, where the command line does not name its option.
fn variable_of(error: &clap::Error, given: &[OsString]) -> Option<String> {
    if !matches!(
        error.kind(),
        ErrorKind::InvalidValue | ErrorKind::ValueValidation
    ) {
        return None;
    }
    let Some(ContextValue::String(argument)) = error.get(ContextKind::InvalidArg) else {
        return None;
    };
    let option = argument.split(' ').next()?;
    let long = option.strip_prefix("--")?;
    let is_given = given.iter().any(|word| {
        let word = word.to_string_lossy();
        word == option || word.split_once('=').is_some_and(|(name, _)| name == option)
    });
    if is_given {
        return None;
    }
    known_variables()
        .into_iter()
        .find(|name| *name == format!("ORRERY_{}", long.to_uppercase().replace('-', "_")))
}

/// The variables of all options.
fn known_variables() -> Vec<String> {
    let command = Cli::command();
    let commands = std::iter::once(&command).chain(command.get_subcommands());
    commands
        .flat_map(|command| command.get_arguments())
        .filter_map(|argument| argument.get_env())
        .map(|name| name.to_string_lossy().into_owned())
        .collect()
}

/// Tells of variables that look like those of options and are none: most likely a slip.
pub(crate) fn tell_unknown_variables(names: impl Iterator<Item = OsString>) {
    let unknown = unknown_variables(names);
    if !unknown.is_empty() {
        output::note(format_args!(
            "warning: no option has the variable {}; it is passed over",
            unknown.join(", ")
        ));
    }
}

fn unknown_variables(names: impl Iterator<Item = OsString>) -> Vec<String> {
    let known = known_variables();
    let mut unknown: Vec<String> = names
        .map(|name| name.to_string_lossy().into_owned())
        .filter(|name| name.starts_with("ORRERY_") && !known.contains(name))
        .collect();
    unknown.sort();
    unknown
}

/// Refuses a variable of an option that is set to nothing: what it should mean differs from option to option.
///
/// # Errors
///
/// [`Failure::Usage`], naming the variable.
pub(crate) fn refuse_empty_variables(
    value: impl Fn(&OsStr) -> Option<OsString>,
) -> Result<(), Failure> {
    let command = Cli::command();
    let commands = std::iter::once(&command).chain(command.get_subcommands());
    let empty = commands
        .flat_map(|command| command.get_arguments())
        .filter_map(|argument| argument.get_env())
        .find(|name| value(name).is_some_and(|value| value.is_empty()));
    match empty {
        Some(name) => Err(Failure::Usage(format!(
            "the variable {} is set and empty; give it a value or unset it",
            name.display()
        ))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_that_no_option_has_are_told() {
        let names = ["ORRERY_BIND", "ORRERY_COLECTIONS", "HOME"].map(OsString::from);
        assert_eq!(unknown_variables(names.into_iter()), ["ORRERY_COLECTIONS"]);
    }

    #[test]
    fn an_empty_variable_is_refused_by_its_name() {
        refuse_empty_variables(|name| (name == "ORRERY_BIND").then(|| "[::1]:1".into())).unwrap();
        let refused = refuse_empty_variables(|name| (name == "ORRERY_BIND").then(OsString::new));
        assert!(refused.unwrap_err().to_string().contains("ORRERY_BIND"));
    }
}
