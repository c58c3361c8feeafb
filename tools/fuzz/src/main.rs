//! The driver: changes known inputs of each target and reads them, for a time. See `README.md`.
#![expect(
    clippy::print_stdout,
    reason = "what it finds is this program's output"
)]
#![forbid(unsafe_code)]

use std::collections::HashSet;
use std::fs;
use std::io::{Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::Parser;
use orrery_fuzz::drive::{Plan, drive};
use orrery_fuzz::{TARGETS, Target, corpus, run, target};

/// A run that does not end in this time is given up, and its input kept.
const HUNG: Duration = Duration::from_secs(30);

/// Gives hostile bytes to every decoder. What breaks a check is kept in the corpus.
#[derive(Debug, Parser)]
struct Args {
    /// The targets; all, where none is named.
    targets: Vec<String>,
    /// Seconds for each target.
    #[arg(long, env = "ORRERY_FUZZ_SECONDS", default_value_t = 10)]
    seconds: u64,
    /// Most changed inputs for each target.
    #[arg(long, default_value_t = u64::MAX)]
    count: u64,
    /// What all changes follow from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Longest input, in bytes.
    #[arg(long, default_value_t = 1 << 14)]
    len_max: usize,
    /// Reads this file once, by the one target named, and does nothing else.
    #[arg(long)]
    replay: Option<PathBuf>,
    /// Keeps the input of a note that a run left behind when it was ended by a signal, such as that of a stack
    /// that overflows.
    #[arg(long)]
    keep: Option<PathBuf>,
    /// Writes the seeds and the kept inputs of the one target named into this folder, and does nothing else.
    #[arg(long)]
    seeds: Option<PathBuf>,
    /// Lists the targets.
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match start(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("{error}");
            ExitCode::from(2)
        }
    }
}

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn start(args: &Args) -> Outcome<bool> {
    if args.list {
        for target in TARGETS {
            println!("{:16} {}", target.name, target.about);
        }
        return Ok(true);
    }
    if let Some(path) = &args.keep {
        let (name, input) = noted(&fs::read(path)?).ok_or("this is no note")?;
        println!("{}", corpus::keep(&name, &input)?.display());
        return Ok(true);
    }
    let find = |name: &String| target(name).ok_or(format!("no target {name}; --list names them"));
    let mut chosen = args
        .targets
        .iter()
        .map(find)
        .collect::<Result<Vec<_>, _>>()?;
    if let Some(path) = &args.replay {
        let [target] = chosen[..] else {
            return Err("--replay reads one file by one target".into());
        };
        return replay(target, path);
    }
    if let Some(folder) = &args.seeds {
        let [target] = chosen[..] else {
            return Err("--seeds writes those of one target".into());
        };
        let mut inputs = (target.seeds)();
        inputs.extend(corpus::read(target.name)?.into_iter().map(|kept| kept.1));
        fs::create_dir_all(folder)?;
        for (number, input) in inputs.iter().enumerate() {
            fs::write(folder.join(format!("seed-{number}")), input)?;
        }
        return Ok(true);
    }
    if chosen.is_empty() {
        chosen = TARGETS.iter().collect();
    }
    quiet_panics();
    let watch = Watch::start()?;
    let mut is_sound = true;
    for target in chosen {
        is_sound &= drive_one(target, args, &watch)?;
    }
    fs::remove_file(&watch.path)?;
    Ok(is_sound)
}

fn replay(target: &Target, path: &Path) -> Outcome<bool> {
    let input = fs::read(path)?;
    let read = run(target, &input);
    println!("{}: {} bytes: {read:?}", target.name, input.len());
    Ok(read.is_ok())
}

fn drive_one(target: &'static Target, args: &Args, watch: &Watch) -> Outcome<bool> {
    let plan = Plan {
        time_max: Duration::from_secs(args.seconds),
        count_max: args.count,
        seed: args.seed,
        len_max: args.len_max,
    };
    let started = Instant::now();
    let report = drive(target, &plan, &mut |input| watch.begin(target, input))?;
    watch.end();
    println!(
        "{:16} {:>9} inputs, {:>4} outcomes, {} failures, {:.1} s",
        target.name,
        report.runs,
        report.outcomes,
        report.failures.len(),
        started.elapsed().as_secs_f64()
    );
    for (input, failure) in &report.failures {
        let path = corpus::keep(target.name, input)?;
        println!("  {}", failure.why);
        println!(
            "  kept; again: cargo run -p orrery-fuzz -- {} --replay {}",
            target.name,
            path.display()
        );
    }
    Ok(report.failures.is_empty())
}

/// Prints where a panic arose once for each place, not for each of a thousand inputs.
fn quiet_panics() {
    let seen = Mutex::new(HashSet::new());
    std::panic::set_hook(Box::new(move |info| {
        let place = info.location().map(ToString::to_string);
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.insert(place) {
            println!("  {info}");
        }
    }));
}

/// Notes each input before it is read, so that what ends the process or never ends is known all the same.
///
/// The note is the target's name, the input's length as four bytes, and the input; what a longer note before it
/// left behind is not cut off, since that would cost more than most targets do.
struct Watch {
    path: PathBuf,
    note: Mutex<fs::File>,
    now: Arc<Mutex<Option<(Instant, &'static str)>>>,
}

impl Watch {
    fn start() -> Outcome<Self> {
        let name = format!("orrery-fuzz-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let note = Mutex::new(fs::File::create(&path)?);
        println!("the input being read is noted in {}", path.display());
        let now = Arc::new(Mutex::new(None::<(Instant, &'static str)>));
        let watched = (Arc::clone(&now), path.clone());
        std::thread::spawn(move || {
            loop {
                std::thread::sleep(Duration::from_secs(1));
                let now = *watched.0.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some((began, name)) = now.filter(|(began, _)| began.elapsed() > HUNG) {
                    let note = fs::read(&watched.1).unwrap_or_default();
                    let input = noted(&note).map_or_else(Vec::new, |(_, input)| input);
                    println!("{name}: not done after {:?}", began.elapsed());
                    println!("  kept: {:?}", corpus::keep(name, &input));
                    std::process::exit(1);
                }
            }
        });
        Ok(Self { path, note, now })
    }

    fn begin(&self, target: &'static Target, input: &[u8]) {
        let mut note = Vec::with_capacity(input.len() + 64);
        note.extend_from_slice(target.name.as_bytes());
        note.push(b'\n');
        note.extend_from_slice(&(input.len() as u32).to_le_bytes());
        note.extend_from_slice(input);
        let mut file = self.note.lock().unwrap_or_else(PoisonError::into_inner);
        // A note that cannot be written costs no run.
        let _ = file.rewind().and_then(|()| file.write_all(&note));
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) =
            Some((Instant::now(), target.name));
    }

    fn end(&self) {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// The target's name and the input of a note.
fn noted(note: &[u8]) -> Option<(String, Vec<u8>)> {
    let name = note.split(|byte| *byte == b'\n').next()?;
    let rest = note.get(name.len() + 1..)?;
    let (len, rest) = rest.split_first_chunk::<4>()?;
    let input = rest.get(..u32::from_le_bytes(*len) as usize)?;
    Some((String::from_utf8_lossy(name).into_owned(), input.to_vec()))
}
