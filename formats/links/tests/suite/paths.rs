//! The tables of worked examples in `PATHS.md`, row by row, so that the page cannot go stale.

use orrery_links::{Extractor, Source};

const PAGE: &str = include_str!("../../PATHS.md");

/// The cells of each row of the table whose header row has these cells.
fn table(header: &[&str]) -> Vec<Vec<&'static str>> {
    let cells = |line: &'static str| -> Vec<&'static str> {
        line.trim_matches('|').split(" | ").map(str::trim).collect()
    };
    let mut lines = PAGE.lines().skip_while(|line| cells(line) != header);
    assert!(lines.next().is_some(), "PATHS.md has no table {header:?}");
    let rows: Vec<_> = lines
        .skip(1)
        .take_while(|line| line.starts_with('|'))
        .map(cells)
        .collect();
    assert!(
        rows.len() > 4,
        "the table {header:?} has only {} rows",
        rows.len()
    );
    rows
}

/// What stands between the backquotes of a cell.
fn code(cell: &'static str) -> &'static str {
    cell.strip_prefix('`')
        .and_then(|cell| cell.strip_suffix('`'))
        .unwrap_or_else(|| panic!("no code: {cell:?}"))
}

#[test]
fn records_have_the_links_of_the_page() {
    let mut extractor = Extractor::default();
    for row in table(&["record", "links"]) {
        let record = code(row[0]);
        let expected: Vec<_> = match row[1] {
            "—" => Vec::new(),
            links => links
                .split("<br>")
                .map(|link| code(link).to_owned())
                .collect(),
        };
        let extraction = extractor.extract_json(record.as_bytes()).expect(record);
        let found: Vec<_> = extraction
            .links()
            .map(|link| format!("{} → {}", link.path, link.target))
            .collect();
        assert_eq!(found, expected, "{record}");
    }
}

#[test]
fn sources_mean_what_the_page_says() {
    for row in table(&["source", "collection", "path"]) {
        let text = code(row[0]);
        if row[1] == "error" {
            assert!(Source::parse(text).is_err(), "{text}");
            continue;
        }
        let source = Source::parse(text).expect(text);
        assert_eq!(
            (source.collection(), source.path()),
            (code(row[1]), code(row[2]))
        );
        assert_eq!(source.to_string(), text);
    }
}

/// Both places of each row of the table of ambiguities do share a path.
#[test]
fn ambiguous_places_share_their_path() {
    let mut extractor = Extractor::default();
    let mut path_of = |record: &str| {
        let record = record.replace('…', "\"did:plc:r\"");
        let extraction = extractor.extract_json(record.as_bytes()).expect(&record);
        let paths: Vec<_> = extraction
            .links()
            .map(|link| link.path.to_owned())
            .collect();
        assert_eq!(paths.len(), 1, "{record}");
        paths[0].clone()
    };
    for row in table(&["cause", "one place", "another with the same path"]) {
        assert_eq!(path_of(code(row[1])), path_of(code(row[2])), "{}", row[0]);
    }
}
