//! The worked examples of the link contract, one test for each table: strings and their targets, and
//! records and their links. Where the service in use today is wrong, the better answer stands here.

use orrery_links::{Extractor, TargetKind, normalise_target, parse_target};

use TargetKind::{AtUri, Did, Uri};

/// Checks one row: the string is a link of this kind, stored as this target.
#[track_caller]
fn is(input: &str, kind: TargetKind, target: &str) {
    let (found, found_kind) = parse_target(input).unwrap_or_else(|| panic!("{input:?} is no link"));
    assert_eq!((&*found, found_kind), (target, kind), "{input:?}");
    assert_eq!(normalise_target(input).as_deref(), Some(target));
    if input == target {
        assert!(
            matches!(found, std::borrow::Cow::Borrowed(_)),
            "{input:?} was copied"
        );
    }
}

/// Checks one row of several strings that stay as they are.
#[track_caller]
fn unchanged(kind: TargetKind, inputs: &[&str]) {
    for input in inputs {
        is(input, kind, input);
    }
}

/// Checks one row of strings that are no links.
#[track_caller]
fn none(inputs: &[&str]) {
    for input in inputs {
        assert_eq!(parse_target(input), None, "{input:?}");
    }
}

#[test]
fn uris_are_normalised_by_syntax_only() {
    unchanged(Uri, &["https://ex.example", "https://ex.example/a//b"]);
    is(
        "HTTP://EX.example:80/%7Efoo/./bar/../baz?Q=%2f#Frag",
        Uri,
        "http://ex.example:80/~foo/baz?Q=%2F#Frag",
    );
    is("https://EX.example:", Uri, "https://ex.example");
    is(
        "https://user:PW@Ex.Example/a",
        Uri,
        "https://user:PW@ex.example/a",
    );
    is("https://ex.example/x/..", Uri, "https://ex.example/");
    unchanged(
        Uri,
        &[
            "https://ex.example:443/",
            "https://ex.example:080/",
            "https://ex.example./?b=2&a=1",
        ],
    );
}

#[test]
fn a_word_a_colon_and_no_space_make_a_uri() {
    none(&[
        "https://ex.example/a b",
        " https://ex.example",
        "https://ex.example/é",
    ]);
    none(&[
        "https://ex.example/a[b]",
        "https://ex.example/%zz",
        "https://ex.example/a#b#c",
    ]);
    none(&[
        "ex.example",
        "/foo",
        "//ex.example/x",
        "12:30",
        "1x:foo",
        "",
    ]);
    unchanged(
        Uri,
        &["ex.example:80", "note:hello", "c:", "com.ex.rec:foo"],
    );
    is("Note:Hi", Uri, "note:Hi");
    none(&["Note: Hi"]);
    unchanged(Uri, &["mailto:A@B.example"]);
    is("a:/../c", Uri, "a:/c");
    unchanged(Uri, &["a:b/../c"]);
    // A path that begins with two slashes must not turn into an authority.
    is("a:/..//b", Uri, "a:/.//b");
    unchanged(Uri, &["a:/.//b"]);
    none(&["2031-01-01T00:00:00Z", "image/png", "com.ex.facet#link"]);
    none(&["bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a"]);
}

#[test]
fn dids_are_kept_as_they_are() {
    unchanged(
        Did,
        &[
            "did:plc:abc",
            "did:key:zQ3",
            "did:web:a.example:u:bob",
            "did:plc:abc%20",
            "did::abc",
        ],
    );
    is("DID:plc:abc", Uri, "did:plc:abc");
    unchanged(
        Uri,
        &[
            "did:PLC:abc",
            "did:m1:abc",
            "did:plc:",
            "did:plc",
            "did:plc:abc:",
            "did:plc:abc/p",
        ],
    );
    unchanged(Uri, &["did:plc:abc#f"]);
    let longest = format!("did:plc:{}", "a".repeat(2040));
    assert_eq!(longest.len(), 2048);
    unchanged(Did, &[&longest]);
    unchanged(Uri, &[&format!("{longest}a")]);
}

