//! Lexicons <https://atproto.com/specs/lexicon>: whether one is well formed, and whether a value is as it says. Strict: what is not
//! known here, a member that a lexicon does not name too, is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use orrery_links::syntax::{AtIdentifier, AtUri, Cid, Did, Handle, Nsid, RecordKey};
use serde_json::{Map, Value};

/// All lexicons, by their NSIDs.
pub struct Lexicons(pub BTreeMap<String, Value>);

type Checked = Result<(), String>;

/// The keywords of each type.
const KEYWORDS: [(&str, &[&str]); 9] = [
    ("boolean", &["default", "const"]),
    ("integer", &["minimum", "maximum", "default", "enum"]),
    (
        "string",
        &[
            "format",
            "minLength",
            "maxLength",
            "knownValues",
            "enum",
            "default",
        ],
    ),
    ("array", &["items", "minLength", "maxLength"]),
    ("object", &["properties", "required", "nullable"]),
    ("params", &["properties", "required"]),
    ("ref", &["ref"]),
    ("unknown", &[]),
    (
        "query or procedure",
        &["parameters", "input", "output", "errors"],
    ),
];

impl Lexicons {
    /// Those of a directory: one file for each, in the directories that its NSID names.
    pub fn load(directory: &Path) -> Self {
        let mut all = BTreeMap::new();
        let mut directories = vec![directory.to_owned()];
        while let Some(next) = directories.pop() {
            for entry in std::fs::read_dir(next).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    directories.push(path);
                    continue;
                }
                let text = std::fs::read_to_string(&path).unwrap();
                let lexicon: Value = serde_json::from_str(&text).unwrap();
                let place = path.strip_prefix(directory).unwrap().with_extension("");
                let name = place.to_str().unwrap().replace('/', ".");
                assert_eq!(lexicon["id"], name.as_str(), "{}", path.display());
                all.insert(name, lexicon);
            }
        }
        Self(all)
    }

    /// What `reference` stands for in the lexicon of this NSID, and whose it is.
    fn resolve(&self, nsid: &str, reference: &str) -> Option<(String, &Value)> {
        let (other, name) = reference.split_once('#').unwrap_or((reference, "main"));
        let nsid = if other.is_empty() { nsid } else { other };
        let schema = self.0.get(nsid)?.get("defs")?.get(name)?;
        Some((nsid.to_owned(), schema))
    }

    /// Whether a lexicon is one.
    pub fn well_formed(&self, nsid: &str) -> Checked {
        let lexicon = self.0[nsid].as_object().ok_or("no object")?;
        only(lexicon, &["lexicon", "id", "description", "defs"])?;
        if lexicon["lexicon"] != 1 {
            return Err("no lexicon of version 1".into());
        }
        Nsid::parse(nsid).map_err(|error| error.to_string())?;
        for (name, schema) in lexicon["defs"].as_object().ok_or("no defs")? {
            let kind = schema["type"].as_str().unwrap_or_default();
            let is_method = ["query", "procedure"].contains(&kind);
            if is_method != (name == "main") {
                return Err(format!("{name} is a {kind}"));
            }
            let checked = match is_method {
                true => self.method(nsid, schema),
                false => self.schema(nsid, schema),
            };
            checked.map_err(|why| format!("{nsid}#{name}: {why}"))?;
        }
        Ok(())
    }

    fn method(&self, nsid: &str, schema: &Value) -> Checked {
        let (_, keywords) = KEYWORDS[8];
        only_keywords(schema, keywords)?;
        let is_query = schema["type"] == "query";
        if is_query == schema["input"].is_object() || is_query != schema["parameters"].is_object() {
            return Err("a query has parameters, a procedure an input".into());
        }
        for body in ["input", "output"] {
            let Some(body) = schema.get(body) else {
                continue;
            };
            only(
                body.as_object().ok_or("no object")?,
                &["encoding", "schema", "description"],
            )?;
            if body["encoding"] != "application/json" || body["schema"]["type"] != "object" {
                return Err("bodies are JSON objects".into());
            }
            self.schema(nsid, &body["schema"])?;
        }
        if let Some(parameters) = schema.get("parameters") {
            self.schema(nsid, parameters)?;
            for (name, parameter) in parameters["properties"].as_object().unwrap() {
                let inner = match parameter["type"].as_str() {
                    Some("array") => &parameter["items"]["type"],
                    _ => &parameter["type"],
                };
                if !["boolean", "integer", "string", "unknown"]
                    .iter()
                    .any(|kind| inner == kind)
                {
                    return Err(format!("parameter {name} is of type {inner}"));
                }
            }
        }
        let mut names = BTreeSet::new();
        for error in schema
            .get("errors")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            only(
                error.as_object().ok_or("no object")?,
                &["name", "description"],
            )?;
            let name = error["name"].as_str().ok_or("no name")?;
            let is_name = name.bytes().all(|b| b.is_ascii_alphanumeric());
            if name.is_empty() || !is_name || !names.insert(name) {
                return Err(format!("error {name}"));
            }
        }
        Ok(())
    }

    fn schema(&self, nsid: &str, schema: &Value) -> Checked {
        let kind = schema["type"].as_str().ok_or("no type")?;
        let known = KEYWORDS.iter().find(|(known, _)| *known == kind);
        let (_, keywords) = known.ok_or(format!("type {kind}"))?;
        only_keywords(schema, keywords)?;
        let bound = |name: &str| schema.get(name).and_then(Value::as_u64);
        for (least, most) in [("minimum", "maximum"), ("minLength", "maxLength")] {
            if let (Some(least), Some(most)) = (bound(least), bound(most))
                && least > most
            {
                return Err(format!("{least} is above {most}"));
            }
        }
        if let Some(default) = schema.get("default") {
            self.check(nsid, schema, default, "default")?;
        }
        match kind {
            "array" => self.schema(nsid, &schema["items"])?,
            "ref" => {
                let reference = schema["ref"].as_str().ok_or("no ref")?;
                self.resolve(nsid, reference)
                    .ok_or(format!("no {reference}"))?;
            }
            "object" | "params" => {
                let properties = schema["properties"].as_object().ok_or("no properties")?;
                for (name, property) in properties {
                    self.schema(nsid, property)
                        .map_err(|why| format!("{name}: {why}"))?;
                }
                for list in ["required", "nullable"] {
                    for name in schema
                        .get(list)
                        .and_then(Value::as_array)
                        .into_iter()
                        .flatten()
                    {
                        if !properties.contains_key(name.as_str().unwrap_or_default()) {
                            return Err(format!("{list} names {name}"));
                        }
                    }
                }
            }
            "string" => {
                if let Some(name) = schema.get("format").and_then(Value::as_str)
                    && format_of(name, "").is_none()
                {
                    return Err(format!("format {name}"));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether the answer of a method is as its lexicon says.
    pub fn check_output(&self, nsid: &str, value: &Value) -> Checked {
        let schema = &self.0[nsid]["defs"]["main"]["output"]["schema"];
        self.check(nsid, schema, value, "$")
    }

    /// Whether a value is as a definition says.
    pub fn check_def(&self, nsid: &str, name: &str, value: &Value) -> Checked {
        self.check(nsid, &self.0[nsid]["defs"][name], value, "$")
    }

    fn check(&self, nsid: &str, schema: &Value, value: &Value, at: &str) -> Checked {
        let fail = |what: &str| Err(format!("{at}: {what}: {value} is not as {schema}"));
        let within = |least: &str, most: &str, size: i64| {
            schema
                .get(least)
                .and_then(Value::as_i64)
                .is_none_or(|least| least <= size)
                && schema
                    .get(most)
                    .and_then(Value::as_i64)
                    .is_none_or(|most| size <= most)
        };
        match schema["type"].as_str().unwrap_or_default() {
            "boolean" if value.is_boolean() => Ok(()),
            "integer" => match value.as_i64() {
                Some(number) if within("minimum", "maximum", number) => Ok(()),
                _ => fail("integer"),
            },
            "string" => {
                let Some(text) = value.as_str() else {
                    return fail("string");
                };
                let format = schema.get("format").and_then(Value::as_str);
                if format.is_some_and(|name| format_of(name, text) != Some(true)) {
                    return fail("format");
                }
                let words = schema.get("enum").or(schema.get("knownValues"));
                if words.is_some_and(|words| !words.as_array().unwrap().contains(value)) {
                    return fail("word");
                }
                match within("minLength", "maxLength", text.len() as i64) {
                    true => Ok(()),
                    false => fail("length"),
                }
            }
            "array" => {
                let Some(items) = value.as_array() else {
                    return fail("array");
                };
                if !within("minLength", "maxLength", items.len() as i64) {
                    return fail("length");
                }
                for (i, item) in items.iter().enumerate() {
                    self.check(nsid, &schema["items"], item, &format!("{at}[{i}]"))?;
                }
                Ok(())
            }
            "object" => {
                let Some(members) = value.as_object() else {
                    return fail("object");
                };
                let names = |list: &str| -> Vec<&str> {
                    let names = schema.get(list).and_then(Value::as_array);
                    names
                        .into_iter()
                        .flatten()
                        .filter_map(Value::as_str)
                        .collect()
                };
                for name in names("required") {
                    if !members.contains_key(name) {
                        return fail(&format!("{name} is missing"));
                    }
                }
                for (name, member) in members {
                    let Some(property) = schema["properties"].get(name) else {
                        return fail(&format!("undeclared member {name}"));
                    };
                    if member.is_null() && names("nullable").contains(&name.as_str()) {
                        continue;
                    }
                    self.check(nsid, property, member, &format!("{at}.{name}"))?;
                }
                Ok(())
            }
            "ref" => {
                let reference = schema["ref"].as_str().unwrap_or_default();
                let (nsid, schema) = self
                    .resolve(nsid, reference)
                    .ok_or(format!("no {reference}"))?;
                self.check(&nsid, schema, value, at)
            }
            "unknown" if value.is_object() => Ok(()),
            _ => fail("type"),
        }
    }
}

/// Whether a text has a format; `None` for a format that is not known.
fn format_of(name: &str, text: &str) -> Option<bool> {
    let has = match name {
        "did" => Did::parse(text).is_ok(),
        "handle" => Handle::parse(text).is_ok(),
        "at-identifier" => AtIdentifier::parse(text).is_ok(),
        "nsid" => Nsid::parse(text).is_ok(),
        "record-key" => RecordKey::parse(text).is_ok(),
        "cid" => Cid::parse(text).is_ok(),
        "at-uri" => AtUri::parse(text).is_ok(),
        "uri" => orrery_links::parse_target(text).is_some(),
        _ => return None,
    };
    Some(has)
}

fn only(members: &Map<String, Value>, known: &[&str]) -> Checked {
    match members.keys().find(|name| !known.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) => Err(format!("member {name}")),
    }
}

fn only_keywords(schema: &Value, keywords: &[&str]) -> Checked {
    let known = [&["type", "description"], keywords].concat();
    only(schema.as_object().ok_or("no object")?, &known)
}
