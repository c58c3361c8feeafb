//! Programs that are measured from outside: started, watched until they end, and never left behind.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::process::{Process, Usage};
use crate::Result;

/// How often a program is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// The program `orrery`, beside this one.
pub(crate) fn orrery() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let path = own.with_file_name("orrery");
    if path.exists() {
        return Ok(path);
    }
    let why = "is not there; cargo build --release -p orrery makes it";
    Err(format!("{} {why}", path.display()).into())
}

/// Keeps this process on the second core. Tells whether it could.
pub(crate) fn pin() -> bool {
    let id = std::process::id().to_string();
    let set = Command::new("taskset")
        .args(["-cp", "1", &id])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    set.is_ok_and(|status| status.success())
}

/// A command that keeps to the first core, where this process keeps to the second.
pub(crate) fn on_first_core(pinned: bool, program: &Path) -> Command {
    if !pinned {
        return Command::new(program);
    }
    let mut command = Command::new("taskset");
    command.args(["-c", "0"]).arg(program);
    command
}

/// A program that runs beside this one. Killed when dropped.
pub(crate) struct Running {
    child: Child,
    peak: Option<Peak>,
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself; nothing depends on how.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    /// Starts a program whose output nobody reads.
    pub(crate) fn start(mut command: Command) -> Result<Self> {
        let child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let peak = Some(Peak::watch(Process::Id(child.id())));
        Ok(Self { child, peak })
    }

    /// Starts a program and waits for the first line of its output.
    pub(crate) fn start_and_hear(mut command: Command) -> Result<(Self, String)> {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let stdout = child.stdout.take();
        let running = Self { child, peak: None };
        let mut line = String::new();
        BufReader::new(stdout.ok_or("the program has no output")?).read_line(&mut line)?;
        Ok((running, line))
    }

    /// Starts a program that reads what is written into the pipe beside it, and whose output nobody reads.
    pub(crate) fn start_fed(mut command: Command) -> Result<(Self, ChildStdin)> {
        command.stdin(Stdio::piped());
        let mut running = Self::start(command)?;
        let pipe = running.child.stdin.take();
        Ok((running, pipe.ok_or("the program has no input")?))
    }

    /// Waits until it ends by itself. Tells what it used, and the most anonymous memory that it was seen with.
    pub(crate) fn ended(mut self) -> Result<(Usage, u64)> {
        let process = Process::Id(self.child.id());
        let mut last = Usage::default();
        // Of a process whose parent has not asked for its end, the system still tells what it used.
        while let Some(usage) = process.usage() {
            last = usage;
            if usage.has_ended {
                break;
            }
            std::thread::sleep(LOOK_EVERY);
        }
        let status = self.child.wait()?;
        if !status.success() {
            return Err(format!("the program ended with {status}").into());
        }
        Ok((last, self.peak_kib()))
    }

    /// What it has used so far.
    pub(crate) fn usage(&self) -> Result<Usage> {
        let usage = Process::Id(self.child.id()).usage();
        Ok(usage
            .filter(|usage| !usage.has_ended)
            .ok_or("the program has ended")?)
    }

    /// The most anonymous memory that it was seen with.
    pub(crate) fn peak_kib(&self) -> u64 {
        self.peak.as_ref().map_or(0, Peak::kib)
    }

    /// Ends it as a power cut would end a process: by SIGKILL.
    pub(crate) fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

/// The most anonymous memory of a process, looked at by a thread of its own.
pub(crate) struct Peak {
    kib: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Peak {
    pub(crate) fn watch(process: Process) -> Self {
        let kib = Arc::new(AtomicU64::new(0));
        let is_over = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let (kib, is_over) = (Arc::clone(&kib), Arc::clone(&is_over));
            move || {
                while !is_over.load(Ordering::Relaxed) {
                    kib.fetch_max(process.rss_anon_kib(), Ordering::Relaxed);
                    std::thread::park_timeout(LOOK_EVERY);
                }
            }
        });
        Self {
            kib,
            is_over,
            thread: Some(thread),
        }
    }

    pub(crate) fn kib(&self) -> u64 {
        self.kib.load(Ordering::Relaxed)
    }
}

impl Drop for Peak {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It has nothing to fail with.
            let _ = thread.join();
        }
    }
}

