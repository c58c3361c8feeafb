//! Prints the links of JSON records read from standard input, one record a line: kind, path and target,
//! separated by tabs, with an empty line after each record.
//!
//! `echo '{"subject":"did:plc:abc"}' | cargo run -p orrery-links --example links`

use std::io::{BufRead, Write};

use orrery_links::Extractor;

fn main() -> std::io::Result<()> {
    let mut extractor = Extractor::default();
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for (number, line) in (1u64..).zip(std::io::stdin().lock().split(b'\n')) {
        let line = line?;
        if line.trim_ascii().is_empty() {
            continue;
        }
        match extractor.extract_json(&line) {
            Ok(extraction) => {
                for link in extraction.links() {
                    writeln!(out, "{}\t{}\t{}", link.kind, link.path, link.target)?;
                }
                if let Some(truncation) = extraction.truncated() {
                    writeln!(out, "truncated: {truncation:?}")?;
                }
            }
            Err(error) => writeln!(out, "line {number}: {error}")?,
        }
        writeln!(out)?;
    }
    out.flush()
}
