//! What is wrong with settings that can each be read: they make no sense together, or not on this machine. It looks at names in the
//! file system and at permissions; [`all`] reads the certificate, its key and the operator's token too, has the engine look what the data
//! directory holds, and nothing else is opened.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;

use orrery_engine::offline::Directory;
use orrery_engine::{Options, Store, probe};
use orrery_ingest::{FollowConfig, Selection};
use orrery_jetstream::without_secrets;
use rustix::fs::{Access, access, statfs};

use super::keys::nearest_of;
use super::{Mistake, Place, Setting, Settings, doubts};
use crate::cli::{self, ServeArguments};
use crate::command::exclude;
use crate::edge::EdgeSettings;
use crate::failure::{Failure, Result};
use crate::logging;
use crate::tls;
use crate::units::bytes_text;

/// The short names of public Jetstream servers.
const SERVERS: [&str; 6] = [
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
    "us-east",
    "us-west",
];

/// What is wrong, and what would be right.
pub(crate) type Wrong = (String, String);

/// All mistakes in the settings, and the arguments of `serve` as far as they can be read.
pub(crate) fn all(settings: &Settings) -> (Option<ServeArguments>, Vec<Mistake>) {
    let mut mistakes = settings.mistakes.clone();
    let mut words = settings.words();
    for setting in &settings.all {
        let name = &setting.key.name;
        if !setting.key.is_required() || settings.is_set(name) {
            continue;
        }
        if !settings.is_unknown(name) {
            mistakes.push(not_set(setting, settings));
        }
        words.push(format!("--{name}={}", setting.key.example()).into());
    }
    let arguments = match cli::serve_arguments(words) {
        Ok(arguments) => {
            let mut found = of_arguments(&arguments, settings);
            found.extend(certificate(&arguments, settings));
            found.extend(token(&arguments, settings));
            found.extend(data_directory(&arguments, settings));
            // What only follows from a value that was left out would be told of its default.
            let follows = |mistake: &Mistake| {
                let key = mistake.key.as_deref();
                key.is_some_and(|key| settings.is_unknown(key))
            };
            mistakes.extend(found.into_iter().filter(|mistake| !follows(mistake)));
            Some(arguments)
        }
        Err((key, wrong)) => {
            mistakes.push(Mistake {
                place: settings.place(key.as_deref().unwrap_or_default()),
                key,
                wrong,
                right: "`orrery help serve` tells what goes together".to_owned(),
            });
            None
        }
    };
    // In the order of the file, then the rest.
    mistakes.sort_by_key(|mistake| match &mistake.place {
        Place::Whole(_) => (0, 0, 0),
        Place::File { line, column, .. } => (0, *line, *column),
        Place::Variable(_) | Place::Flag => (1, 0, 0),
    });
    (arguments, mistakes)
}

/// That a key is not set, and how to do it.
fn not_set(setting: &Setting, settings: &Settings) -> Mistake {
    let place = match &settings.file {
        Some(path) => Place::Whole(path.clone()),
        None => Place::Flag,
    };
    let right = format!(
        "set it in the file, by --{}, or by {}; for example {}",
        setting.key.name,
        setting.key.variable().unwrap_or_default(),
        setting.key.line()
    );
    Mistake::of(&setting.key, place, "it is not set".to_owned(), right)
}

/// Which of the keys that are `needed` by a command nobody has set, though a file might have.
pub(crate) fn missing(settings: &Settings, needed: impl Fn(&str) -> bool) -> Vec<Mistake> {
    let unset = settings.all.iter().filter(|setting| {
        let name = &setting.key.name;
        settings.file.is_some() && needed(name) && !settings.is_set(name)
    });
    unset.map(|setting| not_set(setting, settings)).collect()
}

/// Refuses arguments of `serve` that make no sense together, or not on this machine.
///
/// # Errors
///
/// [`Failure::Settings`] with all of them.
pub(crate) fn refuse(arguments: &ServeArguments, settings: &Settings) -> Result<()> {
    match of_arguments(arguments, settings) {
        mistakes if mistakes.is_empty() => Ok(()),
        mistakes => Err(Failure::Settings(mistakes)),
    }
}

/// What can be taken as it stands and is most likely not meant so, in the form of mistakes.
pub(crate) fn warnings(arguments: &ServeArguments, settings: &Settings) -> Vec<Mistake> {
    let selection = &arguments.selection;
    let doubts = doubts::of_selection(&selection.collections, &selection.exclude);
    let warning = |(name, (wrong, right)): (&str, Wrong)| Mistake {
        place: settings.place(name),
        key: Some(name.to_owned()),
        wrong,
        right,
    };
    doubts.into_iter().map(warning).collect()
}

