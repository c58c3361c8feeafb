//! What one subscriber asks for: the query of `/subscribe`, and the message that replaces its lists.

use std::fmt;

use orrery_query::stream::{
    DIDS_MAX, Filters, Operation, Origin, PREFIXES_MAX, SOURCES_MAX, SUBJECTS_MAX, Start,
};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, SeqAccess, Visitor};

use super::closing::Closing;
use crate::params::Params;
use crate::problem::Problem;

/// Parameters that make a client an extended one: frames of others stay as they always were.
const EXTENDED: [&str; 6] = [
    "cursor",
    "wantedOperations",
    "wantedOrigins",
    "allLinks",
    "includeTime",
    "requireHello",
];

/// The query of `/subscribe`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) filters: Filters,
    /// Whether links are told at once, not after the delay.
    pub(crate) is_instant: bool,
    pub(crate) start: Start,
    /// Whether nothing is told before the first message of options.
    pub(crate) requires_hello: bool,
    pub(crate) form: Form,
}

/// What frames a subscriber gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// All links of new record versions, as clients know them that use no new parameter.
    Plain,
    /// What became different, with times and cursors.
    Extended(Wanted),
}

/// What an extended subscriber wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted {
    creates: bool,
    deletes: bool,
    live: bool,
    replay: bool,
    backfill: bool,
    /// Whether more than the first links of a record are.
    pub(crate) all_links: bool,
}

impl Wanted {
    pub(crate) fn operation(self, operation: Operation) -> bool {
        match operation {
            Operation::Create => self.creates,
            Operation::Delete => self.deletes,
        }
    }

    pub(crate) fn origin(self, origin: Origin) -> bool {
        match origin {
            Origin::Live => self.live,
            Origin::Replay => self.replay,
            Origin::Backfill => self.backfill,
        }
    }
}

impl Options {
    pub(crate) fn parse(params: &Params) -> Result<Self, Problem> {
        let filters = Filters {
            subjects: list(params, "wantedSubjects"),
            prefixes: list(params, "wantedSubjectPrefixes"),
            dids: list(params, "wantedSubjectDids"),
            sources: list(params, "wantedSources"),
        };
        filters
            .check()
            .map_err(|error| Problem::invalid(format!("parameter {error}")))?;
        let cursors = params.pairs().filter(|(name, _)| *name == "cursor").count();
        if values(params, "cursor").count() > cursors {
            return Err(Problem::invalid(
                "parameter cursor: it is one value, not a list",
            ));
        }
        let cursor = params.scalar("cursor")?.unwrap_or_default();
        let start = cursor
            .parse()
            .map_err(|error| Problem::invalid(format!("parameter cursor: {error}")))?;
        let operations = Words::of(params, "wantedOperations", &["create", "delete"])?;
        let origins = Words::of(params, "wantedOrigins", &["live", "replay", "backfill"])?;
        let wanted = Wanted {
            creates: operations.has("create", true),
            deletes: operations.has("delete", false),
            live: origins.has("live", true),
            replay: origins.has("replay", true),
            backfill: origins.has("backfill", false),
            all_links: params.flag("allLinks")?,
        };
        // Only that it is there matters: extended frames have the time anyway.
        let _ = params.flag("includeTime")?;
        let is_extended = EXTENDED
            .iter()
            .any(|name| values(params, name).next().is_some());
        Ok(Self {
            filters,
            is_instant: params.flag("instant")?,
            start,
            requires_hello: params.flag("requireHello")?,
            form: if is_extended {
                Form::Extended(wanted)
            } else {
                Form::Plain
            },
        })
    }
}

/// The values of a list: its name repeated, or with brackets, empty or around a number, behind it.
fn values<'a>(params: &'a Params, list: &'a str) -> impl Iterator<Item = &'a str> {
    let is_of = move |name: &str| {
        name.strip_prefix(list).is_some_and(|rest| {
            rest.is_empty()
                || rest
                    .strip_prefix('[')
                    .and_then(|rest| rest.strip_suffix(']'))
                    .is_some_and(|index| index.bytes().all(|b| b.is_ascii_digit()))
        })
    };
    params
        .pairs()
        .filter(move |(name, _)| is_of(name))
        .map(|(_, value)| value)
}

