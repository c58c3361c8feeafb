//! Merges segments and prints how long that took and how much memory.

use std::cell::Cell;
use std::collections::HashSet;
use std::error::Error;
use std::ops::Deref;
use std::path::Path;
use std::rc::Rc;

use orrery_formats::chunks::SealedFile;
use orrery_formats::segment::{
    KIND, MergeInput, SampleRules, Scratch, Segment, VERSION, Workspace, build, merge,
};
use orrery_formats::sink::Sink;

use crate::events::Events;

/// Scratch space on the heap, counted apart.
struct Counted {
    bytes: Vec<u8>,
    all: Rc<Cell<usize>>,
}

impl Sink for Counted {
    type Error = orrery_formats::Error;

    fn write(&mut self, bytes: &[u8]) -> Result<(), Self::Error> {
        let before = self.bytes.capacity();
        self.bytes.extend_from_slice(bytes);
        let grown = self.bytes.capacity() - before;
        self.all.set(self.all.get() + grown);
        Ok(())
    }
}

impl Scratch for Counted {
    type Bytes = Self;

    fn finish(self) -> Result<Self, Self::Error> {
        Ok(self)
    }
}

impl Deref for Counted {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.all.set(self.all.get() - self.bytes.capacity());
    }
}

struct Meter {
    scratch: Rc<Cell<usize>>,
    scratch_peak: usize,
    heap_peak: usize,
    start: usize,
    written: u64,
    calls: u64,
}

/// Anonymous memory of this process in bytes.
fn anonymous() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<usize>().ok());
    kib.unwrap_or(0) * 1024
}

/// Seconds of processor time of this process, to the hundredth.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the name, which is in parentheses, user and system time are the 12th and 13th fields.
    let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
    let times = fields.split(' ').skip(11).take(2);
    times
        .filter_map(|field| field.parse::<f64>().ok())
        .sum::<f64>()
        / 100.0
}

impl Workspace for Meter {
    type Error = orrery_formats::Error;
    type Scratch = Counted;

    fn scratch(&mut self) -> Result<Counted, Self::Error> {
        Ok(Counted {
            bytes: Vec::new(),
            all: Rc::clone(&self.scratch),
        })
    }

    fn progress(&mut self, bytes: u64) -> Result<(), Self::Error> {
        self.written += bytes;
        self.calls += 1;
        if self.calls.is_multiple_of(64) {
            let scratch = self.scratch.get();
            self.scratch_peak = self.scratch_peak.max(scratch);
            let heap = anonymous().saturating_sub(self.start + scratch);
            self.heap_peak = self.heap_peak.max(heap);
        }
        Ok(())
    }
}

/// Writes segments of `rows` rows in all to `dir`.
pub(crate) fn parts(dir: &Path, rows: u64, count: u64) -> Result<(), Box<dyn Error>> {
    let mut events = Events::new(rows);
    for part in 0..count {
        let piece = events.next(rows / count);
        std::fs::write(dir.join(format!("{part:04}.seg")), build(&piece.input())?)?;
    }
    Ok(())
}

fn open(name: &str, bytes: Vec<u8>) -> Result<Segment, Box<dyn Error>> {
    let file = SealedFile::open(name.to_owned(), bytes, KIND, VERSION..=VERSION)?;
    Ok(Segment::open(file)?)
}

/// Merges the segments in `dir`, without the rows that they kill.
#[expect(clippy::print_stdout, reason = "printing is what it is for")]
pub(crate) fn merge_all(dir: &Path) -> Result<(), Box<dyn Error>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        names.push(entry?.path());
    }
    names.sort();
    let mut segments = Vec::new();
    for name in &names {
        segments.push(open(&name.display().to_string(), std::fs::read(name)?)?);
    }
    let mut dead = HashSet::new();
    for segment in &segments {
        for kill in segment.kills()? {
            dead.insert(kill?);
        }
    }
    let mut drops = Vec::new();
    for segment in &segments {
        let mut rows = Vec::new();
        for row in 0..segment.info().rows {
            rows.push(dead.contains(&segment.seq(row)?));
        }
        drops.push(move |row: u32| rows.get(row as usize).copied().unwrap_or(false));
    }
    let inputs: Vec<MergeInput<'_>> = segments
        .iter()
        .zip(&drops)
        .map(|(segment, is_dropped)| MergeInput {
            segment,
            is_dropped,
        })
        .collect();
    let mut meter = Meter {
        scratch: Rc::new(Cell::new(0)),
        scratch_peak: 0,
        heap_peak: 0,
        start: anonymous(),
        written: 0,
        calls: 0,
    };
    let mut out = meter.scratch()?;
    let start = cpu_seconds();
    let merged = merge(&inputs, &|_| true, &SampleRules::ALL, &mut out, &mut meter)?;
    let seconds = cpu_seconds() - start;
    let old: u64 = segments
        .iter()
        .map(|segment| u64::from(segment.info().links))
        .sum();
    println!(
        "{} segments, {old} links, {} live: {seconds:.2} s of CPU, {:.2} M links a CPU second; heap {:.1} MiB at most, scratch and output {:.1} MiB; {} bytes written, {} of them the segment",
        segments.len(),
        merged.info.links,
        old as f64 / seconds / 1e6,
        meter.heap_peak as f64 / f64::from(1 << 20),
        meter.scratch_peak as f64 / f64::from(1 << 20),
        meter.written,
        merged.bytes,
    );
    let segment = open("merged", out.to_vec())?;
    crate::sizes(&segment);
    Ok(())
}
