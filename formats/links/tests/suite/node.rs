//! Records in formats other than JSON text: whatever implements [`Node`] is walked by the same rules.

use orrery_links::{ExtractError, Extractor, Limits, Node, Truncation, View};

/// A value of a format that has bytes, and no text form.
enum Value {
    Bytes,
    Text(&'static str),
    List(Vec<Value>),
    Map(Vec<(&'static str, Value)>),
}

struct Members<'v>(std::slice::Iter<'v, (&'static str, Value)>);

impl<'v> Iterator for Members<'v> {
    type Item = (&'v str, &'v Value);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|(key, value)| (*key, value))
    }
}

impl<'v> Node<'v> for &'v Value {
    type Members = Members<'v>;
    type Elements = std::slice::Iter<'v, Value>;

    fn view(self) -> View<'v, Self> {
        match self {
            Value::Bytes => View::Other,
            Value::Text(text) => View::Text(text),
            Value::List(values) => View::Array(values.iter()),
            Value::Map(members) => View::Object(Members(members.iter())),
        }
    }
}

use Value::{Bytes, List, Map, Text};

#[test]
fn any_tree_of_values_is_walked() {
    let record = Map(vec![
        ("sig", Bytes),
        (
            "e",
            List(vec![
                Map(vec![("u", Text("did:plc:a")), ("$type", Text("c.d.e"))]),
                Map(vec![("$type", Bytes)]),
            ]),
        ),
        ("z", Text("HTTP://X.example")),
    ]);
    let mut extractor = Extractor::default();
    let extraction = extractor.extract_node(&record).expect("an object");
    let found: Vec<_> = extraction
        .links()
        .map(|link| (link.path, link.target))
        .collect();
    assert_eq!(
        found,
        [(".e[c.d.e].u", "did:plc:a"), (".z", "http://x.example")]
    );
}

#[test]
fn limits_hold_for_any_tree() {
    let mut record = Text("did:plc:a");
    for _ in 0..600 {
        record = Map(vec![("a", List(vec![record])), ("u", Text("did:plc:b"))]);
    }
    let mut extractor = Extractor::new(Limits {
        depth: usize::MAX,
        ..Limits::default()
    });
    let extraction = extractor.extract_node(&record).expect("an object");
    // Every second level is a map with a link of its own.
    assert_eq!(
        (extraction.len(), extraction.truncated()),
        (256, Some(Truncation::Depth))
    );
    assert!(matches!(
        extractor.extract_node(&List(vec![])),
        Err(ExtractError::NotAnObject { .. })
    ));
}

#[cfg(feature = "serde_json")]
#[test]
fn a_serde_json_value_gives_the_links_of_its_text() {
    let text = r#"{"a":[{"$type":"c.d.e","u":"did:plc:a"},["a:b",5]],"b":null,"c":{"d":"At://X.example/"}}"#;
    let value: serde_json::Value = serde_json::from_str(text).expect("JSON");
    let (mut one, mut other) = (Extractor::default(), Extractor::default());
    let from_value = one.extract_node(&value).expect("an object");
    let from_text = other.extract_json(text.as_bytes()).expect("an object");
    assert_eq!(from_value.len(), 3);
    assert!(from_value.links().eq(from_text.links()));
}
