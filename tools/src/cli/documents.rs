//! The documents name commands as they are.

use super::variables;

/// Command lines of this program in the documents: lines of blocks of shell that begin with its name.
fn documented(document: &str) -> impl Iterator<Item = &str> {
    document
        .split("```sh\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .flat_map(str::lines)
        .map(str::trim)
        .filter(|line| line.starts_with("orrery "))
}

/// The words that a shell makes of a line of words and single quotes, up to a comment, a pipe or a file.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (place, part) in line.split('\'').enumerate() {
        if place % 2 == 1 {
            words.push(part.to_owned());
            continue;
        }
        for word in part.split_whitespace() {
            if matches!(word, "#" | "|" | ">" | "\\") {
                return words;
            }
            words.push(word.to_owned());
        }
    }
    words
}

#[test]
fn each_command_of_the_documents_is_one_that_the_program_takes() {
    for (name, document, least) in [
        ("README.md", include_str!("../../../README.md"), 5),
        (
            "OPERATING.md",
            include_str!("../../../server/OPERATING.md"),
            8,
        ),
    ] {
        let mut seen = 0;
        for line in documented(document) {
            seen += 1;
            let mut words = words(line);
            // What the command line must have may stand in the file.
            if words.iter().any(|word| word == "serve")
                && words.iter().any(|word| word == "--config")
            {
                words.extend(["--data".to_owned(), "data".to_owned()]);
            }
            if let Err(error) = variables::commands().try_get_matches_from(words) {
                panic!("{name}: {line}: {error}");
            }
        }
        assert!(seen >= least, "{name}: {seen}");
    }
}
