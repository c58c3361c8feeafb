//! Paths into records, in the grammar of sources: a dot before each member but the first, its name as it is, and for
//! elements of arrays `[type]`, the `$type` of the element, or `[]`. The index writes `[]` for elements without a `$type`;
//! here it stands for all elements.
//!
//! A record is walked as text: only what the path leads through is taken apart, and that once for each step, so that the time is
//! the length of the record times that of the path at most, whatever is in it.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The longest path, in bytes.
pub(crate) const BYTES_MAX: usize = 512;
/// The most steps: as deep as links are looked for.
const STEPS_MAX: usize = 64;
/// The most values that a path leads to in one record.
pub(super) const VALUES_MAX: usize = 1000;

/// The most bytes that are looked through for one answer, each as often as it is.
const WALK_BYTES_MAX: usize = 256 << 20;

/// A path, as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Path(String);

impl Path {
    /// # Errors
    /// Why no path can be so.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() {
            return Err("a path must not be empty");
        }
        if text.len() > BYTES_MAX {
            return Err("a path has at most 512 bytes");
        }
        Ok(Self(text.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The values at the end of the path, in the order in which they stand; the first `most`. Where the walk is over before the
    /// end, some are missing.
    pub(crate) fn values<'j>(
        &self,
        json: &'j RawValue,
        most: usize,
        walk: &mut Walk,
    ) -> Vec<&'j RawValue> {
        let mut found = Vec::new();
        let is_array = json.get().trim_start().starts_with('[');
        if is_array {
            descend(json, &self.0, STEPS_MAX, most, walk, &mut found);
        } else {
            let path = format!(".{}", self.0);
            descend(json, &path, STEPS_MAX, most, walk, &mut found);
        }
        found
    }
}

/// How far walks through the records of one answer may still go. Strangers write the records, and callers the paths: what one step
/// through one record costs is not much, but an answer has many of both, and its thread is one of few.
#[derive(Debug)]
pub(crate) struct Walk {
    left: usize,
    is_over: bool,
}

impl Default for Walk {
    fn default() -> Self {
        Self {
            left: WALK_BYTES_MAX,
            is_over: false,
        }
    }
}

impl Walk {
    /// Whether something was not looked through.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Goes on through so many bytes, if it still may.
    fn goes_through(&mut self, bytes: usize) -> bool {
        match self.left.checked_sub(bytes) {
            Some(left) if !self.is_over => {
                self.left = left;
                true
            }
            _ => {
                self.is_over = true;
                false
            }
        }
    }
}

fn descend<'j>(
    json: &'j RawValue,
    rest: &str,
    steps: usize,
    most: usize,
    walk: &mut Walk,
    found: &mut Vec<&'j RawValue>,
) {
    if found.len() >= most {
        return;
    }
    if rest.is_empty() {
        found.push(json);
        return;
    }
    let Some(steps) = steps.checked_sub(1) else {
        return;
    };
    let text = json.get().trim_start();
    if let Some(names) = rest.strip_prefix('.')
        && text.starts_with('{')
    {
        if !walk.goes_through(text.len()) {
            return;
        }
        let mut from = serde_json::Deserializer::from_str(text);
        // What is no object has no members.
        let Ok(members) = from.deserialize_map(Members { names }) else {
            return;
        };
        for member in members {
            if let Some(after) = names.get(member.name.len()..) {
                descend(member.value, after, steps, most, walk, found);
            }
        }
    } else if rest.starts_with('[') && text.starts_with('[') {
        if !walk.goes_through(text.len()) {
            return;
        }
        for element in serde_json::from_str::<Vec<&RawValue>>(text).unwrap_or_default() {
            if let Some(after) = after_element(rest, element) {
                descend(element, after, steps, most, walk, found);
            }
        }
    }
}

/// What of the path comes after an element, if it leads through that.
fn after_element<'p>(rest: &'p str, element: &RawValue) -> Option<&'p str> {
    let after = match rest.strip_prefix("[]") {
        Some(after) => after,
        None => {
            let typed: Typed<'_> = serde_json::from_str(element.get()).ok()?;
            rest.strip_prefix('[')?
                .strip_prefix(&*typed.kind)?
                .strip_prefix(']')?
        }
    };
    is_end(after).then_some(after)
}

/// Whether a step may end before this.
fn is_end(after: &str) -> bool {
    after.is_empty() || after.starts_with(['.', '['])
}

#[derive(Deserialize)]
struct Typed<'a> {
    #[serde(rename = "$type", borrow)]
    kind: Cow<'a, str>,
}

/// A member of an object that the path leads through.
struct Member<'j> {
    name: Cow<'j, str>,
    value: &'j RawValue,
}

