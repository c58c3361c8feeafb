//! Sketches of accounts: what a time bucket costs to fill, and a range of buckets to unite.

use std::hint::black_box;

use orrery_formats::sketch::{Element, Sketch};

use super::Size;
use crate::Result;
use crate::harness::timing::Subject;
use crate::random::Random;

/// Sketches that are united: the hours of four weeks.
const SKETCHES: u64 = 672;
/// Accounts of each: more than are kept exactly.
const ACCOUNTS: u64 = 5_000;

fn filled(random: &mut Random, accounts: u64) -> Sketch {
    let mut sketch = Sketch::new();
    (0..accounts).for_each(|_| sketch.add(Element::of_hash(random.next())));
    sketch
}

struct Add {
    elements: Vec<Element>,
    sketch: Sketch,
}

impl Subject for Add {
    fn round(&mut self) -> Result<u64> {
        for element in &self.elements {
            self.sketch.add(*element);
        }
        black_box(&self.sketch);
        Ok(self.elements.len() as u64)
    }
}

pub(super) fn add(size: Size) -> Result<Box<dyn Subject>> {
    let mut random = Random::new(size.seed);
    let sketch = filled(&mut random, ACCOUNTS);
    let elements = (0..size.events).map(|_| Element::of_hash(random.next()));
    Ok(Box::new(Add {
        elements: elements.collect(),
        sketch,
    }))
}

struct Merge {
    encoded: Vec<Vec<u8>>,
}

impl Subject for Merge {
    fn round(&mut self) -> Result<u64> {
        let mut sum = Sketch::new();
        for bytes in &self.encoded {
            sum.unite_encoded(bytes)?;
        }
        black_box(&sum);
        Ok(self.encoded.len() as u64)
    }
}

pub(super) fn merge(size: Size) -> Result<Box<dyn Subject>> {
    let mut random = Random::new(size.seed);
    let mut encoded = Vec::new();
    for _ in 0..SKETCHES {
        let mut bytes = Vec::new();
        filled(&mut random, ACCOUNTS).encode(&mut bytes);
        encoded.push(bytes);
    }
    Ok(Box::new(Merge { encoded }))
}

struct Estimate {
    sketch: Sketch,
}

impl Subject for Estimate {
    fn round(&mut self) -> Result<u64> {
        for _ in 0..100 {
            black_box(black_box(&self.sketch).estimate());
        }
        Ok(100)
    }
}

pub(super) fn estimate(size: Size) -> Result<Box<dyn Subject>> {
    let mut random = Random::new(size.seed);
    Ok(Box::new(Estimate {
        sketch: filled(&mut random, 100 * ACCOUNTS),
    }))
}