fn of_arguments(arguments: &ServeArguments, settings: &Settings) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    let mut tell = |name: &str, (wrong, right): Wrong| {
        mistakes.push(Mistake {
            place: settings.place(name),
            key: Some(name.to_owned()),
            wrong,
            right,
        });
    };
    selection(arguments, &mut tell);
    let log = settings.get("log").and_then(|log| log.values.first());
    if let Some(wrong) = log.and_then(|log| logging::wrong(log.to_str()?)) {
        tell("log", wrong);
    }
    source(arguments, settings, &mut tell);
    addresses(settings, &mut tell);
    sizes(arguments, settings, &mut tell);
    let edge = EdgeSettings::of(&arguments.edge, arguments.jetstream.is_some());
    if let Some(problem) = edge.problem() {
        tell(
            "plc",
            (problem, "write it like https://plc.directory".to_owned()),
        );
    }
    paths(settings, follows(arguments, settings), &mut tell);
    if let (Some(address), None) = (arguments.http.operator, &arguments.http.operator_token_file)
        && !settings.is_unknown("operator-token-file")
        && !address.ip().to_canonical().is_loopback()
    {
        let wrong = format!("others can reach {address}");
        let right = "give a token by `operator-token-file`, or write it like 127.0.0.1:8766";
        tell("operator", (wrong, right.to_owned()));
    }
    let is_unknown =
        |name: &str| settings.is_unknown(name) || (name == "data" && !settings.is_set(name));
    for wrong in tls::wrong_options(&arguments.tls, &arguments.data, is_unknown) {
        tell(wrong.option, (wrong.wrong, wrong.right));
    }
    mistakes
}

/// What is wrong within the file of the operator's token, where it can be read.
fn token(arguments: &ServeArguments, settings: &Settings) -> Option<Mistake> {
    const NAME: &str = "operator-token-file";
    let path = arguments.http.operator_token_file.as_deref()?;
    if file(path).is_some() {
        return None;
    }
    let wrong = exclude::token_of(path).err()?;
    Some(Mistake {
        place: settings.place(NAME),
        key: Some(NAME.to_owned()),
        wrong: format!("{}: {wrong}", path.display()),
        right: "one line of 16 or more visible characters of ASCII, such as `openssl rand -hex 32` prints"
            .to_owned(),
    })
}

/// Why a server would not start on what the data directory holds. It tells of that itself when it opens the directory.
fn data_directory(arguments: &ServeArguments, settings: &Settings) -> Option<Mistake> {
    const NAME: &str = "data";
    // One that cannot be written is told of before.
    if !settings.is_set(NAME) || directory(&arguments.data).is_some() {
        return None;
    }
    let (wrong, right) = contents(&arguments.data, follows(arguments, settings))?;
    Some(Mistake {
        place: settings.place(NAME),
        key: Some(NAME.to_owned()),
        wrong,
        right,
    })
}

/// What is wrong with what a directory holds that is to become a data directory where a source is followed, and is to be one where none is.
pub(crate) fn contents(data: &Path, follows: bool) -> Option<Wrong> {
    if !data.is_dir() || !matches!(Store::is_at(data), Ok(false)) {
        return None;
    }
    let error = match follows {
        true => probe::refuse_foreign(data).err()?,
        false => Directory::open(data).err()?,
    };
    Some(match error {
        orrery_engine::Error::Inconsistent { path, what } if path == data => {
            let (wrong, right) = parted(what);
            (format!("{}: {wrong}", data.display()), right)
        }
        error => parted(error.to_string()),
    })
}

/// What is wrong within the certificate's files, where both can be read. A server tells of that itself when it reads them: it may be
/// that they are just being written, so that another start is worth its while.
fn certificate(arguments: &ServeArguments, settings: &Settings) -> Option<Mistake> {
    let files = [&arguments.tls.tls_cert, &arguments.tls.tls_key];
    if files.into_iter().flatten().any(|path| file(path).is_some()) {
        return None;
    }
    let wrong = tls::wrong_files(&arguments.tls)?;
    Some(Mistake {
        place: settings.place(wrong.option),
        key: Some(wrong.option.to_owned()),
        wrong: wrong.wrong,
        right: wrong.right,
    })
}

/// Whether a source is named, though it may be by mistake.
pub(crate) fn follows(arguments: &ServeArguments, settings: &Settings) -> bool {
    arguments.jetstream.is_some() || settings.is_unknown("jetstream")
}