/// Reads the members that `names` begins with. Of members of one name the last counts.
struct Members<'p> {
    names: &'p str,
}

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'j> Visitor<'j> for Members<'_> {
    type Value = Vec<Member<'j>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'j>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members: Vec<Member<'j>> = Vec::new();
        while let Some(Name(name)) = map.next_key()? {
            let value = map.next_value()?;
            if !self.names.strip_prefix(&*name).is_some_and(is_end) {
                continue;
            }
            match members.iter_mut().find(|member| member.name == name) {
                Some(member) => member.value = value,
                None => members.push(Member { name, value }),
            }
        }
        Ok(members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(json: &str, path: &str) -> Vec<String> {
        let json: &RawValue = serde_json::from_str(json).unwrap();
        let path = Path::parse(path).unwrap();
        let values = path.values(json, VALUES_MAX, &mut Walk::default());
        values.iter().map(|value| value.get().to_owned()).collect()
    }

    const POST: &str = r#"{"$type":"app.bsky.feed.post","text":"hi","n":1.50,
        "embed":{"record":{"uri":"at://x","cid":"bafy"}},
        "facets":[{"features":[{"$type":"a.b#link","uri":"https://1"},{"$type":"a.b#tag","tag":"t"},{"uri":"https://2"}]}],
        "tags":["a","b"],"nested":[[1],[2,3]],"v.w":1,"v":{"w":2},"":{"":7}}"#;

    #[test]
    fn paths_are_those_of_sources() {
        for (path, values) in [
            ("text", &["\"hi\""][..]),
            ("n", &["1.50"]),
            ("embed.record.uri", &["\"at://x\""]),
            ("embed.record", &[r#"{"uri":"at://x","cid":"bafy"}"#]),
            ("facets[].features[a.b#link].uri", &["\"https://1\""]),
            (
                "facets[].features[].uri",
                &["\"https://1\"", "\"https://2\""],
            ),
            ("facets[].features[a.b#tag].tag", &["\"t\""]),
            ("tags[]", &["\"a\"", "\"b\""]),
            ("tags", &[r#"["a","b"]"#]),
            ("nested[][]", &["1", "2", "3"]),
            ("v.w", &["1", "2"]),
            (".", &["7"]),
            ("$type", &["\"app.bsky.feed.post\""]),
            ("embed.record.uri.x", &[]),
            ("embed[]", &[]),
            ("tags.x", &[]),
            ("tex", &[]),
            ("text.", &[]),
            ("facets[", &[]),
            ("facets[]x", &[]),
            ("facets[][]", &[]),
            (".text", &[]),
        ] {
            assert_eq!(found(POST, path), values, "{path}");
        }
        assert_eq!(found(r#"[{"a":1},{"a":2}]"#, "[].a"), ["1", "2"]);
        assert_eq!(found("7", "a"), [""; 0]);
        assert_eq!(
            found(r#"{"a":1,"a":2}"#, "a"),
            ["2"],
            "the last of one name"
        );
        assert_eq!(found(r#"{"\u0061":1}"#, "a"), ["1"]);
    }

    #[test]
    fn hostile_records_are_walked_within_bounds() {
        let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
        let record = format!("{{\"a\":{deep}}}");
        assert_eq!(found(&record, "a").len(), 1);
        assert_eq!(found(&record, "a[][]").len(), 1);
        assert_eq!(found(&record, &format!("a{}", "[]".repeat(200))), [""; 0]);
        let wide = format!("{{\"a\":[{}0]}}", "0,".repeat(100_000));
        assert_eq!(found(&wide, "a[]").len(), VALUES_MAX);
        let empty = format!("{}1{}", "{\"\":".repeat(1000), "}".repeat(1000));
        assert_eq!(found(&empty, &".".repeat(500)), [""; 0]);
        assert!(Path::parse("").is_err());
        assert!(Path::parse(&"a".repeat(513)).is_err());
    }

    #[test]
    fn walks_of_one_answer_are_bounded_together() {
        let depth = 62;
        let record = format!(
            "{{\"a\":{}{}1{}}}",
            "[".repeat(depth),
            "1,".repeat(500_000),
            "]".repeat(depth)
        );
        let record = RawValue::from_string(record).unwrap();
        let path = Path::parse(&format!("a{}", "[]".repeat(depth))).unwrap();
        let mut walk = Walk::default();
        assert_eq!(
            path.values(&record, VALUES_MAX, &mut walk).len(),
            VALUES_MAX
        );
        assert!(!walk.is_over());
        let begin = std::time::Instant::now();
        for _ in 0..1600 {
            path.values(&record, VALUES_MAX, &mut walk);
        }
        assert!(walk.is_over());
        assert!(begin.elapsed() < std::time::Duration::from_secs(10));
    }
}
