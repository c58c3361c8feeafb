//! Measures how fast the generator writes: `cargo run --release --example synth_rate -- [EVENTS]`.

use std::time::Instant;

use orrery_synth::{Generator, Options};

#[allow(
    clippy::print_stdout,
    reason = "printing the measurement is what this program is for"
)]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let events = std::env::args()
        .nth(1)
        .map_or(Ok(2_000_000), |text| text.parse())?;
    let started = Instant::now();
    let mut generator = Generator::new(Options::finite(1, events))?;
    println!("set up in {:?}", started.elapsed());
    let started = Instant::now();
    let mut line = Vec::new();
    let mut bytes = 0_u64;
    while generator.next_into(&mut line).is_some() {
        bytes += line.len() as u64;
    }
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "{events} events, {:.1} bytes each, {:.0} events/s, {:.0} MB/s",
        bytes as f64 / events as f64,
        events as f64 / seconds,
        bytes as f64 / seconds / 1e6
    );
    Ok(())
}