fn selection(arguments: &ServeArguments, tell: &mut impl FnMut(&str, Wrong)) {
    let none: [&str; 0] = [];
    let selection = &arguments.selection;
    let mut are_patterns = true;
    for (name, patterns) in [
        ("collections", &selection.collections),
        ("exclude", &selection.exclude),
    ] {
        for pattern in patterns {
            if let Err(error) = Selection::new(&[pattern], &none) {
                are_patterns = false;
                tell(name, parted(error.to_string()));
            }
        }
    }
    if are_patterns && let Err(error) = selection.selection() {
        let right = "leave fewer out, or select more by `collections`".to_owned();
        tell("exclude", (error.to_string(), right));
    }
}

fn source(arguments: &ServeArguments, settings: &Settings, tell: &mut impl FnMut(&str, Wrong)) {
    let Some(server) = &arguments.jetstream else {
        if arguments.force_source && !follows(arguments, settings) {
            let right = "name one with `jetstream`, or leave this out".to_owned();
            tell(
                "force-source",
                ("there is no source to go on from".to_owned(), right),
            );
        }
        return;
    };
    let scheme = server.split_once("://").map(|(scheme, _)| scheme);
    match scheme.map(str::to_ascii_lowercase).as_deref() {
        // A Jetstream is a websocket; an address of a web page is most likely another thing.
        Some(wrong @ ("http" | "https")) => tell(
            "jetstream",
            (
                format!("{} is the address of a web page", without_secrets(server)),
                format!("a Jetstream server is followed by ws:// or wss://, not {wrong}://"),
            ),
        ),
        None => {
            if !SERVERS.contains(&server.as_str()) {
                let near = match nearest_of(SERVERS.into_iter(), &server.to_lowercase()) {
                    Some(near) => format!("did you mean {}? ", meant_by(near, server)),
                    None => String::new(),
                };
                let wrong = format!(
                    "{:?} is no server that has a short name",
                    without_secrets(server)
                );
                let right = format!(
                    "{near}Write one of {}, or a URL that begins with wss:// or ws://",
                    SERVERS.join(", ")
                );
                tell("jetstream", (wrong, right));
            }
        }
        Some(_) => {
            if let Err(error) = FollowConfig::new(server).check() {
                let right = "write it like wss://jetstream.example/subscribe".to_owned();
                tell("jetstream", (error.to_string(), right));
            }
        }
    }
}

/// The short name that looks most like another word, or, where the word has a number and that has none, those with numbers.
fn meant_by(near: &str, word: &str) -> String {
    let has_number = |text: &str| text.ends_with(|c: char| c.is_ascii_digit());
    let is_meant = |server: &&str| {
        let number = server
            .strip_prefix(near)
            .and_then(|rest| rest.strip_prefix('-'));
        number.is_some()
    };
    let numbered: Vec<&str> = SERVERS.into_iter().filter(is_meant).collect();
    match numbered.is_empty() || !has_number(word) {
        true => near.to_owned(),
        false => numbered.join(" or "),
    }
}

/// Addresses that are listened on: each needs a port of its own.
fn addresses(settings: &Settings, tell: &mut impl FnMut(&str, Wrong)) {
    let mut taken: Vec<(&str, SocketAddr)> = Vec::new();
    // An address that is left out for a mistake has its default here, and will have another.
    let known = settings.listens_on();
    for (name, address) in known.filter(|(name, _)| !settings.is_unknown(name)) {
        match taken.iter().find(|(_, other)| overlap(*other, address)) {
            Some((other, _)) => {
                let wrong = format!("{address} is where {other} listens too");
                tell(name, (wrong, "give it a port of its own".to_owned()));
            }
            None => taken.push((name, address)),
        }
    }
}

/// Whether two servers cannot listen on both. Port 0 is any that is free.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let is_any = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() != 0 && one.port() == other.port() && (is_any || one.ip() == other.ip())
}

fn sizes(arguments: &ServeArguments, settings: &Settings, tell: &mut impl FnMut(&str, Wrong)) {
    let Some(limit) = arguments.disk.disk_limit else {
        return;
    };
    let least = Options::default().disk_limit_min();
    if limit < least {
        let wrong = format!(
            "{} are too little for anything to be written",
            bytes_text(limit)
        );
        let least = bytes_text(least.next_multiple_of(1 << 20));
        tell("disk-limit", (wrong, format!("the least is {least}")));
        // Everything is more than so little.
        return;
    }
    // Defaults give way below a small limit; what somebody asked for cannot be had.
    for (name, bytes) in [
        ("samples-limit", Some(arguments.disk.samples_limit)),
        ("edge-disk", Some(arguments.edge.edge_disk)),
        ("log-size", arguments.log_window.log_size),
    ] {
        if let Some(bytes) = bytes.filter(|bytes| *bytes > limit && settings.is_set(name)) {
            let wrong = format!(
                "{} are more than the whole directory may take, {}",
                bytes_text(bytes),
                bytes_text(limit)
            );
            tell(name, (wrong, "lower it, or raise `disk-limit`".to_owned()));
        }
    }
}

