//! Reading the command line, the variables `ORRERY_*` that stand for its options, and what the configuration file says instead of them:
//! what they may say, and whose value was wrong.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::builder::{BoolishValueParser, Resettable, ValueParser};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, Command, CommandFactory as _, FromArgMatches as _};

use super::{Cli, ServeArguments};
use crate::config::{Settings, Source, arguments_of_serve, check, unread_path};
use crate::failure::Failure;
use crate::output;

/// The commands as they are parsed: a variable of a flag may say yes in several words, and a negative number is a
/// value, so that it is refused by the name of its option. `config` and `doctor` take what `serve` takes.
pub(crate) fn commands() -> Command {
    let mend = |argument: Arg| match argument.get_action() {
        ArgAction::SetTrue => argument.value_parser(BoolishValueParser::new()),
        ArgAction::Set if argument.get_long().is_some() => argument.allow_negative_numbers(true),
        _ => argument,
    };
    let commands = Cli::command()
        .mut_args(mend)
        .mut_subcommands(|command| command.mut_args(mend));
    let of_serve = arguments_of_serve(&commands);
    commands.mut_subcommands(|command| match command.get_name() {
        "config" | "doctor" => with_arguments_of_serve(command, &of_serve),
        _ => command,
    })
}

/// Adds the options of `serve`. Their values and variables are not read here, so that all that is wrong with them can be told at once.
fn with_arguments_of_serve(command: Command, of_serve: &[Arg]) -> Command {
    let added = of_serve.iter().filter(|argument| !argument.is_global_set());
    let added = added.map(|argument| {
        let argument = argument
            .clone()
            .required(false)
            .env(Resettable::Reset)
            .help_heading(Resettable::Reset)
            .hide(argument.get_long() != Some("data"));
        match argument.get_action() {
            ArgAction::SetTrue => argument,
            _ => argument.value_parser(ValueParser::os_string()),
        }
    });
    command.args(added.collect::<Vec<_>>())
}

/// Reads the command line, the variables and the configuration file. Usage errors and help end the process here, with 2 and 0.
///
/// # Errors
///
/// [`Failure::Settings`] with all that is wrong with the file, before anything is done. A command that works on a directory which is there
/// is only refused where that may be about a key that it takes; otherwise it is warned of.
pub(crate) fn parse() -> crate::failure::Result<(Cli, Settings)> {
    let words: Vec<OsString> = std::env::args_os().collect();
    // What an option has to be given may stand in the file.
    let matches = or_end(without_required().try_get_matches_from(&words), &words);
    let (name, matched) = match matches.subcommand() {
        Some((name, matched)) => (name, matched),
        None => ("", &matches),
    };
    let file = matched.try_get_one::<PathBuf>("config").ok().flatten();
    let is_judge = matches!(name, "config" | "doctor");
    // The settings of a server are looked at below, all at once.
    let is_of_server = is_judge || name == "serve";
    refuse_unread_paths(name, matched, |long| !is_of_server || long == "config")?;
    let settings = match file {
        None if !is_judge && name != "serve" => Settings::default(),
        file => Settings::of(
            matched,
            file.map(PathBuf::as_path),
            |name| std::env::var_os(name),
            is_judge,
        ),
    };
    let mut said = words.clone();
    if !is_judge {
        let commands = commands();
        let own = commands.find_subcommand(name);
        let known = |long: &str| {
            let mut arguments = own.into_iter().flat_map(Command::get_arguments);
            arguments.any(|argument| argument.get_long() == Some(long)) || long == "log"
        };
        let needed = |long: &str| {
            let mut arguments = own.into_iter().flat_map(Command::get_arguments);
            arguments
                .any(|argument| argument.get_long() == Some(long) && argument.is_required_set())
        };
        // Who names a directory does not mean the server that the file tells of; who names a server too may well mean its token.
        let source = |name: &str| settings.get(name).map(|setting| &setting.source);
        let is_told = |name: &str| matches!(source(name), Some(Source::Flag | Source::Variable));
        let is_elsewhere =
            name == "exclude" && source("data") == Some(&Source::Flag) && !is_told("operator");
        let known = |long: &str| known(long) && !(is_elsewhere && long.starts_with("operator"));
        // What is done with a directory that is there does not wait for what a server alone is told; how much is logged is no matter either.
        let may_be_meant =
            |key: &str| known(key) && key != "log" && !is_told(key) && settings.is_unknown(key);
        let mut keys = settings.all.iter().map(|setting| setting.key.name.as_str());
        let is_refused = matches!(name, "serve" | "ingest") || keys.any(may_be_meant);
        if is_refused && !settings.mistakes.is_empty() {
            return Err(Failure::Settings(match name {
                "serve" => check::all(&settings).1,
                _ => settings.mistakes,
            }));
        }
        for mistake in &settings.mistakes {
            output::note(format_args!("warning: {mistake}"));
        }
        match check::missing(&settings, needed) {
            missing if missing.is_empty() => {}
            _ if name == "serve" => return Err(Failure::Settings(check::all(&settings).1)),
            missing => return Err(Failure::Settings(missing)),
        }
        let behind = place_of_command(&words, name).map_or(words.len(), |place| place + 1);
        said.splice(behind..behind, settings.words_of_file(known));
    }
    let matches = or_end(
        without_values(commands()).try_get_matches_from(&said),
        &words,
    );
    let cli = or_end(Cli::from_arg_matches(&matches), &words);
    Ok((cli, settings))
}

