//! The command line: a command, names and whole numbers behind it, and options of the form `--name VALUE`.

use std::path::PathBuf;

/// What was asked for. What is not given, a measurement chooses for itself.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Arguments {
    pub(crate) command: String,
    /// Of benches or of a scenario.
    pub(crate) names: Vec<String>,
    pub(crate) numbers: Vec<u64>,
    pub(crate) events: Option<u64>,
    pub(crate) seed: Option<u64>,
    pub(crate) rounds: Option<u64>,
    pub(crate) seconds: Option<u64>,
    /// Where plots go.
    pub(crate) plots: Option<PathBuf>,
    /// Whether the figures are to be printed as rows of a table too.
    pub(crate) markdown: bool,
    /// Whether not to count instructions.
    pub(crate) no_instructions: bool,
}

impl Arguments {
    /// Reads the command line behind the program's name. The error says what is wrong with it.
    pub(crate) fn parse(given: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut arguments = Self::default();
        let mut given = given.peekable();
        while let Some(word) = given.next() {
            if let Some(name) = word.strip_prefix("--") {
                let mut value = || given.next().ok_or(format!("--{name} lacks its value"));
                match name {
                    "events" => arguments.events = Some(number(name, &value()?)?),
                    "seed" => arguments.seed = Some(number(name, &value()?)?),
                    "rounds" => arguments.rounds = Some(number(name, &value()?)?),
                    "seconds" => arguments.seconds = Some(number(name, &value()?)?),
                    "plots" => arguments.plots = Some(value()?.into()),
                    "markdown" => arguments.markdown = true,
                    "no-instructions" => arguments.no_instructions = true,
                    _ => return Err(format!("there is no option --{name}")),
                }
            } else if arguments.command.is_empty() {
                arguments.command = word;
            } else if word.starts_with(|first: char| first.is_ascii_digit()) {
                arguments.numbers.push(number("a number", &word)?);
            } else {
                arguments.names.push(word);
            }
        }
        Ok(arguments)
    }

    /// The number at a place behind the command.
    pub(crate) fn number(&self, place: usize, default: u64) -> u64 {
        self.numbers.get(place).copied().unwrap_or(default)
    }

    pub(crate) fn seed(&self) -> u64 {
        self.seed.unwrap_or(1)
    }
}

/// Digits may be grouped by `_`.
fn number(name: &str, text: &str) -> Result<u64, String> {
    let number = text.replace('_', "").parse();
    number.map_err(|_| format!("{name}: {text:?} is no whole number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Arguments, String> {
        Arguments::parse(text.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn names_numbers_and_options_come_in_any_order() {
        let parsed =
            parse("scenario --events 1_000_000 ingest --plots a/b day --markdown").unwrap();
        assert_eq!(parsed.command, "scenario");
        assert_eq!(parsed.names, ["ingest", "day"]);
        assert_eq!(parsed.events, Some(1_000_000));
        assert_eq!(parsed.plots, Some("a/b".into()));
        assert!(parsed.markdown && !parsed.no_instructions);
    }

    #[test]
    fn numbers_behind_a_command_keep_their_places() {
        let parsed = parse("ingest 5_000 7").unwrap();
        assert_eq!((parsed.number(0, 1), parsed.number(1, 1)), (5_000, 7));
        assert_eq!(parsed.number(2, 9), 9);
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        for (text, told) in [
            ("micro --evnts 5", "--evnts"),
            ("micro --events", "--events"),
            ("micro --events many", "many"),
            ("ingest 5x", "5x"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(told), "{text}: {error}");
        }
    }
}
