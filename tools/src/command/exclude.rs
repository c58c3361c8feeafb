//! `orrery exclude`: the exclude list of a stopped data directory, or of a running server by its operator's address.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use orrery_engine::offline::{Directory, exclusions};
use orrery_engine::{Error, Excluded, ExclusionKind, Options, Store};
use orrery_server::{OperatorToken, format_time};
use serde_json::{Value, json};

use crate::cli::{ExcludeAction, ExcludeArguments};
use crate::failure::{Failure, Result};
use crate::health::now_us;
use crate::{output, probe};
use taken::{Behind, Taken, behind};

mod taken;

/// Entries of one request to a server, and about their bytes.
const CHUNK_ENTRIES: usize = 5_000;
const CHUNK_BYTES: usize = 2 << 20;

/// One entry that is asked for.
struct Asked {
    entry: Excluded,
    is_target: bool,
}

/// What was done.
#[derive(Default)]
struct Done {
    changed: u64,
    unchanged: u64,
    pending: u64,
    /// Accounts that were in no list, and hidden all the same.
    shown: u64,
    waits: Option<String>,
}

pub(crate) fn run(arguments: &ExcludeArguments) -> Result<()> {
    let asked = match arguments.action {
        ExcludeAction::List if !arguments.what.is_empty() => {
            return Err(Failure::Usage("list takes no further words".to_owned()));
        }
        ExcludeAction::List => return list(arguments),
        _ if arguments.what.is_empty() => {
            let wanted = match arguments.action {
                ExcludeAction::Import => "a file, or - for standard input",
                _ => "a DID, an at-uri or a URL",
            };
            return Err(Failure::Usage(format!("name {wanted}")));
        }
        ExcludeAction::Import => {
            let mut asked = Vec::new();
            for file in &arguments.what {
                read(file, arguments, &mut asked)?;
            }
            asked
        }
        ExcludeAction::Add | ExcludeAction::Remove => {
            let parse = |text: &String| parse(text, arguments.as_target, &arguments.reason);
            let asked: Result<Vec<Asked>, String> = arguments.what.iter().map(parse).collect();
            asked.map_err(Failure::Usage)?
        }
    };
    let excluded = arguments.action != ExcludeAction::Remove;
    if excluded {
        for Asked { entry, .. } in &asked {
            if entry.kind == ExclusionKind::Account && is_misspelt(&entry.value) {
                output::note(format_args!(
                    "{} is put on the list, but no account has it: behind did:plc: are 24 of the characters a to z and 2 to 7",
                    entry.value
                ));
            }
            if let Some(Behind { what, exclude }) = behind(entry) {
                output::note(format_args!(
                    "{} is put on the list as something that links lead to, and {what} is shown as before; to leave \
                     that out too, exclude {exclude}",
                    entry.value
                ));
            }
        }
    }
    let done = match arguments.place()? {
        Place::Server(address) => change_server(arguments, address, &asked, excluded)?,
        Place::Directory(path) => change_directory(path, &asked, excluded)?,
    };
    tell(arguments, &asked, &done, excluded)
}

/// Whether a DID is of the method plc, but not of its form.
fn is_misspelt(did: &str) -> bool {
    let is_digit = |byte: u8| matches!(byte, b'a'..=b'z' | b'2'..=b'7');
    did.strip_prefix("did:plc:")
        .is_some_and(|id| id.len() != 24 || !id.bytes().all(is_digit))
}

fn tell(arguments: &ExcludeArguments, asked: &[Asked], done: &Done, excluded: bool) -> Result<()> {
    let count = |kind: Taken| {
        let entries = asked.iter().map(|asked| Taken::of(&asked.entry));
        entries.filter(|taken| *taken == kind).count()
    };
    // Where nothing changed, nothing that was to be removed was there.
    let is_vain = !excluded && done.changed == 0 && done.pending == 0;
    if is_vain && done.shown == 0 {
        let what = match asked {
            [one] => format!("{} is not on the list", one.entry.value),
            more => format!("none of the {} entries is on the list", more.len()),
        };
        output::note(format_args!(
            "nothing was removed: {what}, which `orrery exclude list` prints"
        ));
    }
    if arguments.json {
        let mut summary = json!({
            "changed": done.changed, "unchanged": done.unchanged, "pending": done.pending,
            "accounts": count(Taken::Account), "records": count(Taken::Record), "targets": count(Taken::Target),
        });
        if let Some(members) = summary.as_object_mut() {
            if done.shown > 0 {
                members.insert("shown".to_owned(), done.shown.into());
            }
            if let Some(waits) = &done.waits {
                members.insert("waits".to_owned(), waits.as_str().into());
            }
        }
        output::line(format_args!("{summary}"))?;
    } else {
        let (did, was) = match excluded {
            true => ("added", "there already"),
            false => ("removed", "not there"),
        };
        let (changed, unchanged) = (done.changed, done.unchanged);
        if arguments.action == ExcludeAction::Import {
            let kinds = Taken::ALL.map(|kind| match count(kind) {
                1 => format!("1 {}", kind.name()),
                more => format!("{more} {}s", kind.name()),
            });
            output::line(format_args!("{}", kinds.join(", ")))?;
        } else {
            for Asked { entry, .. } in asked {
                let taken = Taken::of(entry);
                let about = match is_vain {
                    true => "not on the list",
                    false => taken.about(),
                };
                let kind = taken.name();
                output::line(format_args!("{kind} {}: {about}", entry.value))?;
            }
        }
        output::line(format_args!("{changed} {did}, {unchanged} {was}"))?;
        match done.shown {
            0 => {}
            1 => output::line(format_args!(
                "1 account that the list did not name was hidden all the same, as an older list said, and is shown again"
            ))?,
            shown => output::line(format_args!(
                "{shown} accounts that the list did not name were hidden all the same, as an older list said, and are shown again"
            ))?,
        }
    }
    if done.pending == 0 {
        return Ok(());
    }
    let why = done.waits.as_deref().unwrap_or("the index is busy");
    let accounts = match done.pending {
        1 => "1 account".to_owned(),
        more => format!("{more} accounts"),
    };
    Err(Failure::Waits(format!(
        "the list is changed, and records follow it; the links of {accounts} do when the index takes events again: {why}"
    )))
}

