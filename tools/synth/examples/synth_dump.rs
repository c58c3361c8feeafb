//! Prints events: `cargo run --release --example synth_dump -- [EVENTS] [SEED] [backfill]`.

use std::io::{BufWriter, Write};

use orrery_synth::{Generator, Options};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let events = arguments.next().map_or(Ok(1000), |text| text.parse())?;
    let seed = arguments.next().map_or(Ok(1), |text| text.parse())?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    let options = Options::finite(seed, events);
    let options = match arguments.next().as_deref() {
        Some("backfill") => options.into_backfill(),
        _ => options,
    };
    let mut generator = Generator::new(options)?;
    let mut line = Vec::new();
    while generator.next_into(&mut line).is_some() {
        line.push(b'\n');
        out.write_all(&line)?;
    }
    out.flush()?;
    Ok(())
}
