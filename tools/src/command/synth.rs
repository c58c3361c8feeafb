//! `orrery synth`: the synthetic stream as JSON lines.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use orrery_synth::{Generator, Options, Tempo};

use crate::cli::SynthArguments;
use crate::failure::{Failure, Result};

/// Bytes written at a time.
const BUFFER_BYTES: usize = 256 << 10;

pub(crate) fn run(arguments: SynthArguments) -> Result<()> {
    let tempo = match arguments.span {
        Some(span) => Tempo::SpanUs(u64::try_from(span.as_micros()).unwrap_or(u64::MAX)),
        None => Tempo::EventsPerSecond(arguments.rate),
    };
    let options = Options {
        tempo,
        hot_like_share: arguments.hot_share,
        ..Options::finite(arguments.seed, arguments.events)
    };
    let generator = Generator::new(options)?;
    if arguments.out == Path::new("-") {
        return write(generator, std::io::stdout().lock()).map_err(Failure::stdout);
    }
    let failed = |source| Failure::Output {
        what: arguments.out.display().to_string(),
        source,
    };
    let file = File::create(&arguments.out).map_err(failed)?;
    write(generator, file).map_err(failed)
}

fn write(mut generator: Generator, out: impl Write) -> std::io::Result<()> {
    let mut out = BufWriter::with_capacity(BUFFER_BYTES, out);
    let mut line = Vec::new();
    while generator.next_into(&mut line).is_some() {
        line.push(b'\n');
        out.write_all(&line)?;
    }
    out.flush()
}