fn parse(text: &str, is_target: bool, reason: &str) -> Result<Asked, String> {
    let entry = Excluded::parse(text, is_target)?.because(reason, now_us())?;
    Ok(Asked { entry, is_target })
}

/// Reads the lines of a file: `VALUE REASON...`, or the objects that `list --json` prints. Empty lines and those that
/// begin with # say nothing.
fn read(file: &str, arguments: &ExcludeArguments, asked: &mut Vec<Asked>) -> Result<()> {
    let text = match file {
        "-" => std::io::read_to_string(std::io::stdin()),
        file => std::fs::read_to_string(file),
    };
    let text = text.map_err(|error| Failure::Usage(format!("cannot read {file}: {error}")))?;
    for (number, line) in (1_u32..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let found = of_line(line, arguments);
        let wrong = |error| Failure::Usage(format!("{file}, line {number}: {error}"));
        asked.push(found.map_err(wrong)?);
    }
    Ok(())
}

fn of_line(line: &str, arguments: &ExcludeArguments) -> Result<Asked, String> {
    if !line.starts_with('{') {
        let (value, reason) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let reason = Some(reason.trim()).filter(|reason| !reason.is_empty());
        return parse(
            value,
            arguments.as_target,
            reason.unwrap_or(&arguments.reason),
        );
    }
    let object: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let text = |name: &str| object.get(name).and_then(Value::as_str);
    let value = text("value").ok_or("the object has no string \"value\"")?;
    let is_target = match text("kind") {
        Some("target") => true,
        Some("account") => false,
        Some(other) => return Err(format!("{other:?} is neither \"account\" nor \"target\"")),
        None => arguments.as_target,
    };
    let reason = text("reason").filter(|reason| !reason.is_empty());
    parse(value, is_target, reason.unwrap_or(&arguments.reason))
}

/// Where the list is.
enum Place<'a> {
    Server(SocketAddr),
    Directory(&'a Path),
}

impl ExcludeArguments {
    /// A server that is named goes first; where none listens there, its directory is stopped.
    fn place(&self) -> Result<Place<'_>> {
        match (self.operator, &self.data) {
            (Some(address), None) => Ok(Place::Server(address)),
            (Some(address), Some(path)) => {
                match std::net::TcpStream::connect_timeout(
                    &probe::reachable(address),
                    Duration::from_secs(5),
                ) {
                    Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                        Ok(Place::Directory(path))
                    }
                    _ => Ok(Place::Server(address)),
                }
            }
            (None, Some(path)) => Ok(Place::Directory(path)),
            (None, None) => Err(Failure::Usage(
                "name the directory of a stopped server by --data, or a running one by --operator ADDR:PORT".to_owned(),
            )),
        }
    }

    fn token(&self) -> Result<Option<OperatorToken>> {
        let file = self.operator_token_file.as_deref();
        file.map(read_token).transpose()
    }
}

/// Reads the operator's token from its file.
///
/// # Errors
///
/// [`Failure::Usage`], which does not tell the token.
pub(crate) fn read_token(file: &Path) -> Result<OperatorToken> {
    token_of(file).map_err(|error| {
        Failure::Usage(format!("--operator-token-file {}: {error}", file.display()))
    })
}

/// As [`read_token`], or what is wrong with the file.
pub(crate) fn token_of(file: &Path) -> Result<OperatorToken, String> {
    let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
    OperatorToken::parse(&text)
}