#[test]
fn at_uris_lose_case_escapes_dots_and_slashes() {
    is("at://did:plc:abc", AtUri, "at://did:plc:abc");
    is("at://did:plc:abc/", AtUri, "at://did:plc:abc");
    is("at://did:plc:abc//", AtUri, "at://did:plc:abc");
    is(
        "AT://DID:PLC:ABC/Com.Ex/X",
        AtUri,
        "at://did:plc:abc/Com.Ex/X",
    );
    is(
        "At://Alice.Example/com.ex.post/3K",
        AtUri,
        "at://alice.example/com.ex.post/3K",
    );
    is(
        "at://did:web:Foo.example/x",
        AtUri,
        "at://did:web:Foo.example/x",
    );
    is("at://did:plc:%61bc/x/y", AtUri, "at://did:plc:abc/x/y");
    is(
        "at://did%3Aplc%3Aabc/x/y",
        AtUri,
        "at://did%3aplc%3aabc/x/y",
    );
    is(
        "at://did:plc:abc/c.d.e/k/",
        AtUri,
        "at://did:plc:abc/c.d.e/k",
    );
    unchanged(AtUri, &["at://did:plc:abc/c.d.e//k"]);
    is(
        "at://did:plc:abc//c.d.e/k",
        AtUri,
        "at://did:plc:abc/c.d.e/k",
    );
    is("at://did:plc:abc/a/../../b", AtUri, "at://did:plc:abc/b");
    is("at://did:plc:abc/%2e%2e/b", AtUri, "at://did:plc:abc/b");
    is(
        "at://did:plc:abc/c.d.e/k?x=%61%2f#y%3a",
        AtUri,
        "at://did:plc:abc/c.d.e/k?x=a%2F#y%3A",
    );
    is("at://did:plc:abc/x/y/#f", AtUri, "at://did:plc:abc/x/y#f");
    unchanged(
        AtUri,
        &[
            "at://did:plc:abc/x?q=a b/#f[/",
            "at://not a handle!",
            "at://@alice.example/x/y",
        ],
    );
    none(&[
        "at://did:plc:abc/a b/c",
        "at://did:plc:abc/a/b%4",
        "at://ünï.example/x",
    ]);
    unchanged(Uri, &["at:///x/y", "at://", "at:/x", "at:did:plc:abc"]);
}

#[test]
fn at_uris_have_a_longest_length() {
    for (authority, longer) in [("did:plc:abc", None), ("alice.example", Some(Uri))] {
        let start = format!("at://{authority}/c.d.e/");
        let longest = format!("{start}{}", "k".repeat(8192 - start.len()));
        unchanged(AtUri, &[&longest]);
        let too_long = format!("{longest}k");
        match longer {
            Some(kind) => unchanged(kind, &[&too_long]),
            None => none(&[&too_long]),
        }
    }
}

#[test]
fn a_colon_in_the_path_of_an_at_uri_is_kept() {
    unchanged(AtUri, &["at://did:plc:abc/a/c:d", "at://did:plc:abc/a:b/c"]);
    is("at://did:plc:abc/./a:b/c", AtUri, "at://did:plc:abc/a:b/c");
}

#[test]
fn slashes_before_the_path_of_an_at_uri_are_one() {
    is("at://did:plc:abc///x/y", AtUri, "at://did:plc:abc/x/y");
    is(
        "at://did:plc:abc//../x//y/..//",
        AtUri,
        "at://did:plc:abc/x",
    );
}

/// Checks one row of the table of records.
#[track_caller]
fn links(record: &str, expected: &[(&str, &str)]) {
    let mut extractor = Extractor::default();
    let extraction = extractor.extract_json(record.as_bytes()).expect(record);
    let found: Vec<_> = extraction
        .links()
        .map(|link| (link.path, link.target))
        .collect();
    assert_eq!(found, expected, "{record}");
    assert_eq!(extraction.truncated(), None);
}

