//! The list of mutants of the durability code (`tools/mutants`) fits the code. Running the mutants takes too long for
//! each test run; this keeps the list from going stale meanwhile.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

#[derive(Debug, Default)]
struct Mutant {
    id: String,
    breaks: String,
    killed_by: String,
    survives: Option<String>,
    /// File, text and replacement.
    edits: Vec<(String, String, String)>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Reads the list as `tools/mutants/run` does.
fn mutants() -> Vec<Mutant> {
    enum In {
        Head,
        Old,
        New,
    }
    let mut mutants: Vec<Mutant> = Vec::new();
    let mut place = In::Head;
    for line in read("tools/mutants/mutants.txt").split_inclusive('\n') {
        let text = line.trim_end_matches('\n');
        match (&place, text) {
            (In::Old, "+++") => place = In::New,
            (In::New, "===") => place = In::Head,
            (In::Old, _) => mutants.last_mut().unwrap().edits.last_mut().unwrap().1 += line,
            (In::New, _) => mutants.last_mut().unwrap().edits.last_mut().unwrap().2 += line,
            (In::Head, _) => {
                if let Some(id) = text.strip_prefix("## ") {
                    mutants.push(Mutant {
                        id: id.to_owned(),
                        ..Mutant::default()
                    });
                }
                let Some(mutant) = mutants.last_mut() else {
                    continue;
                };
                if let Some(file) = text.strip_prefix("--- ") {
                    let edit = (file.to_owned(), String::new(), String::new());
                    mutant.edits.push(edit);
                    place = In::Old;
                } else if let Some(what) = text.strip_prefix("breaks: ") {
                    what.clone_into(&mut mutant.breaks);
                } else if let Some(test) = text.strip_prefix("killed-by: ") {
                    test.clone_into(&mut mutant.killed_by);
                } else if let Some(why) = text.strip_prefix("survives: ") {
                    mutant.survives = Some(why.to_owned());
                }
            }
        }
    }
    mutants
}

/// The sources below `dir`, joined.
fn sources(dir: &Path) -> String {
    let mut all = String::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all += &sources(&path);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            all += &std::fs::read_to_string(&path).unwrap();
        }
    }
    all
}

#[test]
fn each_mutant_replaces_text_that_occurs_once_and_names_a_test_that_is_there() {
    let mutants = mutants();
    assert!(mutants.len() >= 90, "{}", mutants.len());
    let mut ids = HashSet::new();
    let [engine, formats] =
        ["engine", "formats"].map(|name| sources(&root().join(name).join("src")));
    for mutant in &mutants {
        let id = &mutant.id;
        assert!(ids.insert(id), "{id} is there twice");
        assert!(
            !mutant.breaks.is_empty(),
            "{id} does not say what it breaks"
        );
        assert!(!mutant.edits.is_empty(), "{id} changes nothing");
        for (file, old, new) in &mutant.edits {
            let found = read(file).matches(old.as_str()).count();
            assert!(
                !old.is_empty() && found == 1,
                "{id}: its text occurs {found} times in {file}"
            );
            assert_ne!(old, new, "{id}");
        }
        let [name, kind, test] = mutant.killed_by.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{id} is killed by {:?}", mutant.killed_by)
        };
        let sources = match (name, kind) {
            ("orrery-engine", "lib") => &engine,
            ("orrery-formats", "lib") => &formats,
            _ => panic!("{id}: no test of {name} {kind}"),
        };
        let function = test.rsplit("::").next().unwrap();
        assert!(
            sources.contains(&format!("fn {function}()")),
            "{id}: there is no test {test}"
        );
    }
}

#[test]
fn the_table_is_that_of_the_list() {
    let row = |mutant: &Mutant| {
        let test = mutant.killed_by.rsplit(' ').next().unwrap();
        let end = match &mutant.survives {
            Some(why) => format!("survives: {why}"),
            None => format!("`{test}`"),
        };
        format!("| `{}` | {} | {end} |", mutant.id, mutant.breaks)
    };
    let expected: Vec<String> = mutants().iter().map(row).collect();
    let readme = read("tools/mutants/README.md");
    let table = readme.lines().filter(|line| line.starts_with("| `"));
    let found: Vec<&str> = table.collect();
    assert_eq!(
        found, expected,
        "write it anew with `tools/mutants/run --table`"
    );
}
