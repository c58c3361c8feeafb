//! The values in effect, each with where it is from. As text they are a configuration file again.

use std::ffi::OsString;
use std::fmt::Write as _;

use orrery_jetstream::without_secrets;
use serde_json::{Value, json};

use super::{Setting, Settings, Source};

/// What stands in the place of a value that is not to be shown.
const HIDDEN: &str = "(hidden)";

/// As a file.
pub(crate) fn as_text(settings: &Settings) -> String {
    let mut text = String::new();
    for setting in &settings.all {
        let name = &setting.key.name;
        let from = from(settings, setting);
        let _ = match (&setting.source, setting.key.is_secret()) {
            (Source::Unset, _) => {
                let otherwise = otherwise(&setting.key.help());
                writeln!(text, "# {name} is not set{otherwise}")
            }
            (_, true) => writeln!(text, "# {name} = {HIDDEN}  # {from}"),
            (_, false) => {
                let value = setting.key.written(&shown(&setting.values));
                writeln!(text, "{name} = {value}  # {from}")
            }
        };
    }
    text
}

/// As one object.
pub(crate) fn as_json(settings: &Settings) -> Value {
    let value = |setting: &Setting| -> Value {
        if matches!(setting.source, Source::Unset) {
            return Value::Null;
        }
        if setting.key.is_secret() {
            return HIDDEN.into();
        }
        let values = shown(&setting.values);
        let texts = values.iter().map(|value| {
            let text = setting.key.written(std::slice::from_ref(value));
            let text = text.trim_start_matches('[').trim_end_matches(']');
            serde_json::from_str(text).unwrap_or_else(|_| Value::from(text))
        });
        let mut texts: Vec<Value> = texts.collect();
        match setting.key.is_list {
            true => texts.into(),
            false => texts.pop().unwrap_or_default(),
        }
    };
    let values = settings.all.iter().map(|setting| {
        let (source, line) = match setting.source {
            Source::Flag => ("flag", None),
            Source::Variable => ("variable", None),
            Source::File { line, .. } => ("file", Some(line)),
            Source::Default => ("default", None),
            Source::Unset => ("unset", None),
        };
        json!({
            "key": setting.key.name,
            "value": value(setting),
            "source": source,
            "line": line,
            "variable": setting.key.variable(),
        })
    });
    json!({
        "file": settings.file.as_ref().map(|path| path.to_string_lossy()),
        "values": values.collect::<Vec<_>>(),
    })
}

fn from(settings: &Settings, setting: &Setting) -> String {
    match &setting.source {
        Source::Flag => format!("option --{}", setting.key.name),
        Source::Variable => format!("variable {}", setting.key.variable().unwrap_or_default()),
        Source::File { line, .. } => {
            let path = settings.file.as_deref().unwrap_or("".as_ref());
            format!("{}:{line}", path.display())
        }
        Source::Default | Source::Unset => "default".to_owned(),
    }
}

/// What the help says of an option that is not given.
fn otherwise(help: &str) -> String {
    let said = help
        .rsplit_once("[default: ")
        .and_then(|(_, said)| said.split_once(']'));
    said.map(|(said, _)| format!(": {said}"))
        .unwrap_or_default()
}

/// Values with what may be a secret in a URL among them hidden.
fn shown(values: &[OsString]) -> Vec<OsString> {
    let shown = |value: &OsString| match value.to_string_lossy() {
        text if text.contains("://") => without_secrets(&text).into(),
        _ => value.clone(),
    };
    values.iter().map(shown).collect()
}