fn ask(
    arguments: &ExcludeArguments,
    address: SocketAddr,
    method: &str,
    body: &str,
) -> Result<Value> {
    let failed = |why: String| Failure::Operator { address, why };
    let token = arguments.token()?;
    let token = token.as_ref().map(OperatorToken::secret);
    let (status, answer) = probe::ask(probe::reachable(address), method, "/exclude", token, body)
        .map_err(|error| failed(error.to_string()))?;
    const OTHER: &str = "it is not the address that a server of orrery has by --operator";
    let value: Option<Value> = serde_json::from_str(&answer).ok();
    match (status, value) {
        (200..=299, Some(value)) => Ok(value),
        // Metrics are told on every path of their address.
        (200..=299, None) | (404, _) => Err(failed(OTHER.to_owned())),
        (_, value) => {
            let message = value.as_ref().and_then(|value| value.get("message"));
            let message = message.and_then(Value::as_str).unwrap_or(OTHER);
            Err(failed(format!("status {status}: {message}")))
        }
    }
}

fn change_server(
    arguments: &ExcludeArguments,
    address: SocketAddr,
    asked: &[Asked],
    excluded: bool,
) -> Result<Done> {
    let method = if excluded { "POST" } else { "DELETE" };
    let mut done = Done::default();
    let mut left = asked;
    while !left.is_empty() {
        let mut bytes = 0;
        let fits = left.iter().take(CHUNK_ENTRIES).take_while(|asked| {
            bytes += asked.entry.value.len() + asked.entry.reason.len() + 64;
            bytes <= CHUNK_BYTES
        });
        let (some, rest) = left.split_at(fits.count().max(1));
        left = rest;
        let entries = some.iter().map(|asked| {
            json!({
                "value": asked.entry.value, "target": asked.is_target, "reason": asked.entry.reason,
            })
        });
        let body = json!({ "entries": entries.collect::<Vec<_>>() }).to_string();
        let told = ask(arguments, address, method, &body)?;
        let number = |name: &str| told.get(name).and_then(Value::as_u64).unwrap_or(0);
        done.changed += number("changed");
        done.unchanged += number("unchanged");
        done.pending += number("pending");
        done.shown += number("shown");
        let waits = told.get("waits").and_then(Value::as_str);
        done.waits = waits.map(str::to_owned).or(done.waits);
    }
    Ok(done)
}

/// Refuses what is no data directory, and says what is there instead.
fn refuse_no_index(path: &Path) -> Result<()> {
    if Store::is_at(path).map_err(Failure::store(path))? {
        return Ok(());
    }
    Err(match Directory::open(path) {
        Err(error) if path.is_dir() => Failure::store(path)(error),
        _ => Failure::NoDirectory(path.to_owned()),
    })
}

fn change_directory(path: &Path, asked: &[Asked], excluded: bool) -> Result<Done> {
    let failed = |source| match source {
        Error::Locked { .. } => Failure::Usage(format!(
            "{} is in use by a running process: name the operator's address of that server, --operator ADDR:PORT, \
             which `orrery serve` has by the same option",
            path.display()
        )),
        source => Failure::store(path)(source),
    };
    refuse_no_index(path)?;
    let mut options = Options::default();
    options.compact = false;
    // The log window is the server's, and stays as it is.
    options.log_bytes_max = u64::MAX;
    options.log_age_max = Duration::MAX;
    let store = Store::open(path, options).map_err(failed)?;
    let entries: Vec<Excluded> = asked.iter().map(|asked| asked.entry.clone()).collect();
    let report = match excluded {
        true => store.exclude(&entries, Duration::ZERO),
        false => store.include(&entries, Duration::ZERO),
    };
    let report = report.map_err(failed)?;
    let status = store.status();
    let writer = store.writer().map_err(failed)?;
    match writer.close() {
        Err(error) if error.is_pause() => {}
        closed => closed.map_err(failed)?,
    }
    Ok(Done {
        changed: report.changed as u64,
        unchanged: report.unchanged as u64,
        pending: report.pending as u64,
        shown: report.shown as u64,
        waits: status.poisoned.or(status.paused),
    })
}

fn list(arguments: &ExcludeArguments) -> Result<()> {
    let line = |kind: &str, value: &str, time: &str, reason: &str| {
        if arguments.json {
            let entry = json!({ "kind": kind, "value": value, "time": time, "reason": reason });
            output::line(format_args!("{entry}"))
        } else {
            let text = format!("{kind}  {time}  {value}  {reason}");
            output::line(format_args!("{}", text.trim_end()))
        }
    };
    match arguments.place()? {
        Place::Server(address) => {
            let told = ask(arguments, address, "GET", "")?;
            let entries = told.get("entries").and_then(Value::as_array);
            for entry in entries.into_iter().flatten() {
                let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default();
                line(text("kind"), text("value"), text("time"), text("reason"))?;
            }
        }
        // The file is replaced whole, so that it can be read beside a running server.
        Place::Directory(path) => {
            refuse_no_index(path)?;
            let list = exclusions(path).map_err(Failure::store(path))?;
            for entry in list.entries() {
                let time = format_time(entry.time_us);
                line(entry.kind.name(), &entry.value, &time, &entry.reason)?;
            }
        }
    }
    Ok(())
}
