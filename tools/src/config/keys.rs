//! The keys of the configuration file: the options of `serve`, by their names, with what the command line says of them.

use std::ffi::{OsStr, OsString};

use clap::builder::Resettable;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, Command};

use crate::cli;

/// What is wrong with the value of an option that is a path by the name of its value, and is written for a shell, which alone puts a
/// directory in the place of its beginning.
pub(crate) fn unread_path(value_name: &str, value: &OsStr) -> Option<(String, String)> {
    let (_, example) = EXAMPLES
        .into_iter()
        .find(|(name, _)| *name == value_name && matches!(*name, "DIR" | "FILE"))?;
    let text = value.to_string_lossy();
    let begins = ["~", "$"]
        .into_iter()
        .find(|begins| text.starts_with(begins))?;
    Some((
        format!("{text:?} begins with {begins}, which is read by a shell and not here"),
        format!("write the whole path, such as {example}"),
    ))
}

/// How a value is written in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `true` or `false`.
    Switch,
    /// A whole number.
    Integer,
    /// A number, with or without a fraction.
    Number,
    /// A text with a unit, or a number where none is needed.
    Amount,
    /// A text.
    Text,
}

/// A key.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    /// The name of the option, without its dashes.
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// Whether it takes several values.
    pub(crate) is_list: bool,
    argument: Arg,
}

/// Names of values whose unit may be left out.
const AMOUNTS: [&str; 2] = ["SIZE", "RATE"];

/// Values to show of keys that have no default, by the name of the option's value.
const EXAMPLES: [(&str, &str); 17] = [
    ("SIZE", "2GiB"),
    ("DURATION", "48h"),
    ("ADDR:PORT", "127.0.0.1:8765"),
    ("DIR", "/var/lib/orrery"),
    ("FILE", "/etc/orrery/example"),
    ("SERVER", "us-east-1"),
    ("NSID,...", "app.bsky.feed.like"),
    ("NET,...", "192.0.2.0/24"),
    ("DOMAIN", "links.example.org"),
    ("NAME,...", "links.example.org"),
    ("EMAIL", "somebody@example.org"),
    ("RATE[/BURST]", "10/50"),
    ("TEXT", "https://example.org/about"),
    ("URL", "https://example.org"),
    ("N", "150"),
    ("FILTER", "info"),
    ("SHARE", "0.25"),
];

/// The options of `serve`, those of all commands among them, that have a meaning in a file.
pub(crate) fn arguments_of_serve(commands: &Command) -> Vec<Arg> {
    let serve = commands.find_subcommand("serve");
    let own = serve.into_iter().flat_map(Command::get_arguments);
    let global = commands.get_arguments().filter(|arg| arg.is_global_set());
    own.chain(global)
        .filter(|arg| {
            arg.get_long()
                .is_some_and(|long| !matches!(long, "help" | "version" | "config"))
        })
        .cloned()
        .collect()
}

/// All keys, in the order of the command line.
pub(crate) fn keys() -> Vec<Key> {
    let arguments = arguments_of_serve(&cli::commands());
    arguments.into_iter().filter_map(Key::of).collect()
}

/// The known key that looks most like this one, if any does.
pub(crate) fn nearest<'a>(keys: &'a [Key], name: &str) -> Option<&'a str> {
    nearest_name(keys.iter().map(|key| key.name.as_str()), name)
}

/// The same among their names.
pub(crate) fn nearest_name<'a>(
    names: impl Iterator<Item = &'a str>,
    name: &str,
) -> Option<&'a str> {
    let name = name.to_lowercase().replace(['_', ' '], "-");
    nearest_of(names, &name)
}

/// The word that looks most like this one, if any does.
pub(crate) fn nearest_of<'a>(words: impl Iterator<Item = &'a str>, word: &str) -> Option<&'a str> {
    let scored = words.map(|known| (strsim::jaro_winkler(known, word), known));
    let best = scored.max_by(|a, b| a.0.total_cmp(&b.0));
    best.filter(|(likeness, _)| *likeness >= 0.8)
        .map(|(_, known)| known)
}