/// Refuses paths that are written for a shell, in options and their variables alike.
fn refuse_unread_paths(
    name: &str,
    matched: &ArgMatches,
    heeds: impl Fn(&str) -> bool,
) -> crate::failure::Result<()> {
    let commands = commands();
    let own = commands.find_subcommand(name);
    for argument in own.into_iter().flat_map(Command::get_arguments) {
        let Some(long) = argument.get_long().filter(|long| heeds(long)) else {
            continue;
        };
        let value_names = argument.get_value_names().unwrap_or_default();
        let value_name = value_names.first().map_or("", |name| name.as_str());
        let values = matched.try_get_raw(argument.get_id().as_str());
        for value in values.ok().flatten().into_iter().flatten() {
            if let Some((wrong, right)) = unread_path(value_name, value) {
                return Err(Failure::Usage(format!("--{long}: {wrong}; {right}")));
            }
        }
    }
    Ok(())
}

/// A command, and those below it, whose help tells no values of variables: there may be keys among them.
fn without_values(command: Command) -> Command {
    command
        .mut_args(|argument| argument.hide_env_values(true))
        .mut_subcommands(without_values)
}

/// The commands, none of which misses anything.
fn without_required() -> Command {
    without_values(commands())
        .mut_subcommands(|command| command.mut_args(|argument| argument.required(false)))
}

/// Which word is the name of the command.
fn place_of_command(words: &[OsString], name: &str) -> Option<usize> {
    words.iter().enumerate().skip(1).find_map(|(place, word)| {
        let begun = words.get(..=place)?;
        let is_it = word == name
            && without_required()
                .try_get_matches_from(begun)
                .is_ok_and(|matches| matches.subcommand_name() == Some(name));
        is_it.then_some(place)
    })
}

/// The arguments of `serve` that words on its command line give, whatever the variables say; or the option that is in the way,
/// and why.
pub(crate) fn serve_arguments(
    words: Vec<OsString>,
) -> Result<ServeArguments, (Option<String>, String)> {
    let without_variable = |argument: Arg| argument.env(Resettable::Reset);
    let commands = commands()
        .mut_args(without_variable)
        .mut_subcommands(|command| command.mut_args(without_variable));
    let words = ["orrery", "serve"]
        .map(OsString::from)
        .into_iter()
        .chain(words);
    let parsed = commands
        .try_get_matches_from(words)
        .and_then(|matches| Cli::from_arg_matches(&matches));
    match parsed {
        Ok(Cli {
            command: super::Command::Serve(arguments),
            ..
        }) => Ok(*arguments),
        Ok(_) => Err((None, "the settings are not those of a server".to_owned())),
        Err(error) => {
            let option = match error.get(ContextKind::InvalidArg) {
                Some(ContextValue::String(option)) => Some(option.as_str()),
                Some(ContextValue::Strings(options)) => options.first().map(String::as_str),
                _ => None,
            };
            let option = option.and_then(|option| option.strip_prefix("--")?.split(' ').next());
            let text = error.to_string();
            let text = text.split("\n\n").next().unwrap_or_default();
            let text = text.trim_start_matches("error: ").trim();
            Err((option.map(str::to_owned), text.replace('\n', " ")))
        }
    }
}

/// What was read; or tells what is wrong, or the help, and ends the process.
fn or_end<T>(parsed: clap::error::Result<T>, given: &[OsString]) -> T {
    let error = match parsed {
        Ok(parsed) => return parsed,
        Err(error) => error,
    };
    if let Some(name) = variable_of(&error, given) {
        output::note(format_args!(
            "{}\nThe value is that of the variable {name}.",
            error.to_string().trim_end()
        ));
        std::process::exit(2);
    }
    error.exit()
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