fn list(params: &Params, name: &str) -> Vec<String> {
    values(params, name)
        .filter(|value| !value.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Some words of a closed set; `None` where the parameter is not there.
struct Words(Option<Vec<String>>);

impl Words {
    fn of(params: &Params, name: &str, known: &[&str]) -> Result<Self, Problem> {
        if values(params, name).next().is_none() {
            return Ok(Self(None));
        }
        let words = list(params, name);
        if words.iter().all(|word| known.contains(&word.as_str())) {
            Ok(Self(Some(words)))
        } else {
            let known = known.join(", ");
            Err(Problem::invalid(format!(
                "parameter {name}: each value must be one of {known}"
            )))
        }
    }

    fn has(&self, word: &str, default: bool) -> bool {
        match &self.0 {
            None => default,
            Some(words) => words.iter().any(|w| w == word),
        }
    }
}

#[derive(Deserialize)]
struct Message {
    // Checked by being read.
    #[serde(rename = "type")]
    _type: Type,
    payload: Payload,
}

#[derive(Deserialize)]
enum Type {
    #[serde(rename = "options_update")]
    OptionsUpdate,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Payload {
    #[serde(deserialize_with = "subjects")]
    wanted_subjects: Vec<String>,
    #[serde(deserialize_with = "prefixes")]
    wanted_subject_prefixes: Vec<String>,
    #[serde(deserialize_with = "dids")]
    wanted_subject_dids: Vec<String>,
    #[serde(deserialize_with = "sources")]
    wanted_sources: Vec<String>,
}

/// A list of a message. One that is too long is read no further: 10 MiB of it would make a million values.
struct List {
    name: &'static str,
    limit: usize,
}

impl<'de> Visitor<'de> for List {
    type Value = Vec<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of strings")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<String>, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element()? {
            if values.len() == self.limit {
                let Self { name, limit } = self;
                let error = format!("{name} has more than {limit} values");
                return Err(A::Error::custom(error));
            }
            values.push(value);
        }
        Ok(values)
    }
}

fn subjects<'de, D: Deserializer<'de>>(list: D) -> Result<Vec<String>, D::Error> {
    let (name, limit) = ("wantedSubjects", SUBJECTS_MAX);
    list.deserialize_seq(List { name, limit })
}

fn prefixes<'de, D: Deserializer<'de>>(list: D) -> Result<Vec<String>, D::Error> {
    let (name, limit) = ("wantedSubjectPrefixes", PREFIXES_MAX);
    list.deserialize_seq(List { name, limit })
}

fn dids<'de, D: Deserializer<'de>>(list: D) -> Result<Vec<String>, D::Error> {
    let (name, limit) = ("wantedSubjectDids", DIDS_MAX);
    list.deserialize_seq(List { name, limit })
}

fn sources<'de, D: Deserializer<'de>>(list: D) -> Result<Vec<String>, D::Error> {
    let (name, limit) = ("wantedSources", SOURCES_MAX);
    list.deserialize_seq(List { name, limit })
}

/// The lists of a message: all four of them, those that it leaves out empty.
pub(crate) fn parse_message(text: &str) -> Result<Filters, Closing> {
    let Message { payload, .. } = serde_json::from_str(text).map_err(|error| {
        let why = error.to_string();
        // What begins with the name of a list is all that is to be said.
        if why.starts_with("wanted") {
            Closing::bad_options(why)
        } else {
            Closing::bad_options(format_args!("no options_update: {why}"))
        }
    })?;
    let filters = Filters {
        subjects: payload.wanted_subjects,
        prefixes: payload.wanted_subject_prefixes,
        dids: payload.wanted_subject_dids,
        sources: payload.wanted_sources,
    };
    filters.check().map_err(Closing::bad_options)?;
    Ok(filters)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(query: &str) -> Options {
        Options::parse(&Params::parse(query).unwrap()).unwrap()
    }

    fn refused(query: &str) -> String {
        let refused = Options::parse(&Params::parse(query).unwrap()).unwrap_err();
        refused.message().to_owned()
    }

    #[test]
    fn lists_are_taken_under_all_their_names_and_verbatim() {
        let options = options(
            "wantedSubjects=a,b&wantedSubjects=&wantedSubjects[]=+c&wantedSubjects[0]=d&wantedSubjects[x]=e&\
             wantedSubjectsX=f&wantedSubjectPrefixes=p&wantedSubjectDids[7]=did:plc:a&wantedSources=s&unknown=1",
        );
        assert_eq!(options.filters.subjects, ["a,b", " c", "d"]);
        assert_eq!(options.filters.prefixes, ["p"]);
        assert_eq!(options.filters.dids, ["did:plc:a"]);
        assert_eq!(options.filters.sources, ["s"]);
        assert_eq!(options.form, Form::Plain);
        assert_eq!(options.start, Start::Now);
        assert!(!options.is_instant && !options.requires_hello);
    }

    #[test]
    fn any_new_parameter_makes_an_extended_client() {
        for query in [
            "cursor=",
            "wantedOperations=create",
            "wantedOperations[]=",
            "wantedOrigins[0]=live",
            "allLinks=false",
            "includeTime=true",
            "requireHello=false",
        ] {
            assert_ne!(options(query).form, Form::Plain, "{query}");
        }
        assert_eq!(options("instant=true&wantedSources=x").form, Form::Plain);
    }

    #[test]
    fn operations_and_origins_have_defaults_and_an_empty_list_wants_nothing() {
        let wanted = |query: &str| match options(query).form {
            Form::Extended(wanted) => [
                wanted.operation(Operation::Create),
                wanted.operation(Operation::Delete),
                wanted.origin(Origin::Live),
                wanted.origin(Origin::Replay),
                wanted.origin(Origin::Backfill),
                wanted.all_links,
            ],
            Form::Plain => panic!("{query}"),
        };
        assert_eq!(wanted("cursor="), [true, false, true, true, false, false]);
        assert_eq!(
            wanted("wantedOperations=&allLinks=true"),
            [false, false, true, true, false, true]
        );
        assert_eq!(
            wanted("wantedOperations=delete&wantedOrigins=backfill&wantedOrigins=live"),
            [false, true, true, false, true, false]
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_its_name() {
        for (query, name) in [
            ("instant=1", "instant"),
            ("instant=true&instant=false", "instant"),
            ("cursor=x", "cursor"),
            ("cursor=1&cursor=2", "cursor"),
            ("cursor=1.2.3", "cursor"),
            ("wantedOperations=update", "wantedOperations"),
            ("wantedOrigins=live,replay", "wantedOrigins"),
            ("allLinks=yes", "allLinks"),
            ("includeTime=", "includeTime"),
            ("requireHello=TRUE", "requireHello"),
        ] {
            assert!(refused(query).contains(name), "{query}: {}", refused(query));
        }
        for (name, limit) in [
            ("wantedSources", 1_000),
            ("wantedSubjectDids", 10_000),
            ("wantedSubjectPrefixes", 100),
            ("wantedSubjects", 50_000),
        ] {
            let query = format!("{name}=a&").repeat(limit);
            options(&query);
            assert!(refused(&format!("{query}&{name}=b")).contains(name));
        }
    }

    #[test]
    fn a_message_replaces_all_lists_and_no_other_message_is_taken() {
        let filters = parse_message(
            r#"{"type":"options_update","payload":{"wantedSources":["a","a"],"new":null},"x":1}"#,
        );
        assert_eq!(filters.unwrap().sources, ["a", "a"]);
        let cleared = parse_message(r#"{"payload":{},"type":"options_update"}"#);
        assert_eq!(cleared.unwrap(), Filters::default());
        let long = format!(
            r#"{{"type":"options_update","payload":{{"wantedSources":["{}"]}}}}"#,
            ["x"; 1001].join("\",\"")
        );
        for (text, says) in [
            ("", "options_update"),
            ("hello", "options_update"),
            ("{}", "type"),
            (r#"{"type":"ping","payload":{}}"#, "ping"),
            (r#"{"type":"options_update"}"#, "payload"),
            (
                r#"{"type":"options_update","payload":{"wantedSources":null}}"#,
                "null",
            ),
            (
                r#"{"type":"options_update","payload":{"wantedSources":"a"}}"#,
                "string",
            ),
            (
                r#"{"type":"options_update","payload":{"wantedSources":[1]}}"#,
                "integer",
            ),
            (&long, "wantedSources"),
            (&"[".repeat(1000), "options_update"),
        ] {
            let closing = parse_message(text).unwrap_err();
            assert_eq!(closing.code(), 1008, "{text}");
            assert!(closing.reason().contains(says), "{closing:?}");
        }
    }

    #[test]
    fn a_cursor_is_one_value_under_one_name() {
        for query in ["cursor[]=17.0", "cursor[0]=17.0&cursor=17.0"] {
            let message = refused(query);
            assert!(
                message.contains("cursor") && message.contains("list"),
                "{message}"
            );
        }
    }

    #[test]
    fn a_list_of_a_message_is_read_no_further_than_its_limit() {
        // Behind the limit the rest may be anything: it is not looked at.
        let values = r#""x","#.repeat(SOURCES_MAX + 1);
        let text = format!(r#"{{"type":"options_update","payload":{{"wantedSources":[{values}{{"#);
        let closing = parse_message(&text).unwrap_err();
        assert!(
            closing
                .reason()
                .starts_with("wantedSources has more than 1000 values"),
            "{closing:?}"
        );
        let values = vec![r#""x""#; SOURCES_MAX].join(",");
        let text =
            format!(r#"{{"type":"options_update","payload":{{"wantedSources":[{values}]}}}}"#);
        assert_eq!(parse_message(&text).unwrap().sources.len(), SOURCES_MAX);
    }
}