impl Key {
    fn of(argument: Arg) -> Option<Self> {
        let name = argument.get_long()?.to_owned();
        let value_name = argument
            .get_value_names()
            .and_then(|names| names.first())
            .map(|name| name.as_str().to_owned())
            .unwrap_or_default();
        let kind = match argument.get_action() {
            ArgAction::SetTrue | ArgAction::SetFalse => Kind::Switch,
            _ if AMOUNTS.iter().any(|unit| value_name.starts_with(unit)) => Kind::Amount,
            _ if is_integer(&argument) => Kind::Integer,
            _ if is_number(&argument) => Kind::Number,
            _ => Kind::Text,
        };
        let is_list = matches!(argument.get_action(), ArgAction::Append);
        Some(Self {
            name,
            kind,
            is_list,
            argument,
        })
    }

    /// The option's id in what the command line matched.
    pub(crate) fn id(&self) -> &str {
        self.argument.get_id().as_str()
    }

    /// The variable that says the same.
    pub(crate) fn variable(&self) -> Option<&str> {
        self.argument.get_env()?.to_str()
    }

    /// Whether `serve` does not start without it.
    pub(crate) fn is_required(&self) -> bool {
        self.argument.is_required_set()
    }

    pub(crate) fn is_switch(&self) -> bool {
        self.kind == Kind::Switch
    }

    /// Whether its value is not to be shown: so the option says, or so it is called. The name of a file with a secret is none.
    pub(crate) fn is_secret(&self) -> bool {
        let words = ["token", "secret", "password"];
        let is_called_so = self.name.split('-').any(|part| words.contains(&part));
        self.argument.is_hide_env_values_set() || is_called_so && self.value_name() != "FILE"
    }

    /// The heading of the option's group in the help.
    pub(crate) fn heading(&self) -> Option<&str> {
        self.argument.get_help_heading()
    }

    /// The name of its values in the help.
    pub(crate) fn value_name(&self) -> &str {
        let names = self.argument.get_value_names();
        names
            .and_then(|names| names.first())
            .map_or("", |name| name.as_str())
    }

    /// The whole help.
    pub(crate) fn help(&self) -> String {
        let help = self.argument.get_long_help();
        let help = help.or_else(|| self.argument.get_help());
        help.map(ToString::to_string).unwrap_or_default()
    }

    /// What the definition says it is without being set.
    pub(crate) fn defaults(&self) -> Option<Vec<OsString>> {
        if self.is_switch() {
            return Some(vec!["false".into()]);
        }
        let defaults = self.argument.get_default_values();
        (!defaults.is_empty()).then(|| defaults.iter().map(|value| value.to_os_string()).collect())
    }