#[test]
fn records_give_paths_and_targets() {
    links(
        r#"{"a":"https://x.example/"}"#,
        &[(".a", "https://x.example/")],
    );
    links(
        r#"{"reply":{"root":{"uri":"at://did:plc:q/c.d.e/1","cid":"bafyx"}}}"#,
        &[(".reply.root.uri", "at://did:plc:q/c.d.e/1")],
    );
    links(
        r#"{"a":{"$type":"c.d.e","u":"did:plc:r"}}"#,
        &[(".a.u", "did:plc:r")],
    );
    links(
        r#"{"v.w":"did:plc:q","v":{"w":"did:plc:r"}}"#,
        &[(".v.w", "did:plc:q"), (".v.w", "did:plc:r")],
    );
    links(r#"{"":"did:plc:r"}"#, &[(".", "did:plc:r")]);
    links(
        r#"{"did:plc:k":"did:plc:v"}"#,
        &[(".did:plc:k", "did:plc:v")],
    );
    links(r#"{"$type":"did:plc:a"}"#, &[(".$type", "did:plc:a")]);
    links(
        r#"{"l":{"$link":"did:plc:r"}}"#,
        &[(".l.$link", "did:plc:r")],
    );
    links(
        r#"{"n":5,"t":true,"z":null,"s":"did:plc:r"}"#,
        &[(".s", "did:plc:r")],
    );
    links(
        r#"{"img":{"$type":"blob","ref":{"$link":"bafkreiabc"},"mimeType":"image/png","size":1}}"#,
        &[],
    );
}

#[test]
fn array_elements_show_their_type() {
    links(
        r#"{"embeds":[{"$type":"c.d.e#rec","record":{"uri":"did:plc:u"}},{"record":{"uri":"did:plc:v"}}]}"#,
        &[
            (".embeds[c.d.e#rec].record.uri", "did:plc:u"),
            (".embeds[].record.uri", "did:plc:v"),
        ],
    );
    links(
        r#"{"a":[["did:plc:r",{"$type":"t.u.v","x":"did:plc:s"}]]}"#,
        &[(".a[][]", "did:plc:r"), (".a[][t.u.v].x", "did:plc:s")],
    );
    links(
        r#"{"a":[{"$type":5,"x":"did:plc:r"},{"type":"zz","x":"did:plc:r"}]}"#,
        &[(".a[].x", "did:plc:r"), (".a[].x", "did:plc:r")],
    );
    links(
        r#"{"t":["did:plc:a","did:plc:a"]}"#,
        &[(".t[]", "did:plc:a"), (".t[]", "did:plc:a")],
    );
    links(
        r#"{"a":[{"$type":"https://t.example/","u":"did:plc:r"}]}"#,
        &[
            (".a[https://t.example/].$type", "https://t.example/"),
            (".a[https://t.example/].u", "did:plc:r"),
        ],
    );
    links(
        r#"{"a":[{"$type":"","u":"did:plc:r"}]}"#,
        &[(".a[].u", "did:plc:r")],
    );
}

#[test]
fn hosts_of_uris_are_names_or_addresses() {
    is("http://[FE80::A]:/x", Uri, "http://[fe80::a]/x");
    is("http://EX%2f%41.example", Uri, "http://ex%2Fa.example");
    unchanged(
        Uri,
        &[
            "http://[v1.a:b]/",
            "http://[::1.2.3.4]:80",
            "http://",
            "file:///x",
            "http://@h",
        ],
    );
    none(&[
        "http://[::g]/",
        "http://[::1",
        "http://[::1]x",
        "http://[v.a]",
        "http://[v1.]",
        "http://a:b",
        "http://a@b@c",
    ]);
    none(&[
        "http://::1/",
        "http://a:80:80/",
        "http://[1::2::3]/",
        "http://u[@h/",
    ]);
}