/// Directories and files that settings name.
fn paths(settings: &Settings, follows: bool, tell: &mut impl FnMut(&str, Wrong)) {
    for setting in &settings.all {
        let name = setting.key.name.as_str();
        if !settings.is_set(name) {
            continue;
        }
        for value in &setting.values {
            let path = Path::new(value);
            if let Some(wrong) = setting.key.unread_path(value) {
                tell(name, wrong);
                continue;
            }
            let wrong = match setting.key.value_name() {
                "DIR" if name == "data" && !follows && !path.exists() => Some((
                    format!("there is no data directory {}", path.display()),
                    "to begin one, name a source with --jetstream".to_owned(),
                )),
                "DIR" => directory(path),
                "FILE" => file(path),
                _ => None,
            };
            if let Some(wrong) = wrong {
                tell(name, wrong);
            }
        }
    }
}

/// What is wrong with a directory that is to be written, and made where it is not there.
pub(crate) fn directory(path: &Path) -> Option<Wrong> {
    let shown = path.display();
    match std::fs::metadata(path) {
        Ok(found) if !found.is_dir() => Some((
            format!("{shown} is no directory"),
            "name a directory".to_owned(),
        )),
        Ok(_) => {
            let needs = Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK;
            let error = access(path, needs).err()?;
            Some((
                format!("{shown} cannot be written: {error}"),
                "give it to the user that runs this, or name another one".to_owned(),
            ))
        }
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            let mut above = path.ancestors().skip(1).map(|above| match above {
                above if above.as_os_str().is_empty() => Path::new("."),
                above => above,
            });
            let above = above.find(|above| above.exists())?;
            const MAKE: &str = "make it for the user that runs this, or name another one";
            let (why, right) = if !above.is_dir() {
                ("no directory".to_owned(), MAKE)
            } else if is_of_the_system(above) {
                (
                    "files there are made by the system alone".to_owned(),
                    "name a directory on a disk",
                )
            } else if path.symlink_metadata().is_ok() {
                (
                    "a link to nothing has its name".to_owned(),
                    "make what it leads to, or name another one",
                )
            } else {
                let error = access(above, Access::WRITE_OK | Access::EXEC_OK).err()?;
                (error.to_string(), MAKE)
            };
            Some((
                format!(
                    "{shown} does not exist, and cannot be made in {}: {why}",
                    above.display()
                ),
                right.to_owned(),
            ))
        }
        Err(error) => Some((
            format!("{shown} cannot be looked at: {error}"),
            "name a directory that this user may write to".to_owned(),
        )),
    }
}

/// Whether a directory is of a file system that shows what the kernel knows. It lets its owner write, and keeps no files.
fn is_of_the_system(dir: &Path) -> bool {
    // proc, sysfs, both of cgroup, debugfs, tracefs, securityfs, devpts, bpf, pstore, efivarfs.
    const KINDS: [u32; 11] = [
        0x9fa0,
        0x6265_6572,
        0x0027_e0eb,
        0x6367_7270,
        0x6462_6720,
        0x7472_6163,
        0x7363_6673,
        0x1cd1,
        0xcafe_4a11,
        0x6165_676c,
        0xde5e_81e4,
    ];
    #[allow(
        clippy::cast_possible_truncation,
        clippy::unnecessary_cast,
        reason = "a number of 32 bits, in a type that differs from system to system"
    )]
    statfs(dir).is_ok_and(|system| KINDS.contains(&(system.f_type as u32)))
}

/// What is wrong with a file that is to be read.
fn file(path: &Path) -> Option<Wrong> {
    let shown = path.display();
    if !path.exists() {
        return Some((
            format!("{shown} does not exist"),
            "name a file that is there".to_owned(),
        ));
    }
    if path.is_dir() {
        return Some((format!("{shown} is a directory"), "name a file".to_owned()));
    }
    let error = access(path, Access::READ_OK).err()?;
    Some((
        format!("{shown} cannot be read: {error}"),
        "let the user that runs this read it".to_owned(),
    ))
}

/// A message that says behind a semicolon what would be right.
fn parted(message: String) -> Wrong {
    match message.split_once("; ") {
        Some((wrong, right)) => (wrong.to_owned(), right.to_owned()),
        None => (message, String::new()),
    }
}