    /// A value to show where there is no default.
    pub(crate) fn example(&self) -> &'static str {
        let name = self.value_name();
        // What can stand together in one file.
        match self.name.as_str() {
            // Beside the data directory, which holds nothing else.
            "tls-cache" => return "/var/lib/orrery-tls",
            "operator" => return "127.0.0.1:8766",
            "bind-http" => return "0.0.0.0:80",
            "dns" => return "192.0.2.53:53",
            _ => {}
        }
        let known = EXAMPLES.iter().find(|(known, _)| *known == name);
        known.map_or("", |(_, example)| example)
    }

    /// The values in one word of the command line or of a variable.
    pub(crate) fn split(&self, word: &OsStr) -> Vec<OsString> {
        match (self.argument.get_value_delimiter(), word.to_str()) {
            (Some(delimiter), Some(word)) => word.split(delimiter).map(OsString::from).collect(),
            _ => vec![word.to_owned()],
        }
    }

    /// A value as it is written in the file.
    pub(crate) fn written(&self, values: &[OsString]) -> String {
        let quoted = |value: &OsString| {
            let text = value.to_string_lossy();
            let is_bare = match self.kind {
                Kind::Switch => return super::key_is_on(value).to_string(),
                Kind::Integer => text.parse::<i64>().is_ok(),
                Kind::Number => text.parse::<f64>().is_ok_and(f64::is_finite),
                Kind::Amount | Kind::Text => false,
            };
            // What is quoted in JSON is quoted in TOML.
            match is_bare {
                true => text.into_owned(),
                false => serde_json::Value::from(text.into_owned()).to_string(),
            }
        };
        let texts: Vec<String> = values.iter().map(quoted).collect();
        match self.is_list {
            true => format!("[{}]", texts.join(", ")),
            false => texts.join(", "),
        }
    }

    /// An example of a line of the file.
    pub(crate) fn line(&self) -> String {
        let values = self
            .defaults()
            .unwrap_or_else(|| vec![self.example().into()]);
        format!("{} = {}", self.name, self.written(&values))
    }

    /// What the command line has against these values: what is wrong, and what would be right.
    pub(crate) fn wrong_values(&self, values: &[OsString]) -> Vec<(String, String)> {
        let wrong = |value: &OsString| {
            if value.is_empty() {
                return Some((
                    "it is empty".to_owned(),
                    format!("give it a value, such as {}, or leave it out", self.line()),
                ));
            }
            self.unread_path(value).or_else(|| self.refusal(value))
        };
        values.iter().filter_map(wrong).collect()
    }

    /// What is wrong with a path that is written for a shell.
    pub(crate) fn unread_path(&self, value: &OsStr) -> Option<(String, String)> {
        unread_path(self.value_name(), value)
    }

    /// What the command line has against one value: it is asked as if the option were given so.
    fn refusal(&self, value: &OsStr) -> Option<(String, String)> {
        let alone = self
            .argument
            .clone()
            .required(false)
            .env(Resettable::Reset)
            .conflicts_with(Resettable::Reset)
            .requires(Resettable::Reset)
            .overrides_with(Resettable::Reset)
            .required_unless_present(Resettable::Reset)
            .group(Resettable::Reset)
            .value_delimiter(Resettable::Reset)
            .global(false)
            .action(ArgAction::Append)
            .num_args(1)
            .default_missing_value(Resettable::Reset)
            .default_values(Vec::<clap::builder::OsStr>::new());
        let mut word = OsString::from(format!("--{}=", self.name));
        word.push(value);
        let command = Command::new("serve").disable_help_flag(true).arg(alone);
        let error = command
            .try_get_matches_from([OsString::from("serve"), word])
            .err()?;
        let shown = value.to_string_lossy();
        let (wrong, right) = match (error.kind(), std::error::Error::source(&error)) {
            (ErrorKind::ValueValidation, Some(reason)) => {
                let reason = reason.to_string();
                match reason.split_once("; ") {
                    Some((wrong, right)) => (wrong.to_owned(), right.to_owned()),
                    None => (reason, String::new()),
                }
            }
            _ => match error.get(ContextKind::ValidValue) {
                Some(ContextValue::Strings(valid)) => (
                    format!("{shown:?} is none of its values"),
                    format!("write one of {}", valid.join(", ")),
                ),
                _ => (format!("{shown:?} is not one of its values"), String::new()),
            },
        };
        // Whoever reads "out of range" still has to know which value that is said of.
        let wrong = match wrong.contains(&*shown) {
            true => wrong,
            false => format!("{shown:?}: {wrong}"),
        };
        let right = match right.is_empty() {
            true => format!("write it like {}", self.line()),
            false => right,
        };
        match self.is_secret() {
            true => Some((
                "it cannot be read".to_owned(),
                format!("write it like {}", self.line()),
            )),
            false => Some((wrong, right)),
        }
    }
}

fn is_integer(argument: &Arg) -> bool {
    let id = argument.get_value_parser().type_id();
    let of = std::any::TypeId::of::<u64>;
    [
        of(),
        std::any::TypeId::of::<u8>(),
        std::any::TypeId::of::<u16>(),
        std::any::TypeId::of::<u32>(),
        std::any::TypeId::of::<usize>(),
        std::any::TypeId::of::<i32>(),
        std::any::TypeId::of::<i64>(),
    ]
    .iter()
    .any(|known| id == *known)
}

fn is_number(argument: &Arg) -> bool {
    let id = argument.get_value_parser().type_id();
    id == std::any::TypeId::of::<f64>() || id == std::any::TypeId::of::<f32>()
}
