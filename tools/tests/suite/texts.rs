//! The texts that the program prints about itself: version, manual pages, shell completions.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use crate::common::{orrery, text};

fn run(arguments: &[&str]) -> Output {
    let output = orrery().args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    output
}

#[test]
fn the_version_names_the_commit_and_no_path() {
    let said = text(&run(&["--version"]).stdout);
    let version = said.trim_end().strip_prefix("orrery ").unwrap();
    let (number, commit) = version.split_once(' ').unwrap_or((version, "()"));
    assert_eq!(number, env!("CARGO_PKG_VERSION"));
    let commit = commit
        .strip_prefix('(')
        .and_then(|rest| rest.strip_suffix(')'));
    assert!(
        commit.is_some_and(|commit| commit.bytes().all(|byte| byte.is_ascii_alphanumeric())),
        "{said}"
    );
    let git = Command::new("git")
        .args(["rev-parse", "HEAD"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output();
    if let Ok(head) = git.as_ref().map(|git| text(&git.stdout))
        && option_env!("SOURCE_COMMIT").is_none()
        && !head.is_empty()
    {
        assert!(
            head.starts_with(commit.unwrap()) && commit.unwrap().len() == 12,
            "{said} {head}"
        );
    }
}

#[test]
fn every_command_has_a_manual_page_that_tells_its_options_and_variables() {
    let dir = tempfile::tempdir().unwrap();
    run(&["manual", "--to", dir.path().to_str().unwrap()]);
    let page = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
    let main = page("orrery.1");
    let help = text(&run(&["--help"]).stdout);
    let commands: Vec<&str> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        // What a line has no room for goes on further right.
        .filter_map(|line| {
            line.strip_prefix("  ")
                .filter(|rest| !rest.starts_with(' '))
        })
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    assert!(commands.contains(&"serve") && commands.contains(&"completions"));
    for name in commands {
        assert!(
            page(&format!("orrery-{name}.1")).starts_with(".ie"),
            "{name}"
        );
        assert!(main.contains(name), "{name}");
        let title = format!(
            ".TH orrery-{name} 1  \"orrery {}",
            env!("CARGO_PKG_VERSION")
        );
        assert!(
            page(&format!("orrery-{name}.1")).contains(&title),
            "{title}"
        );
    }
    let serve = page("orrery-serve.1");
    assert!(serve.contains("ORRERY_DISK_LIMIT") && serve.contains("jetstream"));
    assert_eq!(text(&run(&["manual", "serve"]).stdout), serve);
    assert_eq!(text(&run(&["manual"]).stdout), main);
    let wrong = orrery().args(["manual", "nope"]).output().unwrap();
    assert_eq!(wrong.status.code(), Some(2));
    assert!(text(&wrong.stderr).contains("nope"));
}

#[test]
fn completions_know_the_commands_and_bash_can_read_them() {
    for (shell, said) in [
        ("bash", "_orrery"),
        ("zsh", "#compdef orrery"),
        ("fish", "complete -c orrery"),
    ] {
        let script = run(&["completions", shell]).stdout;
        let written = text(&script);
        assert!(
            written.contains(said) && written.contains("disk-limit"),
            "{shell}"
        );
        if shell == "bash" {
            let mut bash = Command::new("bash")
                .arg("-n")
                .stdin(Stdio::piped())
                .spawn()
                .unwrap();
            bash.stdin.take().unwrap().write_all(&script).unwrap();
            assert!(bash.wait().unwrap().success());
        }
    }
}