/// What a program took from its start to its end.
#[derive(Debug, Default)]
pub(crate) struct Run {
    pub(crate) output: String,
    pub(crate) wall_seconds: f64,
    pub(crate) cpu_seconds: f64,
    pub(crate) peak_rss_anon_kib: u64,
    pub(crate) write_bytes: u64,
}

/// A program at one moment of its run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Observed {
    pub(crate) usage: Usage,
    /// Bytes that it has asked for from files and pipes.
    pub(crate) read_bytes: u64,
}

/// As [`run_observed`], with nobody to tell.
pub(crate) fn run(command: Command) -> Result<Run> {
    run_observed(command, &mut |_| {})
}

/// Runs a program to its end and watches it; each look is told. What it took in all is read while it waits for its parent, so nothing is missed but a peak
/// of memory between two looks.
pub(crate) fn run_observed(mut command: Command, each: &mut dyn FnMut(Observed)) -> Result<Run> {
    let start = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let process = Process::Id(child.id());
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        stdout.map(|mut pipe| pipe.read_to_string(&mut text));
        text
    });
    let complaints = std::thread::spawn(move || {
        let mut text = String::new();
        stderr.map(|mut pipe| pipe.read_to_string(&mut text));
        text
    });
    let mut run = Run::default();
    while let Some(usage) = process.usage() {
        run.peak_rss_anon_kib = run.peak_rss_anon_kib.max(usage.rss_anon_kib);
        run.cpu_seconds = run.cpu_seconds.max(usage.cpu_seconds);
        run.write_bytes = run.write_bytes.max(usage.write_bytes);
        if usage.has_ended {
            break;
        }
        each(Observed {
            usage,
            read_bytes: process.read_bytes(),
        });
        std::thread::sleep(LOOK_EVERY);
    }
    let status = child.wait()?;
    run.wall_seconds = start.elapsed().as_secs_f64();
    let ended = |_| "a reading thread ended by a bug";
    run.output = reader.join().map_err(ended)?;
    let complaints = complaints.join().map_err(ended)?;
    if !status.success() {
        let last = complaints.lines().last().unwrap_or_default();
        return Err(format!("{command:?} ended with {status}: {last}").into());
    }
    Ok(run)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_run_tells_output_time_and_bytes_written() {
        let dir = tempfile::tempdir_in(".").unwrap();
        let file = dir.path().join("f");
        let script = format!(
            "i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done; head -c 3000000 /dev/zero > '{}'; echo done",
            file.display()
        );
        let run = run(shell(&script)).unwrap();
        assert_eq!(run.output, "done\n");
        assert!(
            run.cpu_seconds > 0.0 && run.wall_seconds >= run.cpu_seconds / 4.0,
            "{run:?}"
        );
    }

    #[test]
    fn a_program_that_fails_is_an_error_with_its_last_words() {
        let error = run(shell("echo first >&2; echo why >&2; exit 3")).unwrap_err();
        assert!(error.to_string().ends_with("why"), "{error}");
    }

    #[test]
    fn a_fed_program_reads_its_pipe_and_tells_what_it_used() {
        let script =
            "read line; i=0; while [ $i -lt $line ]; do i=$((i+1)); done; read rest; exit 0";
        let (running, mut pipe) = Running::start_fed(shell(script)).unwrap();
        pipe.write_all(b"300000\n").unwrap();
        assert!(running.usage().is_ok());
        drop(pipe);
        let (usage, _) = running.ended().unwrap();
        assert!(usage.has_ended && usage.cpu_seconds > 0.0, "{usage:?}");
        let (running, pipe) = Running::start_fed(shell("exit 3")).unwrap();
        drop(pipe);
        let error = running.ended().unwrap_err();
        assert!(error.to_string().contains("exit status: 3"), "{error}");
    }

    #[test]
    fn a_running_program_is_gone_when_it_is_dropped() {
        let (running, line) = Running::start_and_hear(shell("echo up; exec sleep 60")).unwrap();
        assert_eq!(line, "up\n");
        let id = running.child.id();
        assert!(running.usage().is_ok());
        drop(running);
        assert!(Process::Id(id).usage().is_none());
    }
}
