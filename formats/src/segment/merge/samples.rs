//! Samples: of each collection the newest of all parts together that still live, one collection at a time.

use std::ops::ControlFlow;

use super::columns::StringColumn;
use super::output::Output;
use super::spill::Spool;
use super::{MergeInput, bad};
use crate::Result;
use crate::segment::layout::Section;
use crate::segment::samples::{SAMPLES_MAX, Sample, SampleCollections, SamplesWriter};
use crate::segment::workspace::{Env, Workspace};
use crate::sink::Sink;

/// Which samples a merge keeps.
#[derive(Clone, Copy)]
pub struct SampleRules<'a> {
    /// How many of a collection at most; never more than [`SAMPLES_MAX`](crate::segment::SAMPLES_MAX). Called once for
    /// each collection, before `keep` is called for its samples.
    pub most: &'a dyn Fn(&str) -> Result<usize>,
    /// Whether a sample, which is of the input with that place, is kept. Called from the newest on, until there are
    /// enough.
    pub keep: &'a dyn Fn(usize, &Sample<'_>) -> Result<bool>,
}

impl SampleRules<'_> {
    /// All live, and as many stay as can.
    pub const ALL: SampleRules<'static> = SampleRules {
        most: &|_| Ok(SAMPLES_MAX),
        keep: &|_, _| Ok(true),
    };
}

impl std::fmt::Debug for SampleRules<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SampleRules").finish_non_exhaustive()
    }
}

/// The samples of one collection, newest first.
#[derive(Default)]
struct Gathered {
    /// Keys and bodies, one behind the other.
    bytes: Vec<u8>,
    /// Everything else, with the ends of key and body.
    heads: Vec<(Sample<'static>, usize, usize)>,
}

impl Gathered {
    fn clear(&mut self) {
        self.bytes.clear();
        self.heads.clear();
    }

    fn push(&mut self, sample: &Sample<'_>) {
        self.bytes.extend_from_slice(sample.rkey.as_bytes());
        let key_end = self.bytes.len();
        self.bytes.extend_from_slice(sample.body);
        let head = Sample {
            collection: "",
            seq: sample.seq,
            time_us: sample.time_us,
            rev: sample.rev,
            actor: sample.actor,
            is_update: sample.is_update,
            encoding: sample.encoding,
            rkey: "",
            body: &[],
        };
        self.heads.push((head, key_end, self.bytes.len()));
    }

    fn samples(&self) -> Vec<Sample<'_>> {
        let mut start = 0;
        let heads = self.heads.iter().map(|(head, key_end, end)| {
            let rkey = self.bytes.get(start..*key_end).unwrap_or_default();
            let body = self.bytes.get(*key_end..*end).unwrap_or_default();
            start = *end;
            Sample {
                // It was one.
                rkey: std::str::from_utf8(rkey).unwrap_or_default(),
                body,
                ..*head
            }
        });
        heads.collect()
    }
}

/// Makes the sections of samples.
pub(super) fn merge<W: Workspace, O: Sink<Error = W::Error>>(
    env: &mut Env<'_, W>,
    inputs: &[MergeInput<'_>],
    rules: &SampleRules<'_>,
    out: &mut Output<O>,
) -> Result<(), W::Error> {
    let mut cursors = Vec::with_capacity(inputs.len());
    for input in inputs {
        let mut names: SampleCollections<'_> = input.segment.sample_collections()?;
        let head = names.next().transpose()?.map(|collection| collection.name);
        cursors.push((names, head));
    }
    let mut names = StringColumn::new("collections of samples");
    let mut writer = SamplesWriter::new()?;
    let (mut directory, mut data) = (Spool::new(), Vec::new());
    let mut gathered = Gathered::default();
    out.begin(Section::Samples)?;
    while let Some(least) = cursors.iter().filter_map(|(_, head)| *head).min() {
        let most = (rules.most)(least)?.min(SAMPLES_MAX);
        gathered.clear();
        for (number, (input, (names, head))) in inputs.iter().zip(&mut cursors).enumerate().rev() {
            if *head != Some(least) {
                continue;
            }
            if gathered.heads.len() < most {
                gather(number, input, least, most, rules, &mut gathered)?;
            }
            *head = names.next().transpose()?.map(|collection| collection.name);
            if head.is_some_and(|next| next <= least) {
                return Err(bad(number, "rising collections of samples", least).into());
            }
        }
        if !gathered.heads.is_empty() {
            names.push(env, least)?;
            writer.push(&gathered.samples(), directory.tail(), &mut data)?;
            directory.settle(env)?;
            out.settle(env, &mut data)?;
        }
        env.stepped(SAMPLES_MAX as u32)?;
    }
    out.drain(env, &mut data)?;
    let directory = directory.finish(env)?;
    out.section(env, Section::SampleDirectory, directory.bytes())?;
    names.section(env, Section::SampleCollections, out)
}

/// Appends those samples of an input that stay.
fn gather(
    number: usize,
    input: &MergeInput<'_>,
    collection: &str,
    most: usize,
    rules: &SampleRules<'_>,
    gathered: &mut Gathered,
) -> Result<()> {
    let mut failed = None;
    input.segment.samples(collection, &mut |sample| {
        match (rules.keep)(number, &sample) {
            Ok(true) => gathered.push(&sample),
            Ok(false) => {}
            Err(error) => {
                failed = Some(error);
                return ControlFlow::Break(());
            }
        }
        if gathered.heads.len() < most {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    })?;
    failed.map_or(Ok(()), Err)
}
